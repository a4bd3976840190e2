"""Contents of maps, decoded by BTF, compared with bpftool's dump of the same maps."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.bpf.btf import Btf, BtfError
from core.bpf.contents import Contents, ContentsError, possible_cpus
from core.bpf.listing import Lister
from core.bpf.records import Map
from core.bpf.types import TypeNames
from core.bpf.values import Decoder, Value
from tests.core.bpf.running_agent import IMAGE, RunningAgent, bpftool, update


def contents(agent: RunningAgent, name: str) -> Contents:
    found = next(found for found in Lister().maps([]) if found.id == agent.maps[name])
    return Contents(found, TypeNames())


def test_a_struct_is_that_of_bpftool(agent: RunningAgent) -> None:
    update(agent.maps["images"], struct.pack("=I", 4121), IMAGE)
    (entry,) = contents(agent, "images").entries(10)
    assert entry.key_value == 4121
    assert entry.values == (
        {
            b"pid": 4121,
            b"start_ns": 123456789,
            b"comm": b"nginx",
            b"nice": -3,
            b"level": 5,
            b"state": b"BUSY",
            b"inner": {b"bytes": [1, 2, 3], b"where": 0xABCD},
        },
    )
    assert entry.raw == (IMAGE,)
    dumped = bpftool("map", "dump", "id", str(agent.maps["images"]))
    assert isinstance(dumped, list)
    theirs = dumped[0]["formatted"]["value"]
    assert (theirs["pid"], theirs["start_ns"], theirs["state"]) == (4121, 123456789, "BUSY")
    assert bytes(theirs["inner"]["bytes"]) == b"\1\2\3"
    # bpftool prints bit fields in hex and without their sign.
    assert (theirs["nice"], theirs["level"]) == ("0x1d", "0x5")


def test_a_key_is_looked_up(agent: RunningAgent) -> None:
    update(agent.maps["images"], struct.pack("=I", 4121), IMAGE)
    found = contents(agent, "images")
    entry = found.entry(struct.pack("=I", 4121))
    assert entry is not None
    assert entry.raw == (IMAGE,)
    assert found.entry(struct.pack("=I", 999)) is None
    with pytest.raises(ContentsError, match="4 bytes"):
        found.entry(b"abc")


def test_every_possible_cpu_has_a_value(agent: RunningAgent) -> None:
    (first, second) = contents(agent, "counters").entries(10)
    assert len(first.values) == possible_cpus() == len(first.raw)
    assert all(isinstance(value, int) for value in first.values)
    assert sum(value for value in first.values if isinstance(value, int)) > 0
    assert set(second.values) == {0}
    dumped = bpftool("map", "dump", "id", str(agent.maps["counters"]))
    assert isinstance(dumped, list)
    assert len(dumped[0]["formatted"]["values"]) == len(first.values)


def test_global_variables_have_names(agent: RunningAgent) -> None:
    (data,) = contents(agent, ".data").entries(1)
    assert data.values == ({b"threshold": 42},)
    (constant,) = contents(agent, ".rodata").entries(1)
    assert constant.values == ({b"started_at": 7},)


def test_tables_answer_ids(agent: RunningAgent) -> None:
    (slot,) = contents(agent, "jumps").entries(10)
    assert (slot.key, slot.values) == (struct.pack("=I", 2), (agent.programs["tail_called"],))
    (inner,) = contents(agent, "of_maps").entries(10)
    assert inner.values == (agent.maps["inner_map"],)


def test_a_dump_has_a_limit(agent: RunningAgent) -> None:
    for number in range(5):
        update(agent.maps["recent"], struct.pack("=Q", number), bytes(8))
    assert len(list(contents(agent, "recent").entries(3))) == 3


@pytest.mark.parametrize("name", ["ring", "of_tasks"])
def test_what_has_no_list_says_why(agent: RunningAgent, name: str) -> None:
    with pytest.raises(ContentsError, match=str(agent.maps[name])):
        contents(agent, name)


def test_a_map_that_is_gone() -> None:
    gone = Map(0x7FFFFFFF, "hash", b"gone", 4, 4, 1, 0, 0, None, None, 0, 0, 0)
    with pytest.raises(ContentsError, match="gone"):
        list(Contents(gone, TypeNames()).entries(1))


def made_btf(types: bytes, names: bytes = b"\0") -> bytes:
    header = struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(types), len(types), len(names))
    return header + types + names


@given(st.binary(max_size=300), st.binary(max_size=64), st.integers(0, 20))
def test_damaged_types_end_in_an_error(types: bytes, data: bytes, number: int) -> None:
    try:
        decoded = Decoder(Btf(made_btf(types + bytes(-len(types) % 4)))).decode(number, data)
    except BtfError:
        return
    assert decoded is None or decoded is not NotImplemented


@st.composite
def structured(draw: st.DrawFn) -> bytes:
    """BTF of a few types that refer to each other at will."""
    types = b""
    for _ in range(draw(st.integers(1, 6))):
        kind = draw(st.integers(1, 19))
        parts = draw(st.integers(0, 3))
        flag = draw(st.booleans())
        value = draw(st.integers(0, 8) | st.sampled_from([2**31, 2**32 - 1]))
        extra = {1: 4, 3: 12, 14: 4, 17: 4}.get(kind, 0)
        each = {4: 12, 5: 12, 6: 8, 13: 8, 15: 12, 19: 12}.get(kind, 0)
        words = st.integers(0, 8) | st.sampled_from([2**32 - 1, 1 << 24, 32])
        count = (extra + each * parts) // 4
        behind = draw(st.lists(words, min_size=count, max_size=count))
        types += struct.pack(f"<III{count}I", 0, flag << 31 | kind << 24 | parts, value, *behind)
    return types


@given(structured(), st.binary(max_size=64))
def test_types_may_refer_to_each_other_at_will(types: bytes, data: bytes) -> None:
    decoder = Decoder(Btf(made_btf(types)))
    for number in range(8):
        try:
            decoder.decode(number, data)
        except BtfError:
            continue


def parts_of(value: Value) -> int:
    if isinstance(value, dict):
        return 1 + sum(map(parts_of, value.values()))
    return 1 + sum(map(parts_of, value)) if isinstance(value, list) else 1


def test_a_value_of_endless_parts_is_bounded() -> None:
    """An array of four thousand million elements that take no room: [ {} , {} , …]."""
    nothing = struct.pack("<III", 0, 4 << 24, 0)
    endless = struct.pack("<IIIIII", 0, 3 << 24, 0, 1, 1, 2**32 - 1)
    value: Any = Decoder(Btf(made_btf(nothing + endless))).decode(2, b"")
    assert parts_of(value) < 10_000
