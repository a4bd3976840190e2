"""Whether this kernel takes the programs of an object: the verifier's verdict on each, and why not.

What is asked is asked in a child process (buildgen.objects.checker): a file that crashes libbpf costs one
verdict. The child's answers are read here, with the object's own lines and CO-RE relocations beside them.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from buildgen.diagnostics import diagnose
from buildgen.objects.checker import Answer, Checked, check, first_said
from buildgen.objects.elf import read_content
from buildgen.objects.model import CoreRelocation, LineInfo, ObjectFile, Program
from buildgen.objects.read import read_object
from core.text.safe import safe_lines, safe_text

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
_LONGEST_LINE = 4096
_VMLINUX_BTF = Path("/sys/kernel/btf/vmlinux")
_BY_NAME = frozenset({"tracing", "lsm", "ext"})
"""Program types that attach to a function or type that BTF names."""
_MOST_NAMES = 200
_CALL_PROBE_WRITE_USER = bytes([0x85, 0, 0, 0, 36, 0, 0, 0])


@dataclass(frozen=True, slots=True)
class ProgramVerdict:
    """What became of one program. All texts are safe to show; `log` keeps its line breaks.

    `decided` is False when nobody looked at it to the end: not permitted, killed, out of time, too large.
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
    decided: bool = True


@dataclass(frozen=True, slots=True)
class ObjectVerdict:
    """`note`: what was different in the check from loading the object, empty for nothing."""

    path: Path
    programs: tuple[ProgramVerdict, ...]
    note: str = ""

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
    content = read_content(path)
    found = read_object(path, content)
    checked = check(path, content, _needs_admin(found, content))
    places = Places(found)
    return ObjectVerdict(
        path, tuple(verdict_of(places, answer) for answer in checked.answers), _note(checked)
    )


def _note(checked: Checked) -> str:
    if not checked.shrunk:
        return ""
    names = ", ".join(checked.shrunk[:4]) + (", …" if len(checked.shrunk) > 4 else "")
    takes = f"the maps of this object take {checked.whole >> 20:,} MiB of kernel memory when it is loaded"
    return f"{takes}; for the check these had fewer entries: {names}"


def _needs_admin(found: ObjectFile, content: bytes) -> bool:
    """Whether a program needs CAP_SYS_ADMIN: all before Linux 5.8, later few.

    What is not in the kernel's own BTF may be in that of a module, which is read with it alone; and
    bpf_probe_write_user is for programs that have it.
    """
    if int(Path("/proc/sys/kernel/cap_last_cap").read_text()) < _BPF or _CALL_PROBE_WRITE_USER in content:
        return True
    names = {one.attach_to for one in found.programs if one.type in _BY_NAME and one.attach_to}
    names |= {one.name for one in found.variables if one.section == ".ksyms"}
    if not names:
        return False
    try:
        vmlinux = _VMLINUX_BTF.read_bytes()
    except OSError:
        return False
    return any(name.encode() + b"\0" not in vmlinux for name in sorted(names)[:_MOST_NAMES])


# --- verdicts --------------------------------------------------------------------------------------


class Places:
    """The programs of an object, and what it says of its instructions, by section: made once for all."""

    def __init__(self, found: ObjectFile) -> None:
        self.programs = {program.name: program for program in found.programs}
        self.relocations = {(one.section, one.insn): one for one in reversed(found.core_relocations)}
        self._lines: dict[str, list[LineInfo]] = {}
        self.by_text: dict[str, LineInfo] = {}
        for line in found.lines:
            self._lines.setdefault(line.section, []).append(line)
            self.by_text.setdefault(line.text, line)

    def lines(self, program: Program) -> list[LineInfo]:
        """Return the lines of a program's section, from its first instruction on."""
        return [one for one in self._lines.get(program.elf_section, ()) if one.insn >= program.offset]


