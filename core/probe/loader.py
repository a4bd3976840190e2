"""Loads the probe, attaches it, and reads its records.

A program that the kernel refuses costs its own feature, not the whole tier: it is switched off and the rest
is loaded again. `Probe.missing` and ProbeUnavailable report what is missing.
"""

from __future__ import annotations

import ctypes
import errno
import os
import secrets
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from core.model.events import MapFill, Sample, SnapshotRecord
from core.probe import layout
from core.probe.host_checks import check_host, reader_pid_namespace
from core.probe.libbpf import (
    SAMPLE_CALLBACK,
    IterOptions,
    LibbpfError,
    OpenOptions,
    clear_log,
    load_libbpf,
    signals_blocked,
)
from core.probe.refusals import (
    EVENT_PROGRAMS,
    FEATURES,
    ProbeUnavailable,
    explained,
    refusal,
    refused_program,
)
from core.probe.samples import Samples
from core.system.host import Host

SHIPPED_OBJECT = Path(__file__).with_name("process.bpf.o")
"""The built probe in the package: one object for every little-endian architecture."""

RING_BYTES = 4 * 1024 * 1024
"""Default size of the ring buffer: room for about 15,000 unread forks."""

ATTACH_ORDER = ("on_reaped", "on_exit", "on_cgroup", "on_exec", "on_fork")
"""Attach exit before fork, so no reported birth misses its exit."""

MAX_INTERRUPTED = 8
"""How often a load interrupted by a signal is retried, after a pause of 10 ms that doubles each time. The
verifier stops with EAGAIN then (kernel/bpf/verifier.c), which is no verdict about the program. libbpf itself
retries five times, without a pause."""

COUNTED_MAPS = ("pid_cache", "proc_cache")


@dataclass(frozen=True, slots=True)
class ProbeOptions:
    """`ring_bytes` is a power of two and a multiple of the page size; `entries` bounds both LRU maps."""

    object_file: Path = SHIPPED_OBJECT
    ring_bytes: int = RING_BYTES
    entries: int = 0

    def map_entries(self) -> int:
        """Return the size of both maps, as the Datadog Agent sizes them: 4096 per CPU, 16384 to 131072."""
        return self.entries or min(131072, max(16384, 4096 * (os.cpu_count() or 1)))


class Settings(ctypes.Structure):
    """The constants of process.bpf.c, in order."""

    _fields_ = (
        ("layout", ctypes.c_uint32),
        ("pid_namespace", ctypes.c_uint32),
        ("key_seed", ctypes.c_uint64),
    )


