"""Reads bbolt databases: containerd's meta.db and podman's bolt_state.db. Never writes, never locks.

The file is a tree of pages. A commit writes changed pages to free places and then one of the two meta pages,
so the tree below a meta page stays whole until the commit after next. A read is valid only if no commit
happened during it; otherwise it is repeated.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Protocol

_MAGIC, _VERSION = 0xED0CDAED, 2
_PAGE = struct.Struct("=QHHI")
_META = struct.Struct("=IIIIQQQQQ")
_CHECKSUM = struct.Struct("=Q")
_BRANCH = struct.Struct("=IIQ")
_LEAF = struct.Struct("=IIII")
_BUCKET = struct.Struct("=QQ")
_IS_BRANCH, _IS_LEAF, _HOLDS_BUCKET = 1, 2, 1

_PAGE_SIZES = (1024, 2048, 4096, 8192, 16_384, 32_768, 65_536)
_PAGE_LIMIT = 16 << 20
_BYTES_LIMIT = 64 << 20
"""Limit of the bytes read for one query: in a small crafted file, pages and values may overlap."""

_WORK_LIMIT = 40_000_000
_PAGE_WORK, _ITEM_WORK = 1_000, 200
"""Units of work (work.py): the limit of one query, and the cost of a page and of an item."""

_DEPTH_LIMIT = 32
_ATTEMPTS = 4


class BoltError(ValueError):
    """The database is not valid, or changes faster than it can be read."""


class ReadAt(Protocol):
    """Return up to `size` bytes of the file from `offset`; fewer at its end. May raise OSError."""

    def __call__(self, size: int, offset: int) -> bytes: ...


class _Meta(NamedTuple):
    txid: int
    page_size: int
    root: int


def bolt_values(
    read: ReadAt, bucket: Sequence[bytes], spend: Callable[[int], None] = lambda units: None
) -> dict[bytes, bytes] | None:
    """Return the keys and values of one bucket, given by its path; None when there is no such bucket.

    Nested buckets are left out. `spend` is called with the units of work before the work is done.
    Raises BoltError, and what `read` and `spend` raise.
    """
    for _ in range(_ATTEMPTS):
        meta = _newest(read)
        problem: BoltError | None = None
        values = None
        try:
            values = _Tree(read, meta, spend).values(bucket)
        except BoltError as error:
            problem = error
        if _newest(read).txid == meta.txid:
            if problem:
                raise problem
            return values
    raise BoltError("changes faster than it can be read")


def _newest(read: ReadAt) -> _Meta:
    """Return the newer of the two meta pages; one of them may be half written."""
    metas = [meta for size in (0, *_PAGE_SIZES) if (meta := _meta_at(read, size))]
    if not metas:
        raise BoltError("is not a bolt database")
    return max(metas)


def _meta_at(read: ReadAt, offset: int) -> _Meta | None:
    data = read(_META.size + _CHECKSUM.size, offset + _PAGE.size)
    if len(data) < _META.size + _CHECKSUM.size:
        return None
    magic, version, page_size, _, root, _, _, _, txid = _META.unpack_from(data)
    (checksum,) = _CHECKSUM.unpack_from(data, _META.size)
    if (magic, version) != (_MAGIC, _VERSION) or page_size not in _PAGE_SIZES or offset not in (0, page_size):
        return None
    return _Meta(txid, page_size, root) if checksum == _fnv(data[: _META.size]) else None


def _fnv(data: bytes) -> int:
    """Return the 64-bit FNV-1a hash."""
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return value


class _Item(NamedTuple):
    key: bytes
    value: bytes
    is_bucket: bool


class _Tree:
    """The tree of one commit. Everything read is checked: the file may be damaged or crafted."""

    def __init__(self, read: ReadAt, meta: _Meta, spend: Callable[[int], None]) -> None:
        self._read = read
        self._meta = meta
        self._spend_of_all = spend
        self._left = 4096
        """How many more pages may be read: more than any real bucket has; it also ends loops."""
        self._bytes_left = _BYTES_LIMIT
        self._work_left = _WORK_LIMIT

    def values(self, bucket: Sequence[bytes]) -> dict[bytes, bytes] | None:
        page = self._page(self._meta.root)
        for name in bucket:
            item = next(self._items(page, name), None)
            if item is None or not item.is_bucket:
                return None
            root, _ = self._unpack(_BUCKET, item.value, 0)
            page = self._page(root) if root else item.value[_BUCKET.size :]
        return {item.key: item.value for item in self._items(page) if not item.is_bucket}

    def _items(self, page: bytes, key: bytes | None = None, depth: int = 0) -> Iterator[_Item]:
        """Yield the items of a page and of those below it; with `key` only the item with that key."""
        _, flags, count, _ = self._unpack(_PAGE, page, 0)
        if depth > _DEPTH_LIMIT or flags not in (_IS_BRANCH, _IS_LEAF):
            raise BoltError("has a page of the wrong kind")
        if flags == _IS_LEAF:
            for at in range(_PAGE.size, _PAGE.size + count * _LEAF.size, _LEAF.size):
                self._work(_ITEM_WORK)
                kind, position, key_size, value_size = self._unpack(_LEAF, page, at)
                start = at + position
                name = self._slice(page, start, key_size)
                if key is None or name == key:
                    value = self._slice(page, start + key_size, value_size)
                    yield _Item(name, value, kind == _HOLDS_BUCKET)
            return
        below: list[tuple[bytes, int]] = []
        for at in range(_PAGE.size, _PAGE.size + count * _BRANCH.size, _BRANCH.size):
            self._work(_ITEM_WORK)
            position, key_size, number = self._unpack(_BRANCH, page, at)
            below.append((self._slice(page, at + position, key_size), number))
        if key is not None:  # each key is the smallest of its page
            below = [pair for pair in below if pair[0] <= key][-1:]
        for _, number in below:
            yield from self._items(self._page(number), key, depth + 1)

    def _page(self, number: int) -> bytes:
        self._left -= 1
        if self._left < 0 or number < 2 or number > 1 << 40:
            raise BoltError("has a reference to a page that cannot exist")
        size, offset = self._meta.page_size, number * self._meta.page_size
        self._work(_PAGE_WORK)
        self._spend(size)
        data = self._read(size, offset)
        own, _, _, overflow = self._unpack(_PAGE, data, 0)
        if own != number or overflow * size > _PAGE_LIMIT:
            raise BoltError("has a page in the wrong place")
        self._spend(overflow * size)
        return data + self._read(overflow * size, offset + size) if overflow else data

    def _work(self, units: int) -> None:
        self._spend_of_all(units)
        self._work_left -= units
        if self._work_left < 0:
            raise BoltError("holds more items than are read")

    def _spend(self, size: int) -> None:
        self._bytes_left -= size
        if self._bytes_left < 0:
            raise BoltError(f"holds more than the {_BYTES_LIMIT} bytes that are read")

    @staticmethod
    def _unpack(shape: struct.Struct, data: bytes, offset: int) -> tuple[int, ...]:
        if offset + shape.size > len(data):
            raise BoltError("has a page that ends early")
        return shape.unpack_from(data, offset)

    def _slice(self, data: bytes, start: int, size: int) -> bytes:
        if start + size > len(data):
            raise BoltError("has a page that ends early")
        self._spend(size)
        return data[start : start + size]
