"""The text of the verifier, in the forms of several kernels: steps, paths, and what decided."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildgen.verifier.dataflow import origin_of, setter_of
from buildgen.verifier.log import Log, read_log
from buildgen.verifier.rejections import ROWS, explain
from buildgen.verifier.rejections.row import Row

END = "processed 9 insns (limit 1000000) max_states_per_insn 0 total_states 3 peak_states 2 mark_read 1\n"

NEW = f"""0: R1=ctx() R10=fp0
; int f(void *ctx) @ f.bpf.c:3
0: (79) r6 = *(u64 *)(r1 +0)          ; R1=ctx() R6=scalar()
func 'exec' arg0 has btf_id 114 type STRUCT 'task_struct'
; if (a > 3) @ f.bpf.c:4
1: (25) if r6 > 0x3 goto pc+2         ; R6=scalar(smin=smin32=0,smax=umax=3)
;  @ f.bpf.c:0
2: (b7) r0 = 0                        ; R0=0
3: (95) exit

from 1 to 4: R1=ctx() R6=scalar(umin=4) R10=fp0
; return *a; @ f.bpf.c:6
4: (71) r0 = *(u8 *)(r6 +0)
R6 invalid mem access 'scalar'
{END}"""

OLD = f"""0: (79) r6 = *(u64 *)(r1 +0)
 R1_w=ctx(id=0,off=0,imm=0) R6_w=inv(id=0) R10=fp0
; return *a;
1: R1=ctx(id=0,off=0,imm=0) R6_w=inv(id=0) R10=fp0
1: (71) r0 = *(u8 *)(r6 +0)
R6 invalid mem access 'inv'
{END}"""


def test_steps_lines_and_the_decisive_text() -> None:
    log = read_log(NEW)
    assert [step.insn for step in log.steps] == [0, 1, 2, 3, 4]
    assert log.decisive == ("R6 invalid mem access 'scalar'",)
    assert (log.steps[-1].file, log.steps[-1].line, log.steps[-1].source) == ("f.bpf.c", 6, "return *a;")
    assert log.steps[2].line == 4  # line 0 is the compiler's own: it belongs to the line before
    assert (log.insns, log.states) == (9, 3)


def test_the_path_leaves_out_the_other_branch() -> None:
    assert [step.insn for step in read_log(NEW).path()] == [4, 1, 0]


def test_the_form_of_5_10() -> None:
    log = read_log(OLD)
    assert log.decisive == ("R6 invalid mem access 'inv'",)
    assert (log.steps[-1].source, log.steps[-1].line) == ("return *a;", None)
    assert log.steps[0].after[6] == "inv(id=0)"
    assert "a plain number" in explain(log, "kprobe").cause


def test_a_branch_that_is_not_looked_at_continues_elsewhere() -> None:
    log = read_log("3: (6d) if r1 s> r2 goto pc+1 5: R1=128 R2=scalar(smax=127)\n5: (b7) r0 = 0 ; R0=0\n")
    assert log.steps[0].text == "(6d) if r1 s> r2 goto pc+1"
    assert log.steps[0].after == {1: "128", 2: "scalar(smax=127)"}


def test_a_message_without_a_line_break() -> None:
    log = read_log(f"0: (85) call bpf_tail_call#12\nexpected prog array map for tail call{END}")
    assert log.decisive == ("expected prog array map for tail call",)
    assert log.insns == 9


@pytest.mark.parametrize(
    "note",
    [
        "func 'exec' arg0 has btf_id 114 type STRUCT 'task_struct'",
        "Global function f() doesn't return scalar. Only those are supported.",
        "arg#0 reference type('UNKNOWN ') size cannot be determined: -22",
        "Validating f() func#1...",
        "mark_precise: frame0: last_idx 4 first_idx 0 subseq_idx -1",
        "verification time 17 usec",
        "stack depth 304+304",
    ],
)
def test_notes_of_a_log_without_steps_do_not_decide(note: str) -> None:
    log = read_log("", f"{note}\ncombined stack size of 2 calls is 608. Too large\n{note}\n{END}")
    assert log.decisive == ("combined stack size of 2 calls is 608. Too large",)


def test_such_a_note_decides_when_the_call_fails_by_it() -> None:
    found = "Global function g() doesn't return scalar.\nCaller passes invalid args into func#1"
    text = f"0: (85) call pc+5\n{found}\n{END}"
    assert "returns a pointer or nothing" in explain(read_log(text), "xdp").cause


def test_a_called_function_has_registers_of_its_own() -> None:
    text = """0: (b7) r6 = 7 ; R6=7
1: (85) call pc+3
5: (b7) r6 = 9 ; frame1: R6=9
6: (95) exit
2: (07) r6 += 1 ; R6=8
3: (bf) r1 = r6 ; R1=8 R6=8
"""
    path = list(read_log(text).path())
    at = setter_of(path, 6, 1)
    assert at is not None
    assert path[at].insn == 0
    origin = origin_of(path, 6, 0)
    assert origin is not None
    assert path[origin].text == "(b7) r6 = 7"


def test_numbers_that_are_absurd() -> None:
    log = read_log(f"99999999999999999999: (95) exit\nfrom 123456789 to 1: R0=1\n3: (95) exit\nwrong\n{END}")
    assert [step.insn for step in log.steps] == [3]
    assert log.decisive == ("wrong",)


@given(
    st.lists(st.sampled_from([*NEW.splitlines(), *OLD.splitlines(), "", ";", "1: ", "R0=("]), max_size=60),
    st.text(),
)
def test_any_order_of_lines_is_read(lines: list[str], more: str) -> None:
    log: Log = read_log("\n".join([*lines, more]))
    assert all(step.before < at for at, step in enumerate(log.steps))
    assert sum(1 for _ in log.path()) <= len(log.steps)
    assert len(log.decisive) <= 3


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.says[:40])
def test_every_row_is_whole(row: Row) -> None:
    """A cause, a fix that starts with a verb in lower case (or code), and only names that exist."""
    assert re.compile(row.says)
    cause, fix = row.cause, row.fix
    assert len(cause) > 20 or cause == "{unset}"
    assert fix
    assert fix[0].islower()
    assert bool(row.before) == bool(row.after)
