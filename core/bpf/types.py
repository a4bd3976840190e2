"""The BTF objects of the host, read once each: names of functions, attach targets, types of maps."""

from __future__ import annotations

import ctypes
import struct

from core.bpf import syscall
from core.bpf.btf import DECL_TAG, TYPEDEF, Btf, BtfError

_BTF = struct.Struct("=QIIQII")
_LARGEST = 64 << 20
_KEPT = 256
"""Objects that are kept; beyond it all are dropped, but for the kernel's."""


class TypeNames:
    """Reads BTF by the id of its object. Ids are not used again while a host runs; nothing is kept open."""

    def __init__(self) -> None:
        self._objects: dict[int, Btf | None] = {}
        self._programs: dict[int, tuple[int, int]] = {}
        self._kernel: Btf | None = None

    def object(self, number: int) -> Btf | None:
        """Return a BTF object, None when it is gone, refused or damaged."""
        if number not in self._objects:
            if len(self._objects) >= _KEPT:
                self._objects.clear()
            try:
                self._objects[number] = self._read(number)
            except (OSError, BtfError):
                self._objects[number] = None
        return self._objects[number]

    def kernel(self) -> Btf | None:
        """Return the kernel's own BTF, None where there is none."""
        if self._kernel is None:
            try:
                with open("/sys/kernel/btf/vmlinux", "rb") as file:
                    self._kernel = Btf(file.read(_LARGEST))
            except (OSError, BtfError):
                return None
        return self._kernel

    def name(self, number: int, type_id: int) -> bytes:
        """Return the name of a type, b"" when it cannot be told."""
        found = self.object(number)
        try:
            return found.type(type_id).name if found else b""
        except BtfError:
            return b""

    def attach_target(self, object_id: int, type_id: int) -> bytes:
        """Return what a program is made for, by name; b"" when it says nothing.

        The name is that of a function, of a tracepoint (`btf_trace_sched_switch` is shown as
        `sched_switch`), an LSM hook (`bpf_lsm_…`) or an iterator (`bpf_iter_…`).
        """
        if not type_id:
            return b""
        found = self.object(object_id) if object_id else self.kernel()
        try:
            target = found.type(type_id) if found else None
        except BtfError:
            target = None
        if target is None:
            return b"type %d" % type_id
        name = target.name
        if target.kind in (TYPEDEF, DECL_TAG):
            name = name.removeprefix(b"btf_trace_")
        return name.removeprefix(b"bpf_lsm_").removeprefix(b"bpf_iter_")

    def _read(self, number: int) -> Btf:
        with syscall.opened("btf", number) as fd:
            name = ctypes.create_string_buffer(64)
            asked = _BTF.pack(0, 0, 0, ctypes.addressof(name), 64, 0)
            first = _BTF.unpack_from(syscall.info("btf", fd, asked))
            if first[5] and name.value == b"vmlinux":
                kernel = self.kernel()
                if kernel is not None:
                    return kernel
            if first[1] > _LARGEST:
                raise BtfError("too big")
            room = ctypes.create_string_buffer(first[1])
            syscall.info("btf", fd, _BTF.pack(ctypes.addressof(room), first[1], 0, 0, 0, 0))
        return Btf(room.raw, self.kernel() if first[5] else None)