class Probe:
    """The loaded and attached probe. Owned by one thread; `close()` detaches and frees everything."""

    def __init__(self, host: Host, options: ProbeOptions | None = None) -> None:
        """Load and attach the probe. Raises ProbeUnavailable with the cause and the fix."""
        self._options = options or ProbeOptions()
        self._records: list[bytes] = []
        self._samples = Samples()
        self._links: list[int] = []
        self._iterators: dict[str, int] = {}
        self._ring = 0
        self._object = 0
        self.missing: dict[str, str] = {}
        """Program -> why the kernel refused it."""
        check_host(host, self._options.object_file)
        self._pid_namespace = reader_pid_namespace(host)
        self._cpus = _possible_cpus()
        self._bpf = load_libbpf()
        self._image = self._options.object_file.read_bytes()
        try:
            self._load(host)
            self._maps = {
                name: self._map_fd(name) for name in ("pid_cache", "proc_cache", "cgroup_sets", "lost")
            }
            self._attach()
        except LibbpfError as error:
            self.close()
            raise explained(error) from None
        except BaseException:
            self.close()
            raise

    @property
    def events_on(self) -> bool:
        """Whether fork, exec and exit are reported; else only the iterators work."""
        return self._ring != 0

    def map_fd(self, name: str) -> int:
        """Return the descriptor of a map; it stays owned by the probe."""
        return self._maps[name]

    def ring_fd(self) -> int:
        """Return a descriptor that polls readable when there are events, -1 without events."""
        return self._bpf.value("ring_buffer__epoll_fd", self._ring) if self._ring else -1

    def consume(self) -> list[bytes]:
        """Return the ring buffer records since the last call, oldest first."""
        if self._ring:
            with signals_blocked():
                self._bpf.value("ring_buffer__consume", self._ring)
        records, self._records = self._records, []
        return records

    def lost(self) -> int:
        """Return how many events did not fit into the ring buffer since the probe was loaded."""
        values = (ctypes.c_uint64 * self._cpus)()
        key = ctypes.c_uint32(0)
        self._bpf.value("bpf_map_lookup_elem", self._maps["lost"], ctypes.byref(key), values)
        return sum(values)

    def snapshot(self) -> list[SnapshotRecord]:
        """Run the task iterator: return every process, and fill the maps with them.

        argv is empty and marked as cut: no program of the probe reads another process's memory.
        """
        return layout.decode_snapshot(self._iterate("snapshot"))

    def identities(self) -> Iterator[tuple[int, int, int, int]]:
        """Yield start time, pid, generation of the image, and size of argv in bytes of each process.

        Yields nothing if the kernel refused the program: argv is then read process by process.
        """
        data = self._iterate("identify") if self.has("identify") else b""
        size = layout.IDENTITY.size
        return layout.IDENTITY.iter_unpack(data[: len(data) - len(data) % size])

    def sweep(self) -> list[Sample]:
        """Run the light iterator; return one sample per process."""
        return self._samples.decode(self._iterate("sweep"))

    def fill(self) -> tuple[MapFill, ...]:
        """Return how full the maps are, counted by the kernel; empty if it cannot count.

        Counting by look-ups would take 16,384 system calls, or copy 17 MB, for two numbers.
        """
        if "fill" in self.missing:
            return ()
        capacity = self._options.map_entries()
        return tuple(
            MapFill(name, int.from_bytes(self._iterate(f"fill {name}"), sys.byteorder), capacity)
            for name in COUNTED_MAPS
        )

    def has(self, program: str) -> bool:
        return program not in self.missing

    def lost_features(self) -> list[tuple[str, str]]:
        """Return the features that the loaded probe lacks on this kernel, each with the reason."""
        return [(feature, self.missing[name]) for name, feature in FEATURES.items() if name in self.missing]

    def close(self) -> None:
        """Detach and free the probe. May be called twice."""
        if self._ring:
            self._bpf.free("ring_buffer__free", self._ring)
            self._ring = 0
        for link in self._links:
            self._bpf.free("bpf_link__destroy", link)
        self._links = []
        if self._object:
            self._bpf.free("bpf_object__close", self._object)
            self._object = 0

    def _load(self, host: Host) -> None:
        """Load the object, without the programs that this kernel refuses."""
        off: set[str] = set()
        if self._pid_namespace:
            # In a child namespace the pid is gone when a process is freed; sweeps detect reaping.
            off.add("on_reaped")
            self.missing["on_reaped"] = "this is a child pid namespace"
        interrupted = 0
        while True:
            clear_log()
            self._open(host, off)
            try:
                with signals_blocked():
                    self._bpf.call("bpf_object__load", self._object)
                return
            except LibbpfError as error:
                refused = refused_program(error.log)
                self._bpf.free("bpf_object__close", self._object)
                self._object = 0
                if error.errno == errno.EAGAIN and interrupted < MAX_INTERRUPTED:
                    time.sleep(0.01 * 2**interrupted)
                    interrupted += 1
                    continue
                if refused is None or refused in off:
                    raise
                self.missing[refused] = refusal(error)
                if refused in EVENT_PROGRAMS:
                    # With only some of the life events the tree would be wrong: use all or none.
                    off.update(EVENT_PROGRAMS, ("on_reaped", "on_cgroup"))
                    self.missing.update(dict.fromkeys(EVENT_PROGRAMS, self.missing[refused]))
                elif refused == "snapshot":
                    raise
                else:
                    off.add(refused)

    def _open(self, host: Host, off: set[str]) -> None:
        options = OpenOptions(ctypes.sizeof(OpenOptions), b"ebpf_tui")
        self._object = self._bpf.pointer(
            "bpf_object__open_mem", self._image, len(self._image), ctypes.byref(options)
        )
        rodata = self._bpf.pointer("bpf_object__find_map_by_name", self._object, b".rodata")
        address, size = self._bpf.initial_value(rodata)
        settings = Settings.from_address(address)
        if size < ctypes.sizeof(settings) or settings.layout != layout.LAYOUT:
            raise ProbeUnavailable("the probe object has another version of the record layout", "make probe")
        settings.pid_namespace = self._pid_namespace
        settings.key_seed = secrets.randbits(64)
        for name, size in (
            ("events", self._options.ring_bytes),
            ("pid_cache", self._options.map_entries()),
            ("proc_cache", self._options.map_entries()),
        ):
            map_pointer = self._bpf.pointer("bpf_object__find_map_by_name", self._object, name.encode())
            self._bpf.call("bpf_map__set_max_entries", map_pointer, size)
        for name in off:
            self._bpf.call("bpf_program__set_autoload", self._program(name), False)
        self._off = off

    def _attach(self) -> None:
        for name in ("snapshot", "identify", "sweep"):
            if name not in self._off:
                link = self._bpf.pointer("bpf_program__attach_iter", self._program(name), None)
                self._links.append(link)
                self._iterators[name] = link
        if "fill" not in self._off:
            for name in COUNTED_MAPS:
                self._attach_fill(name)
        if "on_fork" in self._off:
            return
        # The ring exists before the first event can be sent.
        self._callback = SAMPLE_CALLBACK(self._receive)
        ring = self._bpf.pointer("ring_buffer__new", self._map_fd("events"), self._callback, None, None)
        self._ring = ring
        for name in ATTACH_ORDER:
            if name not in self._off:
                self._links.append(self._bpf.pointer("bpf_program__attach", self._program(name)))

    def _attach_fill(self, name: str) -> None:
        descriptor = ctypes.c_uint32(self._maps[name])
        size = ctypes.sizeof(descriptor)
        options = IterOptions(ctypes.sizeof(IterOptions), ctypes.pointer(descriptor), size)
        program = self._program("fill")
        link = self._bpf.pointer("bpf_program__attach_iter", program, ctypes.byref(options))
        self._links.append(link)
        self._iterators[f"fill {name}"] = link

    def _receive(self, context: int | None, data: int, size: int) -> int:
        # The memory belongs to the ring buffer: copy now, decode later.
        self._records.append(ctypes.string_at(data, size))
        return 0

    def _iterate(self, name: str) -> bytes:
        return self._bpf.read_iterator(self._iterators[name])

    def _program(self, name: str) -> int:
        return self._bpf.pointer("bpf_object__find_program_by_name", self._object, name.encode())

    def _map_fd(self, name: str) -> int:
        map_pointer = self._bpf.pointer("bpf_object__find_map_by_name", self._object, name.encode())
        return self._bpf.call("bpf_map__fd", map_pointer)


def _possible_cpus() -> int:
    """Return the number of possible CPUs: per-CPU maps have one value for each, not only for online CPUs."""
    try:
        ranges = Path("/sys/devices/system/cpu/possible").read_text().strip().split(",")
        return int(ranges[-1].split("-")[-1]) + 1
    except (OSError, ValueError):
        return os.cpu_count() or 1
