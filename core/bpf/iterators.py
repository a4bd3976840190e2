"""Our own iterators (host.bpf.c): loaded with core.probe's libbpf, read, and freed by `close()`.

Which file is what is learned from descriptors of our own, so it works on kernels without the symbols of
their file operations (CONFIG_KALLSYMS_ALL), where bpftool shows no holders. CAP_BPF and CAP_PERFMON suffice.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from core.bpf.syscall import perf_event
from core.probe.libbpf import (
    LibbpfError,
    LibbpfMissing,
    OpenOptions,
    clear_log,
    load_libbpf,
    signals_blocked,
)
from core.probe.refusals import refusal

OBJECT = Path(__file__).with_name("host.bpf.o")
PROGRAMS = ("own_files", "holders", "counts", "rings", "list_programs", "list_maps", "list_links")

_OWN_FILE = struct.Struct("=QII")
_HOLDER = struct.Struct("=IIII16s")
_COUNT = struct.Struct("=IIq")
_PROGRAM = struct.Struct("=IIIIQI8s16sI")
_MAP = struct.Struct("=IIIIII16s")
_LINK = struct.Struct("=IIII")

_REFUSED = re.compile(r"prog '(\w+)': (?:failed to load|BPF program load failed|failed to find kernel BTF)")

NONE, PROGRAM, MAP, LINK, BTF, PERF_EVENT = range(6)
"""enum object of host.bpf.c."""

_FILES = {
    "anon_inode:bpf-prog": PROGRAM,
    "anon_inode:bpf-map": MAP,
    "anon_inode:bpf_link": LINK,
    "anon_inode:btf": BTF,
    "anon_inode:[perf_event]": PERF_EVENT,
}
"""How /proc/PID/fd names descriptors (kernel/bpf/syscall.c, btf.c; kernel/events/core.c)."""


class IteratorsUnavailable(Exception):
    """They cannot be loaded here; the text says why."""


class HolderRow(NamedTuple):
    """One descriptor: whose, and of what. `pid` is that of the initial pid namespace."""

    pid: int
    fd: int
    object: int
    id: int
    comm: bytes


class HostIterators:
    """The loaded iterators. Owned by one thread; nothing of them stays after `close()`."""

    def __init__(self) -> None:
        """Load. Raises IteratorsUnavailable."""
        self.missing: dict[str, str] = {}
        """Program -> why the kernel refused it."""
        self._links: dict[str, int] = {}
        self._object = 0
        self._learned = False
        try:
            self._bpf = load_libbpf()
            self._load()
        except LibbpfMissing as error:
            raise IteratorsUnavailable(str(error)) from None
        except LibbpfError as error:
            self.close()
            raise IteratorsUnavailable(refusal(error)) from None
        except OSError as error:
            self.close()
            raise IteratorsUnavailable(f"{error.filename}: {error.strerror}") from None

    def has(self, name: str) -> bool:
        return name in self._links

    def holders(self) -> list[HolderRow]:
        """Return every descriptor of an object, in order of pids and descriptors."""
        if not self._learned:
            self._learn()
        return [
            HolderRow(pid, fd, object_, number, comm.split(b"\0")[0])
            for pid, fd, object_, number, comm in _HOLDER.iter_unpack(self._read("holders"))
        ]

    def counts(self) -> dict[int, int]:
        """Return map id -> elements, for the maps whose elements the kernel counts; 0 for all others."""
        return {number: elements for number, _, elements in _COUNT.iter_unpack(self._read("counts"))}

    def rings(self) -> dict[int, int]:
        """Return map id -> bytes that wait in a ring buffer."""
        return {number: waiting for number, _, waiting in _COUNT.iter_unpack(self._read("rings"))}

    def programs(self) -> list[tuple[int, int, int, int, int, int, bytes, bytes]]:
        """Return (id, type, xlated instructions, jited bytes, loaded ns, verified, tag, short name)."""
        rows = _PROGRAM.iter_unpack(self._read("list_programs"))
        return [(*row[:7], row[7].split(b"\0")[0]) for row in rows]

    def maps(self) -> list[tuple[int, int, int, int, int, int, bytes]]:
        """Return (id, type, key size, value size, max entries, flags, name)."""
        return [(*row[:6], row[6].split(b"\0")[0]) for row in _MAP.iter_unpack(self._read("list_maps"))]

    def links(self) -> list[tuple[int, int, int]]:
        """Return (id, type, program id)."""
        return [row[:3] for row in _LINK.iter_unpack(self._read("list_links"))]

    def close(self) -> None:
        """Free everything. May be called twice."""
        for link in self._links.values():
            self._bpf.free("bpf_link__destroy", link)
        self._links = {}
        if self._object:
            self._bpf.free("bpf_object__close", self._object)
            self._object = 0

    def _load(self) -> None:
        image = OBJECT.read_bytes()
        while True:
            clear_log()
            options = OpenOptions(ctypes.sizeof(OpenOptions), b"ebpf_tui_host")
            self._object = self._bpf.pointer("bpf_object__open_mem", image, len(image), ctypes.byref(options))
            for name in self.missing:
                self._bpf.call("bpf_program__set_autoload", self._program(name), False)
            try:
                with signals_blocked():
                    self._bpf.call("bpf_object__load", self._object)
                break
            except LibbpfError as error:
                refused = _REFUSED.findall("\n".join(error.log))
                self._bpf.free("bpf_object__close", self._object)
                self._object = 0
                if not refused or refused[0] not in PROGRAMS or refused[0] in self.missing:
                    raise
                self.missing[refused[0]] = refusal(error)
        for name in PROGRAMS:
            if name not in self.missing:
                self._links[name] = self._bpf.pointer("bpf_program__attach_iter", self._program(name), None)

    def _learn(self) -> None:
        """Tell the iterator the file operations of each kind, from descriptors of our own."""
        with perf_event() as event:
            addresses: dict[int, int] = {}
            for address, fd, _ in _OWN_FILE.iter_unpack(self._read("own_files")):
                with contextlib.suppress(OSError):
                    kind = PERF_EVENT if fd == event else _FILES.get(os.readlink(f"/proc/self/fd/{fd}"))
                    if kind is not None:
                        addresses.setdefault(kind, address)
        found = self._bpf.pointer("bpf_object__find_map_by_name", self._object, b"operations")
        fd = self._bpf.call("bpf_map__fd", found)
        for kind, address in addresses.items():
            key, value = ctypes.c_uint32(kind), ctypes.c_uint64(address)
            self._bpf.call("bpf_map_update_elem", fd, ctypes.byref(key), ctypes.byref(value), 0)
        self._learned = True

    def _read(self, name: str) -> bytes:
        return self._bpf.read_iterator(self._links[name])

    def _program(self, name: str) -> int:
        return self._bpf.pointer("bpf_object__find_program_by_name", self._object, name.encode())


@contextlib.contextmanager
def host_iterators() -> Iterator[HostIterators]:
    """Load the iterators for as long as the block runs. Raises IteratorsUnavailable."""
    loaded = HostIterators()
    try:
        yield loaded
    finally:
        loaded.close()
