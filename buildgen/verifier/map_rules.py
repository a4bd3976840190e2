"""Which rule a map's definition breaks: the kernel answers with an error number alone.

By the map_alloc_check() of kernel/bpf/*.c.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator

from buildgen.objects.model import MapDef
from buildgen.verifier.model import Explanation

_NO_PREALLOC, _MMAPABLE = 1, 0x400
_PER_CPU_MOST = 32768
"""PCPU_MIN_UNIT_SIZE: what one per-CPU allocation may have."""
_KEY_MOST = 512
"""MAX_BPF_STACK: a key comes from the stack."""
_VALUE_MOST = 4 << 20
_LPM_DATA = 4
_KEY_IS_INDEX = frozenset(
    {
        *("array", "percpu_array", "prog_array", "perf_event_array", "cgroup_array", "array_of_maps"),
        *("devmap", "cpumap", "xskmap", "reuseport_sockarray", "sockmap", "stack_trace"),
    }
)
_TABLES = frozenset({"sockmap", "sockhash", "devmap", "devmap_hash", "cpumap", "reuseport_sockarray"})
_FD_VALUES = frozenset(["prog_array", "perf_event_array", "cgroup_array", "array_of_maps", "hash_of_maps"])
_NO_KEY = frozenset(["queue", "stack", "bloom_filter", "ringbuf", "user_ringbuf", "arena"])
_LOCAL = frozenset(["sk_storage", "inode_storage", "task_storage", "cgrp_storage"])
_RINGS = frozenset({"ringbuf", "user_ringbuf"})
_HASHES = frozenset(
    {"hash", "percpu_hash", "lru_hash", "lru_percpu_hash", "hash_of_maps", "sockhash", "devmap_hash"}
)
_UNCOUNTED = _LOCAL | {"cgroup_storage", "percpu_cgroup_storage", "struct_ops", "perf_event_array"}


def broken_rule(map_: MapDef, error: int) -> Explanation:
    """Return what is wrong with a map that the kernel does not make; `error` is the errno."""
    for cause, fix in _rules(map_):
        return Explanation(f"map {map_.name}: {cause}", fix)
    size = map_.max_entries * (map_.key_size + map_.value_size)
    if error in (errno.E2BIG, errno.ENOMEM):
        return Explanation(
            f"map {map_.name}: it is too large for this kernel: {map_.max_entries:,} entries of "
            f"{map_.key_size + map_.value_size:,} bytes ({size >> 20:,} MiB)",
            "lower max_entries, make the value smaller, or set BPF_F_NO_PREALLOC on a hash",
        )
    if error == errno.EPERM:
        return Explanation(
            f"map {map_.name}: making it is not permitted, or (before Linux 5.11) the limit of locked "
            "memory is reached",
            "load it as root; before 5.11 raise the limit: ulimit -l unlimited",
        )
    return Explanation(
        f"map {map_.name}: this kernel does not take a map of type {map_.type or '?'} with a key of "
        f"{map_.key_size} and a value of {map_.value_size} bytes, {map_.max_entries:,} entries and flags "
        f"{map_.flags:#x}",
        "check that the kernel has this type (`bpftool feature probe`) and that type, sizes and flags go "
        "together",
    )


def _rules(map_: MapDef) -> Iterator[tuple[str, str]]:
    """Yield what is wrong, the most likely first."""
    kind, key, value = map_.type, map_.key_size, map_.value_size
    yield from _key_rules(kind, key)
    if kind in ("percpu_array", "percpu_hash", "lru_percpu_hash") and value > _PER_CPU_MOST:
        yield (
            f"a value of a per-CPU map has at most {_PER_CPU_MOST:,} bytes (32 KiB), and this one has "
            f"{value:,}",
            "make the value smaller, or split it over several entries",
        )
    if kind in _FD_VALUES and value != 4:
        yield (
            f"the value of a {kind} is 4 bytes, not {value}",
            "define it with __uint(value_size, sizeof(__u32))",
        )
    if (kind in _NO_KEY - _RINGS - {"arena"} and not value) or (kind in _HASHES | {"array"} and not value):
        yield "its value has no size", "define it with __type(value, …)"
    if kind in _HASHES and key + value > _VALUE_MOST:
        yield (
            f"key and value have {key + value:,} bytes; the kernel takes at most 4 MiB",
            "make them smaller",
        )
    if kind == "stack_trace" and (value % 8 or not value or value > 8 * 127):
        yield (
            f"its value is a number of 8-byte addresses, at most 127 of them, and has {value} bytes",
            "define it with __uint(value_size, 127 * sizeof(__u64))",
        )
    if kind in _TABLES and value not in (4, 8):
        yield f"the value of a {kind} is 4 or 8 bytes, not {value}", "define it with __type(value, __u32)"
    yield from _ring_and_flags(map_)
    if map_.max_entries == 0 and kind not in _UNCOUNTED:
        yield "max_entries is 0", "define it with __uint(max_entries, …), or let the loader set it"


def _key_rules(kind: str, key: int) -> Iterator[tuple[str, str]]:
    if kind in _KEY_IS_INDEX and key != 4:
        yield (
            f"the key of a map of type {kind} is its index: 4 bytes, and this one has {key}",
            "define it with __type(key, __u32)",
        )
    if kind in _NO_KEY and key:
        yield f"a {kind} has no key, and this one has a key of {key} bytes", "remove key and key_size"
    if kind in _LOCAL and key != 4:
        yield f"the key of a {kind} is 4 bytes (a descriptor), not {key}", "define it with __type(key, int)"
    if kind in _HASHES and not key:
        yield "its key has no size", "define it with __type(key, …)"
    if kind in _HASHES and key > _KEY_MOST:
        yield (
            f"a key has at most {_KEY_MOST} bytes, and this one has {key}",
            "use a shorter key, e.g. a hash of it",
        )
    if kind == "lpm_trie" and not _LPM_DATA < key <= _LPM_DATA + 256:
        yield (
            f"the key of an LPM trie is a 4-byte prefix length and 1 to 256 bytes behind it, and has {key} "
            "bytes",
            "define a struct { __u32 prefixlen; … } for the key",
        )


def _ring_and_flags(map_: MapDef) -> Iterator[tuple[str, str]]:
    kind, entries, flags = map_.type, map_.max_entries, map_.flags
    if kind in _RINGS:
        if map_.value_size:
            yield f"a {kind} has no value", "remove value and value_size"
        if entries & (entries - 1) or entries % 4096 or not entries:
            yield (
                f"the size of a {kind} (max_entries) is a power of two and a multiple of the page size, and "
                f"is {entries:,}",
                "use e.g. __uint(max_entries, 256 * 1024)",
            )
    if kind == "lpm_trie" and not flags & _NO_PREALLOC:
        yield "an LPM trie wants BPF_F_NO_PREALLOC", "add __uint(map_flags, BPF_F_NO_PREALLOC)"
    if kind in _LOCAL and (not flags & _NO_PREALLOC or map_.max_entries):
        yield (
            f"a {kind} wants BPF_F_NO_PREALLOC and no max_entries",
            "add __uint(map_flags, BPF_F_NO_PREALLOC) and remove max_entries",
        )
    if kind in ("lru_hash", "lru_percpu_hash") and flags & _NO_PREALLOC:
        yield f"BPF_F_NO_PREALLOC does not go with a {kind}", "remove that flag"
    if kind in ("hash", "percpu_hash") and flags & _MMAPABLE:
        yield "only arrays and arenas can be mapped (BPF_F_MMAPABLE)", "remove that flag"
    if kind == "arena" and not flags & _MMAPABLE:
        yield "an arena wants BPF_F_MMAPABLE", "add __uint(map_flags, BPF_F_MMAPABLE)"
    if kind in ("array_of_maps", "hash_of_maps"):
        yield (
            "the kernel wants to know what kind of map is inside of it, and no inner map is defined",
            "define one with __array(values, struct { … }), or let the loader call "
            "bpf_map__set_inner_map_fd()",
        )
