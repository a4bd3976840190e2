"""Reads the text that the kernel's verifier writes: steps with states, and what it decided.

The form is that of print_verifier_state() and verbose_linfo() from 5.10 to 6.18. The text is foreign: every
number may be absent, huge or wrong. A log that lost its start (since 6.4) or its end (before) is read, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_GLUED = re.compile(r"(?<=[^\n])(processed \d+ insns \(limit|verification time \d+ usec)")
"""A message without a line break of its own stands before the statistics."""
_PROCESSED = re.compile(
    r"^processed (?P<insns>\d{1,9}) insns .*?(?:total_states (?P<states>\d{1,9})\b.*)?$", re.MULTILINE
)
_DEPTH = re.compile(r"^stack depth (?P<depths>[\d+max ]+)", re.MULTILINE)
_STEP = re.compile(r"^(?P<insn>\d{1,9}): (?P<code>\([0-9a-f]{2}\) .*|<invalid .*)$")
_BRANCH = re.compile(r"^from (?P<start>\d{1,9}) to (?P<end>\d{1,9})(?P<state>.*)$")
_JUMPED = re.compile(r"\s(?P<insn>\d{1,9}): (?=(?:frame\d|R\d|fp))")
_STATE = re.compile(r"^(?P<insn>\d{1,9}): (?:safe|frame\d|R\d|fp|;|$)")
_COMMENT = re.compile(r"^; ?(?P<text>.*?)(?: @ (?P<file>\S+):(?P<line>\d{1,9}))?$")
_REGISTER = re.compile(
    r"\bR(?P<number>\d\d?)(?:_[a-zA-Z]+)?=(?P<value>[^\s(]*(?:\((?:[^()]|\([^()]*\))*\))?)"
)
_FRAME = re.compile(r"\bframe(\d{1,2})")
_PLACE_NOTE = re.compile(
    r"func '[^']*' arg\d+ (?:has btf_id \d+|type )|Func#\d+ |func#\d+ @|Validating |"
    r"(?:cur|old) state:|mark_precise|caller:|callee:|returning from callee|to caller at|from \d+ to \d+|"
    r"verification time|stack depth|processed \d|propagating|last_idx|regs=|parent (?:didn't|already|state)|"
    r"BPF_EXIT instruction in (?:main prog|callback) would lead|"
    r"insn \d+ cannot be|live regs|numbers of|\d+: (?:safe|$)"
)
"""Lines that say where the verifier was or what it knew, not what it found."""
_WEAK_NOTE = re.compile(r"Global function \S* doesn't return scalar|arg#\d+ reference type")
"""Decides only when a call follows: at the start of each program that returns nothing, too."""
_MOST_STEPS = 200_000
_MOST_REGISTERS = 12


@dataclass(frozen=True, slots=True)
class Step:
    """One instruction that the verifier looked at.

    `after` are the registers that it shows behind it, by number, as it writes them. `file` (without its
    directory) and `line` are the kernel's own, None before Linux 6.10. `frame` counts calls, from 0 on.
    `before` is the number of the step that ran before it on the same path, -1 for the first.
    """

    insn: int
    text: str
    after: dict[int, str]
    source: str
    file: str | None
    line: int | None
    frame: int
    before: int


@dataclass(frozen=True, slots=True)
class Log:
    """`decisive` are the lines of the last thing that it found, empty when it found nothing wrong.

    `depths` are the bytes of stack that each function needs, the program first.
    """

    steps: tuple[Step, ...]
    decisive: tuple[str, ...]
    insns: int | None
    states: int | None
    depths: tuple[int, ...] = ()

    def path(self) -> Iterator[Step]:
        """Yield the steps that led to the last one, from it backwards."""
        at = len(self.steps) - 1
        while at >= 0:
            yield self.steps[at]
            at = self.steps[at].before


@dataclass(slots=True)
class _Reading:
    steps: list[Step] = field(default_factory=list)
    latest: dict[int, int] = field(default_factory=dict)
    source: str = ""
    file: str | None = None
    line: int | None = None
    before: int = -1
    block: list[str] = field(default_factory=list)
    frame: int = 0


def read_log(whole: str, brief: str = "") -> Log:
    """Read a log of BPF_LOG_LEVEL1; `brief` is that of the same program with errors and statistics alone."""
    text = _GLUED.sub(
        r"\n\1", whole if _PROCESSED.search(_GLUED.sub(r"\n\1", whole)) else whole + "\n" + brief
    )
    reading = _Reading()
    for line in text.split("\n"):
        if len(reading.steps) >= _MOST_STEPS:  # what matters stands at the end
            del reading.steps[: _MOST_STEPS // 2]
            reading.steps = [_moved(one, _MOST_STEPS // 2) for one in reading.steps]
            reading.latest = {
                insn: at - _MOST_STEPS // 2 for insn, at in reading.latest.items() if at >= _MOST_STEPS // 2
            }
            reading.before = max(-1, reading.before - _MOST_STEPS // 2)
        _read_line(reading, line.rstrip())
    ends = _GLUED.sub(r"\n\1", brief) or text
    processed = _PROCESSED.search(ends) or _PROCESSED.search(text)
    depth = _DEPTH.search(ends) or _DEPTH.search(text)
    return Log(
        tuple(reading.steps),
        _decisive(reading.block) or _decisive(_lines_of_brief(brief)),
        int(processed["insns"]) if processed else None,
        int(processed["states"]) if processed and processed["states"] else None,
        tuple(int(one) for one in re.findall(r"\d{1,9}", depth["depths"])) if depth else (),
    )


def _moved(step: Step, by: int) -> Step:
    return Step(
        step.insn,
        step.text,
        step.after,
        step.source,
        step.file,
        step.line,
        step.frame,
        max(-1, step.before - by),
    )


def _read_line(reading: _Reading, line: str) -> None:
    if found := _STEP.match(line):
        _take_step(reading, int(found["insn"]), found["code"])
        return
    if comment := _COMMENT.match(line):
        reading.block.clear()
        if comment["line"] != "0":  # what the compiler made itself has line 0: it belongs to the line before
            reading.source, reading.file = comment["text"].strip(), comment["file"]
            reading.line = int(comment["line"]) if comment["line"] else None
    elif branch := _BRANCH.match(line):
        reading.before = reading.latest.get(int(branch["start"]), reading.before)
        _shown(reading, branch["state"])
        reading.block.clear()
    elif state := _STATE.match(line):
        _shown(reading, line[state.end("insn") + 1 :])
        reading.block.clear()
    elif line.strip():
        if line.startswith("processed "):
            return
        reading.block.append(line)


def _take_step(reading: _Reading, insn: int, text: str) -> None:
    code, _, shown = text.partition(" ; ")
    if jumped := _JUMPED.search(code):  # the other way of a branch is not looked at
        code, shown = code[: jumped.start()], code[jumped.end() :]
    reading.block.clear()
    after = _registers(shown)
    if frame := _FRAME.search(shown):
        reading.frame = int(frame[1])
    elif after:
        reading.frame = 0
    reading.steps.append(
        Step(
            insn,
            code.strip(),
            after,
            reading.source,
            reading.file,
            reading.line,
            reading.frame,
            reading.before,
        )
    )
    reading.before = len(reading.steps) - 1
    reading.latest[insn] = reading.before


def _shown(reading: _Reading, state: str) -> None:
    """A state on a line of its own belongs to the step before it, on this path."""
    registers = _registers(state)
    if registers and 0 <= reading.before < len(reading.steps):
        step = reading.steps[reading.before]
        if reading.before == len(reading.steps) - 1:
            for number, value in registers.items():
                step.after.setdefault(number, value)
    frame = _FRAME.search(state)
    if registers or frame:
        reading.frame = int(frame[1]) if frame else 0


def _registers(text: str) -> dict[int, str]:
    found: dict[int, str] = {}
    for one in _REGISTER.finditer(text):
        if int(one["number"]) < _MOST_REGISTERS:
            found[int(one["number"])] = one["value"]
    return found


def _lines_of_brief(brief: str) -> list[str]:
    return [
        line for line in _GLUED.sub(r"\n\1", brief).split("\n") if line.strip() and not _COMMENT.match(line)
    ]


def _decisive(block: list[str]) -> tuple[str, ...]:
    """Return the lines of a block that say what was found, without notes of where it was."""
    plain = [line.strip() for line in block if not line[0].isspace() and not _PLACE_NOTE.match(line)]
    strong = [line for line in plain if not _WEAK_NOTE.match(line)]
    calls = any("Caller passes" in line for line in strong)
    return tuple((plain if calls or not strong else strong)[-3:])
