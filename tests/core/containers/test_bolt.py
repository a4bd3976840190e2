"""bbolt files: built by hand here, page by page; real ones are in test_containers_real.py."""

from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.containers.bolt import BoltError, ReadAt, bolt_values
from tests.core.containers.bolt_pages import LEAF, SIZE, branch, leaf, meta, page


def bucket(root: int) -> bytes:
    return struct.pack("=QQ", root, 0)


INLINE = bucket(0) + leaf(0, [(b"image", b"busybox", 0)]).rstrip(b"\0")
BIG = b"x" * 6000
PAGES = [
    meta(0, 6),
    meta(1, 7),
    page(2, 16, 0, b""),
    branch(3, [(b"a", 4), (b"m", 5)]),
    leaf(4, [(b"a", b"1", 0), (b"b", bucket(6), 1)]),
    leaf(5, [(b"m", b"2", 0), (b"z", INLINE, 1)]),
    leaf(6, [(b"big", BIG, 0), (b"small", b"s", 0)], overflow=1),
]
FILE = b"".join(PAGES)


def reader(data: bytes) -> ReadAt:
    return lambda size, offset: data[offset : offset + size]


def test_values_of_a_bucket() -> None:
    read = reader(FILE)
    assert bolt_values(read, [b"b"]) == {b"big": BIG, b"small": b"s"}
    assert bolt_values(read, [b"z"]) == {b"image": b"busybox"}
    assert bolt_values(read, []) == {b"a": b"1", b"m": b"2"}
    for missing in ([b"c"], [b"\0"], [b"a"], [b"z", b"image"], [b"b", b"deeper"]):
        assert bolt_values(read, missing) is None


def test_the_newer_meta_page_counts_unless_it_is_half_written() -> None:
    old = leaf(8, [(b"old", b"1", 0)])
    data = meta(0, 6, root=8) + FILE[SIZE:] + old
    assert bolt_values(reader(data), []) == {b"a": b"1", b"m": b"2"}
    torn = data[: SIZE + 30] + b"\xff" + data[SIZE + 31 :]
    assert bolt_values(reader(torn), []) == {b"old": b"1"}


def test_a_read_is_done_again_when_a_commit_came_in_between() -> None:
    versions = [FILE, b"".join([meta(0, 8, root=4), *PAGES[1:]])]
    asked = 0

    def read(size: int, offset: int) -> bytes:
        nonlocal asked
        asked += 1
        data = versions[0] if asked < 12 else versions[1]
        return data[offset : offset + size]

    assert bolt_values(read, []) == {b"a": b"1"}


def test_a_file_that_never_rests() -> None:
    txid = 10

    def read(size: int, offset: int) -> bytes:
        nonlocal txid
        txid += 1
        data = meta(0, txid) + FILE[SIZE:]
        return data[offset : offset + size]

    with pytest.raises(BoltError, match="changes faster than it can be read"):
        bolt_values(read, [])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"SQLite format 3\0" * 1000,
        FILE[: 3 * SIZE],
        FILE[: 4 * SIZE + 20],
        b"".join([*PAGES[:3], branch(3, [(b"", 3)])]),
        b"".join([*PAGES[:3], branch(3, [(b"", 4)] * 50), branch(4, [(b"", 3)] * 50)]),
        b"".join([*PAGES[:3], *(branch(n, [(b"", n + 1)] * 200) for n in (3, 4, 5)), leaf(6, [])]),
        b"".join([meta(0, 6, root=1 << 60), meta(1, 7, root=1 << 60)]),
        b"".join([*PAGES[:3], page(3, LEAF, 65535, b"")]),
        b"".join([*PAGES[:3], page(3, LEAF, 1, struct.pack("=IIII", 0, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF))]),
        b"".join([*PAGES[:3], struct.pack("=QHHI", 3, LEAF, 0, 0xFFFFFFFF)]),
    ],
)
def test_what_is_no_database_or_a_broken_one(data: bytes) -> None:
    with pytest.raises(BoltError):
        bolt_values(reader(data), [])


@given(st.lists(st.tuples(st.integers(0, len(FILE) - 1), st.binary(min_size=1, max_size=8)), max_size=8))
def test_any_damage_gives_values_or_an_error(damage: list[tuple[int, bytes]]) -> None:
    data = bytearray(FILE)
    for at, what in damage:
        data[at : at + len(what)] = what
    # the checksum of the meta pages must not be all that stands between us and the rest
    data[: 2 * SIZE] = FILE[: 2 * SIZE]
    for path in ([], [b"b"], [b"z"]):
        with contextlib.suppress(BoltError):
            assert isinstance(bolt_values(reader(bytes(data)), path), dict | None)


def _hostile_leaf(number: int, items: int, overflow: int) -> bytes:
    """A leaf whose values all lie in the same place, each as long as the page."""
    length = SIZE * (1 + overflow) - 16 - items * 16 - 4
    heads = (struct.pack("=IIII", 0, (items - index) * 16, 4, length) for index in range(items))
    return page(number, LEAF, items, b"".join(heads), overflow)


def test_values_that_lie_in_each_other_do_not_fill_the_memory() -> None:
    """60,000 values of 16 MB in a file of 16 MB."""
    data = b"".join([*PAGES[:3], _hostile_leaf(3, 60_000, 4000)])
    with pytest.raises(BoltError, match="holds more"):
        bolt_values(lambda size, offset: data[offset : offset + size], ())


def test_pages_that_lie_in_each_other_are_not_read_for_hours() -> None:
    """2000 pages of 8 MB in a file of 16 MB: each says that it goes on through the ones behind it."""
    below = [(b"%06d" % number, 4 + number) for number in range(150)]
    pages = [leaf(4 + number, []) for number in range(2400)]
    pages = [struct.pack("=QHHI", 4 + number, LEAF, 0, 2000) + raw[16:] for number, raw in enumerate(pages)]
    data = b"".join([*PAGES[:3], branch(3, below).ljust(SIZE, b"\0")[:SIZE], *pages])
    read = []

    def read_at(size: int, offset: int) -> bytes:
        read.append(size)
        return data[offset : offset + size]

    with pytest.raises(BoltError, match="holds more"):
        bolt_values(read_at, ())
    assert sum(read) < 100 << 20


def test_empty_keys_cost_work_as_well() -> None:
    """60,000 items in a page, none of which takes a byte."""
    many = b"".join([*PAGES[:3], _hostile_leaf_of_nothing(3, 60_000)])
    spent: list[int] = []
    assert bolt_values(reader(many), [], spent.append) == {b"": b""}
    assert sum(spent) >= 60_000 * 100


def _hostile_leaf_of_nothing(number: int, items: int) -> bytes:
    overflow = (16 + items * 16) // SIZE
    heads = (struct.pack("=IIII", 0, 0, 0, 0) for _ in range(items))
    return page(number, LEAF, items, b"".join(heads), overflow)


def test_a_budget_that_ends_ends_the_look() -> None:
    class OutOfWorkError(Exception):
        pass

    def spend(units: int) -> None:
        raise OutOfWorkError

    with pytest.raises(OutOfWorkError):
        bolt_values(reader(FILE), [], spend)


def test_pages_of_empty_items_that_lie_in_each_other_end() -> None:
    leaf_page = _hostile_leaf_of_nothing(4, 60_000)
    data = b"".join([*PAGES[:3], branch(3, [(b"", 4)] * 60)[:SIZE].ljust(SIZE, b"\0"), leaf_page])
    with pytest.raises(BoltError, match="more items than are read"):
        bolt_values(reader(data), [])
