"""Whether this kernel takes the programs of an object: the verifier's verdict on each, and why not.

What is asked is asked in a child process (buildgen.objects.verifier): a file that crashes libbpf costs one
verdict. The child's answers are read here, with the object's own lines and CO-RE relocations beside them.
"""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from buildgen.diagnostics import diagnose
from buildgen.errors import ObjectError, VerifyError
from buildgen.objects.model import CoreRelocation, LineInfo, ObjectFile, Program
from buildgen.objects.read import read_object
from buildgen.objects.verifier import NO_LIBBPF
from buildgen.packages import install_hint
from core.text import safe_lines, safe_text

PATIENCE = 120.0
"""Seconds for all programs of an object. The verifier gives up by itself after a million instructions."""

_SYS_ADMIN, _PERFMON, _BPF = 21, 38, 39
"""Numbers of capabilities (include/uapi/linux/capability.h)."""
_INSN = re.compile(r"^(\d+): (?:\(|<)", re.MULTILINE)
_POISONED = re.compile(r"^(\d+): (?:<invalid CO-RE relocation>|\(85\) call unknown#195896080)", re.MULTILINE)
_PROCESSED = re.compile(r"^processed (\d+) insns", re.MULTILINE)
_COMMENT = re.compile(r"^; (?P<text>.*?)(?: @ (?P<file>\S+):(?P<line>\d+))?$", re.MULTILINE)
_NO_REASON = re.compile(
    r"^(?:processed \d|verification time|stack depth|; |arg#\d+ reference type|Func#\d+|Validating |"
    r"func#\d+ |(?:cur|old) state:|mark_precise|caller:|callee:| |\d+: |$)"
)
"""Lines of a log that say where the verifier was, not what it found."""
_BORING = re.compile(r"BPF program load failed|failed to load(?: object)?\b|^libbpf: -- (?:BEGIN|END)")


@dataclass(frozen=True, slots=True)
class ProgramVerdict:
    """What became of one program. All texts are safe to show; `log` keeps its line breaks.

    `reason` is empty for an accepted program, `fix` when nothing is known that helps. `file`, `line` and
    `source` are those of the instruction that was refused, when the object has line information.
    """

    name: str
    section: str
    type: str
    accepted: bool
    permitted: bool
    insns_verified: int | None
    reason: str
    fix: str
    file: str | None
    line: int | None
    source: str
    log: str


@dataclass(frozen=True, slots=True)
class ObjectVerdict:
    path: Path
    programs: tuple[ProgramVerdict, ...]

    @property
    def accepted(self) -> bool:
        return all(one.accepted for one in self.programs)

    @property
    def permitted(self) -> bool:
        """False when some program was not looked at, because loading it is not allowed to us."""
        return all(one.permitted for one in self.programs)


def verify_object(path: Path) -> ObjectVerdict:
    """Load each program of an object on its own, and let go of it again; nothing is attached or pinned.

    Raises ObjectError for a file that is no eBPF object, VerifyError when libbpf.so.1 is not there.
    """
    found = read_object(path)
    known = {program.name: program for program in found.programs}
    answers = list(_ask(path, time.monotonic() + PATIENCE))
    return ObjectVerdict(path, tuple(_verdict(found, known.get(a["name"]), a) for a in answers))


# --- the child -------------------------------------------------------------------------------------


def _ask(path: Path, deadline: float) -> Iterator[dict[str, Any]]:
    """Yield an answer for each program; a child that dies is started again behind what killed it."""
    names: list[str] = []
    number = 0
    while True:
        lines, ended = _run(path, number, deadline)
        for line in lines:
            if "open" in line:
                raise ObjectError(
                    path, f"libbpf does not open it: {_said(line) or os.strerror(line['open'])}"
                )
            if "programs" in line:
                names = [safe_text(name) for name in line["programs"]]
            else:
                yield {**line, "name": names[number]}
                number += 1
        if number >= len(names):
            if not names and ended:
                raise ObjectError(path, f"libbpf {ended} opening it")
            return
        yield {"name": names[number], "errno": 0, "ended": f"libbpf {ended or 'stopped'} loading it"}
        number += 1
        if number >= len(names):
            return


def _run(path: Path, first: int, deadline: float) -> tuple[list[dict[str, Any]], str]:
    """Return what a child said, and how it ended if not well."""
    room = str(Path(__file__).parents[2])
    paths = os.pathsep.join(filter(None, (room, os.environ.get("PYTHONPATH"))))
    command = [sys.executable, "-m", "buildgen.objects.verifier", str(path.absolute()), str(first)]
    left = max(0.1, deadline - time.monotonic())
    try:
        child = subprocess.run(
            command,
            env={**os.environ, "PYTHONPATH": paths},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=left,
            check=False,
        )
        out, ended = child.stdout, _ending(child.returncode)
    except subprocess.TimeoutExpired as late:
        out, ended = late.stdout or b"", f"was still busy after {PATIENCE:.0f} s"
    except OSError as error:
        raise VerifyError(
            f"{command[0]}: {error.strerror}; libbpf is asked in a process of its own"
        ) from error
    if ended == _ending(NO_LIBBPF) and not out:
        raise VerifyError(f"libbpf.so.1 is not here: {install_hint('libbpf runtime')}")
    whole = out[: out.rfind(b"\n") + 1]
    return [json.loads(line) for line in whole.splitlines()], ended


def _ending(code: int) -> str:
    if code == 0:
        return ""
    return f"crashed ({signal.Signals(-code).name})" if code < 0 else f"ended with {code}"


# --- verdicts --------------------------------------------------------------------------------------


