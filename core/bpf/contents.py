"""What is in a map: a bounded number of entries, decoded by BTF, each read twice and marked when it changed.

Only look-ups and next-key calls: no batch (it takes locks of the map), no BPF_F_LOCK (it takes the lock of
the value). User space does not keep an element of an LRU map alive by looking at it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import msgspec

from core.bpf import syscall
from core.bpf.btf import Btf, BtfError
from core.bpf.records import Map
from core.bpf.types import TypeNames
from core.bpf.values import Decoder, Value

MOST_ENTRIES = 2_048
"""Entries that one reading gives at most, so that programs on this CPU miss few of their runs."""

_LARGEST_VALUE = 1 << 20
_PER_CPU = frozenset(("percpu_hash", "percpu_array", "lru_percpu_hash", "percpu_cgroup_storage"))
_ARRAYS = frozenset(("array", "percpu_array"))
_IDS = frozenset(("prog_array", "array_of_maps", "hash_of_maps"))
"""A look-up answers the id of the program or map in the slot."""
_NOT_READABLE = {
    "ringbuf": "a ring buffer has no entries; its fill says what waits in it",
    "user_ringbuf": "a ring buffer has no entries",
    "perf_event_array": "it holds perf events, not data",
    "cgroup_array": "it holds cgroups, which user space cannot read",
    "bloom_filter": "a bloom filter can be asked for a value only",
    "queue": "reading a queue would take its elements away",
    "stack": "reading a stack would take its elements away",
    "task_storage": "it is asked with a process's pidfd and cannot be listed",
    "inode_storage": "it is asked with a file's descriptor and cannot be listed",
    "cgrp_storage": "it is asked with a cgroup's descriptor and cannot be listed",
    "sk_storage": "it is asked with a socket and cannot be listed",
    "arena": "an arena is memory without entries",
}


class ContentsError(Exception):
    """A map that cannot be read, and why."""


class Entry(msgspec.Struct, frozen=True):
    """One entry. `values` has one element, or one for each possible CPU; each is None without BTF.

    `changed`: two readings differed, so the value may be half old and half new.
    """

    key: bytes
    raw: tuple[bytes, ...]
    key_value: Value
    values: tuple[Value, ...]
    changed: bool = False


class Contents:
    """Reads one map. Nothing is kept open between calls."""

    def __init__(self, found: Map, types: TypeNames) -> None:
        """Raises ContentsError for maps that user space cannot list."""
        if found.type in _NOT_READABLE:
            raise ContentsError(f"map {found.id} ({found.type}): {_NOT_READABLE[found.type]}")
        self._map = found
        self._value_size = 4 if found.type in _IDS else found.value_size
        self._cpus = possible_cpus() if found.type in _PER_CPU else 1
        self._step = (self._value_size + 7) // 8 * 8 if found.type in _PER_CPU else 0
        if max(self._value_size, self._step * self._cpus) > _LARGEST_VALUE:
            raise ContentsError(f"map {found.id}: a value of {found.value_size} bytes is too long to be read")
        kernel = types.kernel() if found.kernel_value_type and not found.btf_id else None
        self._btf: Btf | None = types.object(found.btf_id) if found.btf_id else kernel
        self._value_type = found.value_type or (found.kernel_value_type if kernel else 0)

    @property
    def per_cpu(self) -> bool:
        """True when an entry has a value for each possible CPU."""
        return self._step > 0

    @property
    def has_types(self) -> bool:
        return self._btf is not None and bool(self._value_type)

    def entries(self, most: int) -> Iterator[Entry]:
        """Yield up to `most` entries, in the kernel's order. Raises ContentsError."""
        most = min(most, MOST_ENTRIES)
        size = self._map.key_size
        key: bytes | None = None
        walked = 0
        try:
            with syscall.opened("map", self._map.id) as fd:
                while most and walked < MOST_ENTRIES:
                    key = syscall.next_key(fd, key, size)
                    if key is None:
                        return
                    walked += 1
                    entry = self._read(fd, key)
                    if entry is not None:
                        most -= 1
                        yield entry
        except OSError as error:
            raise ContentsError(f"map {self._map.id}: {_why(error)}") from None

    def entry(self, key: bytes) -> Entry | None:
        """Return the entry of a key, None when there is none. Raises ContentsError."""
        if len(key) != self._map.key_size:
            wanted = self._map.key_size
            raise ContentsError(f"map {self._map.id}: its keys have {wanted} bytes, this one {len(key)}")
        try:
            with syscall.opened("map", self._map.id) as fd:
                return self._read(fd, key)
        except OSError as error:
            raise ContentsError(f"map {self._map.id}: {_why(error)}") from None

    def _read(self, fd: int, key: bytes) -> Entry | None:
        size = self._step * self._cpus if self._step else self._value_size
        value = syscall.look_up(fd, key, size)
        if value is None:
            return None
        again = syscall.look_up(fd, key, size) if size > 8 else value
        step = self._step or self._value_size
        parts = tuple(value[at : at + self._value_size] for at in range(0, size, step)) if step else (b"",)
        return Entry(
            key,
            parts,
            self._decoded(self._map.key_type, key),
            tuple(self._decoded(self._value_type, part) for part in parts),
            changed=again is not None and again != value,
        )

    def _decoded(self, type_id: int, data: bytes) -> Value:
        if self._map.type in _IDS and type_id == self._value_type:
            return int.from_bytes(data, sys.byteorder)
        if self._btf is None or not type_id:
            return None
        try:
            return Decoder(self._btf).decode(type_id, data)
        except BtfError:
            return None


def _why(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "it is gone"
    if error.errno == syscall.ENOTSUPP:
        return "its type cannot be listed"
    if isinstance(error, PermissionError):
        return "the kernel or a security module refuses to read it"
    return error.strerror or str(error)


@lru_cache(maxsize=1)
def possible_cpus() -> int:
    """Return the number of possible CPUs: the kernel writes one value for each, online or not."""
    ranges = Path("/sys/devices/system/cpu/possible").read_text().strip().split(",")
    return int(ranges[-1].split("-")[-1]) + 1
