"""How full maps are: counted by the kernel (Linux 6.6), else by walking keys within limits.

Of a ring buffer it is the bytes that wait for its reader. Nothing is taken from a map, and an LRU map keeps
its order: looking an element up from user space does not count as a use of it (Linux 5.2).
"""

from __future__ import annotations

from msgspec.structs import replace

from core.bpf import syscall
from core.bpf.iterators import HostIterators
from core.bpf.records import Map

COUNTED = frozenset(("hash", "lru_hash", "percpu_hash", "lru_percpu_hash", "hash_of_maps"))
"""What the kernel counts elements of (kernel/bpf/map_iter.c)."""

_WALKED = COUNTED | {"lpm_trie", "devmap_hash", "sockhash"}
_MOST_KEYS = 2_048
_LARGEST_WALKED = 65_536


def fill(maps: tuple[Map, ...], iterators: HostIterators | None) -> tuple[Map, ...]:
    """Return the maps with `entries`, None where that cannot be known or would cost too much.

    An array always has all its elements; slots of tables count when something is in them.
    """
    counts = iterators.counts() if iterators is not None and iterators.has("counts") else {}
    rings = iterators.rings() if iterators is not None and iterators.has("rings") else {}
    left = _MOST_KEYS
    answer = []
    for found in maps:
        entries: int | None = None
        if found.type in COUNTED and found.id in counts:
            entries = counts[found.id]
        elif found.type == "ringbuf":
            entries = rings.get(found.id)
        elif found.type in ("array", "percpu_array"):
            entries = found.max_entries
        elif found.type in _WALKED and left > 0 and found.max_entries <= _LARGEST_WALKED:
            entries, used = _walk(found, left)
            left -= used
        answer.append(replace(found, entries=entries) if entries is not None else found)
    return tuple(answer)


def _walk(found: Map, most: int) -> tuple[int | None, int]:
    """Return (elements, keys walked); None elements when there are more than `most`."""
    count = 0
    try:
        with syscall.opened("map", found.id) as fd:
            key = syscall.next_key(fd, None, found.key_size)
            while key is not None:
                count += 1
                if count >= most:
                    return None, count
                key = syscall.next_key(fd, key, found.key_size)
    except OSError:
        return None, count
    return count, count