def _verdict(found: ObjectFile, program: Program | None, answer: dict[str, Any]) -> ProgramVerdict:
    log, failed = answer.get("log", ""), answer["errno"]
    processed = _PROCESSED.search(answer.get("brief", ""))
    refused = failed == errno.EPERM and not processed
    accepted = not failed and "ended" not in answer
    reason, fix, where = "", "", None
    if refused:
        reason = f"not permitted: {_not_permitted()}"
    elif not accepted:
        relocation = _unmatched(found, program, log)
        reason, fix = _why(answer, relocation)
        where = _line(found, program, log, relocation)
    whole = "\n".join([log.rstrip("\n"), *_lines_said(answer)])
    return ProgramVerdict(
        name=answer["name"],
        section=program.section if program else "",
        type=program.type if program else "unspec",
        accepted=accepted,
        permitted=not refused,
        insns_verified=int(processed[1]) if processed else None,
        reason=safe_text(reason, 600),
        fix=fix,
        file=where.file if where else None,
        line=where.line if where else None,
        source=where.text if where else "",
        log="\n".join(safe_lines(whole)).strip(),
    )


def _why(answer: dict[str, Any], relocation: CoreRelocation | None) -> tuple[str, str]:
    """Return the reason in one line, and what helps, if it is a mistake that is known."""
    if "ended" in answer:
        return answer["ended"], ""
    said = diagnose(answer["name"], "\n".join([answer["log"], *answer["said"]]).encode())
    fix = said.fix if said.known else ""
    if relocation:
        what = f"{relocation.type}.{relocation.access}" if relocation.access else relocation.type
        return f"this kernel has no {what}: a CO-RE relocation ({relocation.kind}) does not match", fix
    if _POISONED.search(answer["log"]) and said.known:  # in a function that the program calls
        return said.cause, fix
    decisive = [line for line in answer["brief"].splitlines() if not _NO_REASON.match(line)]
    return "; ".join(decisive[:2]) or _said(answer) or os.strerror(answer["errno"]), fix


def _not_permitted() -> str:
    """Say why loading was refused with EPERM and without a look: libbpf's own advice is about ulimit."""
    status = Path("/proc/self/status").read_text()
    own = int(status.partition("CapEff:")[2].split()[0], 16)
    if own >> _SYS_ADMIN & 1 or (own >> _BPF & 1 and own >> _PERFMON & 1):
        return (
            "the capabilities are there; lockdown, a security module or the kernel itself forbids this type"
        )
    return "loading needs CAP_BPF, and CAP_PERFMON or CAP_NET_ADMIN by type of program: run it with sudo"


def _said(answer: dict[str, Any]) -> str:
    """Return what libbpf said first that says something."""
    lines = [line for line in _lines_said(answer) if not _BORING.search(line)]
    return "; ".join(safe_text(line.removeprefix("libbpf: "), 300) for line in lines[:2])


def _lines_said(answer: dict[str, Any]) -> list[str]:
    return [line.rstrip() for line in answer.get("said", ()) if line.strip()]


def _unmatched(found: ObjectFile, program: Program | None, log: str) -> CoreRelocation | None:
    """Return the relocation of the instruction that libbpf made invalid, because nothing matched it."""
    poisoned = _POISONED.search(log)
    if poisoned is None or program is None or int(poisoned[1]) >= program.insns:
        return None
    place = program.elf_section, program.offset + int(poisoned[1])
    return next((one for one in found.core_relocations if (one.section, one.insn) == place), None)


def line_of(lines: Sequence[LineInfo], insn: int) -> LineInfo | None:
    """Return where an instruction comes from; `lines` are of one section.

    The compiler gives line 0 to what it made itself: that mostly prepares what comes next.
    """
    before = max((one for one in lines if one.insn <= insn), key=lambda one: one.insn, default=None)
    if before is not None and before.line:
        return before
    later = (one for one in lines if one.insn > insn and one.line)
    return min(later, key=lambda one: one.insn, default=None)


def _line(
    found: ObjectFile, program: Program | None, log: str, relocation: CoreRelocation | None
) -> LineInfo | None:
    """Return the source line of the last instruction that the verifier looked at.

    The program's own instructions have the numbers of the object; those of functions that it calls were put
    behind them by libbpf, and are found by the text that the log shows before them. The compiler moves the
    offset of a field about, so the line that names the field is nearer to the truth than the number.
    """
    numbers = _INSN.findall(log)
    if not numbers or program is None:
        return None
    insn = int(numbers[-1])
    if insn < program.insns:
        inside = [
            one for one in found.lines if one.section == program.elf_section and one.insn >= program.offset
        ]
        field = relocation.access.rpartition(".")[2] if relocation else ""
        naming = [
            one for one in inside if field and one.line and re.search(rf"\b{re.escape(field)}\b", one.text)
        ]
        near = min(naming, key=lambda one: abs(one.insn - program.offset - insn), default=None)
        return near or line_of(inside, program.offset + insn)
    comments = [comment["text"].strip() for comment in _COMMENT.finditer(log) if comment["text"].strip()]
    return next((one for one in found.lines if comments and one.text == safe_text(comments[-1], 400)), None)


def verdict_json(verdict: ObjectVerdict) -> dict[str, Any]:
    """Return the fields of `verify --json`, without the schema."""
    return {
        "path": str(verdict.path),
        "accepted": verdict.accepted,
        "programs": [
            {
                "name": one.name,
                "section": one.section,
                "type": one.type,
                "accepted": one.accepted,
                "insns_verified": one.insns_verified,
                "reason": one.reason,
                "fix": one.fix,
                "file": one.file,
                "line": one.line,
                "source": one.source,
                "log": one.log,
            }
            for one in verdict.programs
        ],
    }
