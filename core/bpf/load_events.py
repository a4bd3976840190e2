"""Programs as they are loaded and unloaded, with the pid of who did it: the kernel's perf side band.

No program of our own is needed: a dummy perf event on each CPU writes PERF_RECORD_BPF_EVENT (Linux 5.1,
include/uapi/linux/perf_event.h) to a ring of its own. Needs CAP_PERFMON or CAP_SYS_ADMIN.
"""

from __future__ import annotations

import mmap
import os
import select
import struct
from enum import StrEnum

import msgspec

from core.bpf import names, syscall
from core.bpf.contents import possible_cpus

_PAGES = 16
"""Pages of one ring, a power of two: some 1,500 records that nobody has read yet."""

_ATTRIBUTES = struct.Struct("=IIQQQQQIIQQQQIi")
_SOFTWARE, _DUMMY = 1, 9
_SAMPLE_TID_TIME = 2 | 4
_SAMPLE_ID_ALL, _WATERMARK, _USE_CLOCKID, _BPF_EVENT = 1 << 18, 1 << 14, 1 << 25, 1 << 30
_CLOCK_BOOTTIME = 7
_HEAD, _TAIL = 1024, 1032
_RECORD_LOST, _RECORD_BPF_EVENT = 2, 18
_LOAD, _UNLOAD = 1, 2


class LoadKind(StrEnum):
    LOAD = "load"
    UNLOAD = "unload"
    LOST = "lost"


class LoadEvent(msgspec.Struct, frozen=True):
    """One event. `pid` is who was running when it happened: the loader, at an unload perhaps a kernel thread.

    `ts_ns` is CLOCK_BOOTTIME. `name` and `type` are empty when the program was gone before we looked.
    `count` is the number of events that found no room (kind `lost`).
    """

    kind: LoadKind
    ts_ns: int
    id: int = 0
    tag: str = ""
    pid: int = 0
    name: bytes = b""
    type: str = ""
    count: int = 0


class LoadEvents:
    """The rings of all CPUs. Owned by one thread; `close()` gives them back."""

    def __init__(self) -> None:
        """Open them. Raises OSError: EACCES or EPERM without CAP_PERFMON, EINVAL before Linux 5.1."""
        self._rings: list[tuple[int, mmap.mmap]] = []
        self._poll = select.poll()
        try:
            for cpu in range(possible_cpus()):
                self._open(cpu)
        except BaseException:
            self.close()
            raise

    def wait(self, seconds: float) -> None:
        """Return when there is an event, or after some seconds."""
        self._poll.poll(max(0, int(seconds * 1000)))

    def read(self) -> list[LoadEvent]:
        """Return what has come in, oldest first, over all CPUs."""
        events = [event for _, ring in self._rings for event in _drain(ring)]
        events.sort(key=lambda event: event.ts_ns)
        return [_named(event) if event.kind is LoadKind.LOAD else event for event in events]

    def close(self) -> None:
        """May be called twice."""
        for fd, ring in self._rings:
            ring.close()
            os.close(fd)
        self._rings = []

    def _open(self, cpu: int) -> None:
        flags = _SAMPLE_ID_ALL | _WATERMARK | _USE_CLOCKID | _BPF_EVENT
        attributes = _ATTRIBUTES.pack(
            _SOFTWARE, _ATTRIBUTES.size, _DUMMY, 0, _SAMPLE_TID_TIME, 0, flags, 1, 0, 0, 0, 0, 0, 0,
            _CLOCK_BOOTTIME,
        )  # fmt: skip
        try:
            fd = syscall.perf_event_open(attributes, -1, cpu)
        except OSError as error:
            if error.errno == 19:  # ENODEV: the CPU is not online
                return
            raise
        try:
            ring = mmap.mmap(fd, (1 + _PAGES) * mmap.PAGESIZE)
        except OSError:
            os.close(fd)
            raise
        self._rings.append((fd, ring))
        self._poll.register(fd, select.POLLIN)


def _drain(ring: mmap.mmap) -> list[LoadEvent]:
    """Take every record out of one ring."""
    (head,), (tail,) = struct.unpack_from("=Q", ring, _HEAD), struct.unpack_from("=Q", ring, _TAIL)
    size = _PAGES * mmap.PAGESIZE
    data = ring[mmap.PAGESIZE :]
    events = []
    while tail < head:
        start = tail % size
        header = (data[start:] + data[:start])[:8] if start + 8 > size else data[start : start + 8]
        kind, _, length = struct.unpack("=IHH", header)
        if length < 8:
            break
        record = data[start : start + length]
        record += data[: length - len(record)]
        event = parse(kind, record)
        if event is not None:
            events.append(event)
        tail += length
    struct.pack_into("=Q", ring, _TAIL, head)
    return events


def parse(kind: int, record: bytes) -> LoadEvent | None:
    """Return one record, header included; None for records of other kinds or sizes."""
    if kind == _RECORD_BPF_EVENT and len(record) >= 40:
        what, _, number, tag = struct.unpack_from("=HHI8s", record, 8)
        pid, _, taken = struct.unpack_from("=IIQ", record, len(record) - 16)
        if what in (_LOAD, _UNLOAD):
            word = LoadKind.LOAD if what == _LOAD else LoadKind.UNLOAD
            return LoadEvent(word, taken, number, tag.hex(), pid)
    if kind == _RECORD_LOST and len(record) >= 40:
        (lost,) = struct.unpack_from("=Q", record, 16)
        (taken,) = struct.unpack_from("=Q", record, len(record) - 8)
        return LoadEvent(LoadKind.LOST, taken, count=lost)
    return None


def _named(event: LoadEvent) -> LoadEvent:
    """Return the event with the program's type and short name, where it is still there to be asked."""
    try:
        with syscall.opened("program", event.id) as fd:
            raw = syscall.info("program", fd)
    except OSError:
        return event
    (kind,) = struct.unpack_from("=I", raw)
    name = bytes(raw[64:80]).split(b"\0")[0]
    return msgspec.structs.replace(event, type=names.program_type(kind), name=name)
