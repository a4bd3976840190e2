"""The decoder of translated code, compared with bpftool's on real loaded programs."""

from __future__ import annotations

import os
import re
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.bpf.code import jited, xlated
from core.bpf.instructions import decode
from core.bpf.types import TypeNames
from tests.core.bpf.running_agent import RunningAgent, bpftool


def test_code_is_that_of_bpftool(agent: RunningAgent) -> None:
    compared = 0
    for number in agent.programs.values():
        theirs = bpftool("prog", "dump", "xlated", "id", str(number))
        assert isinstance(theirs, list)
        mine = xlated(number, TypeNames())
        assert len(mine) == len(theirs)
        for line, other in zip(mine, theirs, strict=True):
            text = re.sub(r"#.*", "", other["disasm"])
            if "call" in text:
                assert re.sub(r"#.*", "", line.text).split()[:2] == text.split()[:2]
            elif "percpu" not in line.text:  # bpftool 7.1 shows a plain move there
                assert line.text == text
            compared += 1
    assert compared > 30


def test_helpers_and_maps_have_names(agent: RunningAgent) -> None:
    lines = xlated(agent.programs["on_sys_enter_with_a_name_longer_than_15"], TypeNames())
    assert {agent.maps["recent"]} <= {line.map_id for line in lines}
    if os.access("/proc/kallsyms", os.R_OK):
        assert any("bpf_get_current_pid_tgid#" in line.text for line in lines)


def test_source_lines_stand_where_they_begin(agent: RunningAgent) -> None:
    lines = xlated(agent.programs["on_sys_enter_with_a_name_longer_than_15"], TypeNames())
    assert lines[0].function == b"on_sys_enter_with_a_name_longer_than_15"
    sources = {line.source for line in lines}
    assert b"__sync_fetch_and_add(&seen, 1);" in sources
    assert {line.file.rpartition(b"/")[2] for line in lines if line.line} == {b"agent.bpf.c"}


def test_machine_code_is_all_there(agent: RunningAgent) -> None:
    try:
        lines = jited(agent.programs["pass_frames"])
    except PermissionError:
        pytest.skip("machine code is hidden here")
    assert lines[0].slot == 0
    assert [line.slot for line in lines] == sorted(line.slot for line in lines)


@given(st.binary(max_size=400))
def test_any_code_is_decoded(code: bytes) -> None:
    for instruction in decode(code):
        assert instruction.text.isprintable()
        assert 0 <= instruction.slot < len(code) // 8 + 1


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ((0xBF, 0x21, -1, 0), "(bf) r1 = &(void __percpu *)(r2)"),
        ((0xBF, 0x21, 8, 0), "(bf) r1 = (s8)r2"),
        ((0xC2, 0x00, 0, 0), "(c2) nospec"),
        ((0xDB, 0x21, 8, 0xF1), "(db) r0 = atomic64_cmpxchg((u64 *)(r1 +8), r0, r2)"),
        ((0xC3, 0x21, -4, 0x01), "(c3) r2 = atomic_fetch_add((u32 *)(r1 -4), r2)"),
        ((0xDC, 0x01, 0, 16), "(dc) r1 = be16 r1"),
        ((0xD7, 0x01, 0, 32), "(d7) r1 = bswap32 r1"),
        ((0x87, 0x03, 0, 0), "(87) r3 = -r3"),
        ((0x66, 0x04, 3, -1), "(66) if w4 s> 0xffffffff goto pc+3"),
        ((0x3F, 0x21, 1, 0), "(3f) r1 s/= r2"),
        ((0x91, 0x21, 4, 0), "(91) r1 = *(s8 *)(r2 +4)"),
        ((0x06, 0x00, 0, 70000), "(06) gotol pc+70000"),
        ((0xE5, 0x00, 2, 0), "(e5) may_goto pc+2"),
        ((0x30, 0x00, 0, 14), "(30) r0 = *(u8 *)skb[14]"),
    ],
)
def test_what_compilers_do_not_emit(code: tuple[int, int, int, int], text: str) -> None:
    """Texts as kernel/bpf/disasm.c of Linux 6.18 writes them."""
    (instruction,) = decode(struct.pack("=BBhi", *code))
    assert instruction.text == text
