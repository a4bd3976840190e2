"""What the maps of an object take in the kernel's memory, before they are made.

By kernel/bpf/*.c: the memory of hash maps is taken when they are made, unless BPF_F_NO_PREALLOC is given;
per-CPU maps have each value as often as the machine may have CPUs. The numbers are estimates from below
that are right within the overhead of allocations.
"""

from __future__ import annotations

from typing import NamedTuple

from buildgen.objects.section_names import MAP_TYPES

_PAGE = 4096
_OVERHEAD = 1024
"""struct bpf_map and what belongs to it, at least."""
_ELEMENT = 64
"""Link, hash and lock of an element; LRU lists a little more."""
_SMALL = 64
"""Entries that a map has for a check when it is made smaller."""
_FEW_POINTERS = 4096
_HASHES = frozenset({"hash", "lru_hash", "lpm_trie", "devmap_hash", "sockhash", "queue", "stack"})
_PER_CPU = frozenset({"percpu_hash", "lru_percpu_hash"})
_POINTERS = frozenset(
    {"perf_event_array", "cgroup_array", "devmap", "sockmap", "cpumap", "xskmap", "reuseport_sockarray"}
)
_RINGS = frozenset({"ringbuf", "user_ringbuf"})
_SMALLER = _HASHES | _PER_CPU | {"stack_trace", "bloom_filter"}
_NO_ENTRIES = frozenset({"arena", "sk_storage", "inode_storage", "task_storage", "cgrp_storage"})
"""Take memory when they are used, not when they are made."""


_UNCOUNTED = frozenset(
    {
        *("unspec", "perf_event_array", "struct_ops", "cgroup_storage", "percpu_cgroup_storage"),
        *("sk_storage", "inode_storage", "task_storage", "cgrp_storage"),
    }
)
"""max_entries must be 0, or libbpf sets it."""


class Shape(NamedTuple):
    """What bpf(BPF_MAP_CREATE) is given; `type` is a number."""

    type: int
    key_size: int
    value_size: int
    max_entries: int


def memory_of(map_: Shape, cpus: int) -> int:
    """Return the bytes of kernel memory that a map takes when it is created, with this number of CPUs."""
    kind = _kind(map_)
    key, value = (size + 7 & ~7 for size in (map_.key_size, map_.value_size))
    entries = map_.max_entries
    if kind in _NO_ENTRIES:
        size = 0
    elif kind in _RINGS:
        size = entries + 3 * _PAGE
    elif kind in _PER_CPU:
        size = entries * (key + _ELEMENT + value * cpus)
    elif kind == "percpu_array":
        size = entries * (8 + value * cpus)
    elif kind in _HASHES or kind == "stack_trace":
        size = entries * (key + value + _ELEMENT)
    elif kind in _POINTERS or kind in ("prog_array", "array_of_maps"):
        size = entries * 8
    else:
        size = entries * (key + value)  # arrays, and types of a newer kernel
    return size + _OVERHEAD


def smaller(map_: Shape) -> int:
    """Return the max_entries with which a map is made for a check, where the verdict does not depend on it.

    The verifier compares with max_entries of arrays alone: a constant key below it always finds a value,
    and a value is addressed directly only in an array of one. So arrays, and what may have elements from
    the start (maps in maps, programs), stay as they are.
    """
    kind = _kind(map_)
    if kind in _RINGS:
        return min(map_.max_entries, _PAGE)
    if kind in _POINTERS:
        return min(map_.max_entries, _FEW_POINTERS)
    return min(map_.max_entries, _SMALL) if kind in _SMALLER else map_.max_entries


def entries_to_set(map_: Shape) -> int:
    """Return max_entries for a map of which the object says none, 0 where it needs none or libbpf sets it."""
    kind = _kind(map_)
    if map_.max_entries or kind in _UNCOUNTED or not kind:
        return 0
    return _PAGE if kind in _RINGS else 1


def is_map_of_maps(map_: Shape) -> bool:
    return _kind(map_) in ("array_of_maps", "hash_of_maps")


def _kind(map_: Shape) -> str:
    return MAP_TYPES[map_.type] if map_.type < len(MAP_TYPES) else ""