def verdict_of(places: Places, answer: Answer) -> ProgramVerdict:
    """Return what an answer means for a program of the object. The texts in the answer may be any."""
    program = places.programs.get(answer.name)
    log = "\n".join(line[:_LONGEST_LINE] for line in answer.log.split("\n"))
    brief = "\n".join(line[:_LONGEST_LINE] for line in answer.brief.split("\n"))
    processed = _PROCESSED.search(brief)
    refused = answer.errno == errno.EPERM and not processed
    accepted = not answer.errno and not answer.ended
    reason, fix, where = answer.ended, "", None
    if refused:
        reason = f"not permitted: {_not_permitted()}"
    elif answer.errno:
        relocation = _unmatched(places, program, log)
        reason, fix = _why(answer, log, brief, relocation)
        where = _line(places, program, log, relocation)
    whole = "\n".join([log.rstrip("\n"), *(line.rstrip() for line in answer.said if line.strip())])
    return ProgramVerdict(
        name=answer.name,
        section=program.section if program else "",
        type=program.type if program else "unspec",
        accepted=accepted,
        permitted=not refused,
        insns_verified=_number(processed[1]) if processed else None,
        reason=safe_text(reason, 600),
        fix=fix,
        file=where.file if where else None,
        line=where.line if where else None,
        source=where.text if where else "",
        log="\n".join(safe_lines(whole)).strip(),
        decided=not refused and not answer.ended,
    )


def _why(answer: Answer, log: str, brief: str, relocation: CoreRelocation | None) -> tuple[str, str]:
    """Return the reason in one line, and what helps, if it is a mistake that is known."""
    said = diagnose(answer.name, "\n".join([log, *answer.said]).encode("utf-8", "backslashreplace"))
    fix = said.fix if said.known else ""
    if relocation:
        what = f"{relocation.type}.{relocation.access}" if relocation.access else relocation.type
        return f"this kernel has no {what}: a CO-RE relocation ({relocation.kind}) does not match", fix
    if _POISONED.search(log) and said.known:  # in a function that the program calls
        return said.cause, fix
    decisive = [line for line in brief.splitlines() if not _NO_REASON.match(line)]
    return "; ".join(decisive[:2]) or first_said(answer.said) or os.strerror(answer.errno), fix


def _not_permitted() -> str:
    """Say why loading was refused with EPERM and without a look: libbpf's own advice is about ulimit."""
    status = Path("/proc/self/status").read_text()
    own = int(status.partition("CapEff:")[2].split()[0], 16)
    if own >> _SYS_ADMIN & 1 or (own >> _BPF & 1 and own >> _PERFMON & 1):
        return (
            "the capabilities are there; lockdown, a security module or the kernel itself forbids this type"
        )
    return "loading needs CAP_BPF, and CAP_PERFMON or CAP_NET_ADMIN by type of program: run it with sudo"


def _unmatched(places: Places, program: Program | None, log: str) -> CoreRelocation | None:
    """Return the relocation of the instruction that libbpf made invalid, because nothing matched it."""
    poisoned = _POISONED.search(log)
    insn = _number(poisoned[1]) if poisoned else None
    if insn is None or program is None or insn >= program.insns:
        return None
    return places.relocations.get((program.elf_section, program.offset + insn))


def _number(digits: str) -> int | None:
    return int(digits) if len(digits) < 10 else None


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
    places: Places, program: Program | None, log: str, relocation: CoreRelocation | None
) -> LineInfo | None:
    """Return the source line of the last instruction that the verifier looked at.

    The program's own instructions have the numbers of the object; those of functions that it calls were put
    behind them by libbpf, and are found by the text that the log shows before them. The compiler moves the
    offset of a field about, so the line that names the field is nearer to the truth than the number.
    """
    numbers = _INSN.findall(log)
    insn = _number(numbers[-1]) if numbers else None
    if insn is None or program is None:
        return None
    if insn < program.insns:
        inside = places.lines(program)
        field = relocation.access.rpartition(".")[2] if relocation else ""
        naming = [
            one for one in inside if field and one.line and re.search(rf"\b{re.escape(field)}\b", one.text)
        ]
        near = min(naming, key=lambda one: abs(one.insn - program.offset - insn), default=None)
        return near or line_of(inside, program.offset + insn)
    comments = [comment["text"].strip() for comment in _COMMENT.finditer(log) if comment["text"].strip()]
    return places.by_text.get(safe_text(comments[-1], 400)) if comments else None


def verdict_json(verdict: ObjectVerdict) -> dict[str, Any]:
    """Return the fields of `verify --json`, without the schema."""
    return {
        "path": str(verdict.path),
        "accepted": verdict.accepted,
        "note": verdict.note,
        "programs": [
            {
                "name": one.name,
                "section": one.section,
                "type": one.type,
                "accepted": one.accepted,
                "decided": one.decided,
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
