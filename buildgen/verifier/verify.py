"""Whether this kernel takes the programs of an object: the verdict on each, and why not.

What is asked is asked in a child process (buildgen.verifier.checker): a file that crashes libbpf costs one
verdict. The child's answers are read here, with the object's own lines and CO-RE relocations beside them.
"""

from __future__ import annotations

import errno
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from buildgen.diagnostics import diagnose
from buildgen.errors import ObjectError
from buildgen.objects.elf import read_content
from buildgen.objects.model import LineInfo, ObjectFile, Program
from buildgen.objects.read import read_object
from buildgen.verifier.before import not_permitted, refused_unseen, stopped_before
from buildgen.verifier.checker import Answer, Checked, check, first_said
from buildgen.verifier.log import Log, read_log
from buildgen.verifier.model import (
    NOT_EXPLAINED,
    Explanation,
    ObjectVerdict,
    ProgramVerdict,
    TracePoint,
    Verdict,
)
from buildgen.verifier.places import Places
from buildgen.verifier.rejections import explain, packets_moved
from buildgen.verifier.trace import trace_back
from core.text.safe import safe_lines, safe_text

_BPF = 39
"""Number of CAP_BPF, the newest of the capabilities that matter (include/uapi/linux/capability.h)."""
_POISONED = re.compile(r"^(\d+): (?:<invalid CO-RE relocation>|\(85\) call unknown#195896080)", re.MULTILINE)
_UNRESOLVED = re.compile(r"failed to resolve CO-RE relocation <(?P<kind>\w+)> \[\d+\] (?P<what>[^\n(]+?) \(")
_LONGEST_LINE = 4096
_LONGEST_REASON = 600
_VMLINUX_BTF = Path("/sys/kernel/btf/vmlinux")
_BY_NAME = frozenset({"tracing", "lsm", "ext"})
"""Program types that attach to a function or type that BTF names."""
_MOST_NAMES = 200
_MOST_RINGS = 16
_CALL_PROBE_WRITE_USER = bytes([0x85, 0, 0, 0, 36, 0, 0, 0])


def verify_object(path: Path) -> ObjectVerdict:
    """Load each program of an object on its own, and let go of it again; nothing is attached or pinned.

    Raises ObjectError for a file that is no eBPF object, VerifyError when libbpf.so.1 is not there.
    """
    content = read_content(path)
    found = read_object(path, content)
    checked = check(path, content, _needs_admin(found, content))
    places = Places(found)
    if checked.unopened:
        return ObjectVerdict(path, tuple(_unopened(path, places, found, checked.unopened)))
    fixups = (*_smaller_maps(checked), *_rounded_rings(found))
    return ObjectVerdict(path, tuple(verdict_of(places, answer, fixups) for answer in checked.answers))


def _unopened(path: Path, places: Places, found: ObjectFile, said: tuple[str, ...]) -> list[ProgramVerdict]:
    """Return the verdicts on an object that libbpf does not open, for a reason that lies in its source.

    Raises ObjectError for any other: the file is damaged, or for another machine.
    """
    programs = [one for one in found.programs if not one.subprogram]
    stopped = [(one, stopped_before(said, one, places.maps)) for one in programs]
    if not programs or stopped[0][1] is None:
        raise ObjectError(path, f"libbpf does not open it: {first_said(said)}")
    log = "\n".join(safe_lines("\n".join(said))).strip()
    return [
        _not_asked(_Asked(Answer(name=one.name), one, log), *why) for one, why in stopped if why is not None
    ]


def _smaller_maps(checked: Checked) -> tuple[str, ...]:
    if not checked.shrunk:
        return ()
    names = ", ".join(checked.shrunk[:4]) + (", …" if len(checked.shrunk) > 4 else "")
    takes = f"the maps of this object take {checked.whole >> 20:,} MiB of kernel memory when it is loaded"
    return (f"{takes}; for the check these had fewer entries: {names}",)


def _rounded_rings(found: ObjectFile) -> tuple[str, ...]:
    """Say what libbpf does with a ring buffer of a size that the kernel does not take (since 0.8)."""
    rings = [one for one in found.maps if one.type in ("ringbuf", "user_ringbuf") and one.max_entries]
    page = os.sysconf("SC_PAGESIZE")
    wrong = [one for one in rings if one.max_entries & (one.max_entries - 1) or one.max_entries % page]
    return tuple(
        f"map {one.name!r}: libbpf makes the ring larger than its {one.max_entries:,} bytes: the size is a "
        "power of two and a multiple of the page size"
        for one in wrong[:_MOST_RINGS]
    )


def _needs_admin(found: ObjectFile, content: bytes) -> bool:
    """Whether a program needs CAP_SYS_ADMIN: all before Linux 5.8, later few.

    What is not in the kernel's own BTF may be in that of a module, which is read with it alone; and
    bpf_probe_write_user is for programs that have it.
    """
    if int(Path("/proc/sys/kernel/cap_last_cap").read_text()) < _BPF or _CALL_PROBE_WRITE_USER in content:
        return True
    names = {one.attach_to for one in found.programs if one.type in _BY_NAME and one.attach_to}
    names |= {one.name for one in found.variables if one.section == ".ksyms"}
    names |= {one.type.rpartition(" ")[2].partition("___")[0] for one in found.core_relocations}
    names.discard("")
    if not names:
        return False
    try:
        vmlinux = _VMLINUX_BTF.read_bytes()
    except OSError:
        return False
    return any(name.encode() + b"\0" not in vmlinux for name in sorted(names)[:_MOST_NAMES])


# --- verdicts --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Asked:
    """One program and its answer, with the texts that go into the verdict whatever it is."""

    answer: Answer
    program: Program | None
    log: str
    fixups: tuple[str, ...] = ()

    @property
    def type(self) -> str:
        return self.program.type if self.program else "unspec"


def verdict_of(places: Places, answer: Answer, fixups: tuple[str, ...] = ()) -> ProgramVerdict:
    """Return what an answer means for a program of the object. The texts in the answer may be any.

    `fixups`: what was set for the check of all programs of the object.
    """
    whole, brief = _cut_lines(answer.log), _cut_lines(answer.brief)
    shown = "\n".join([whole.rstrip("\n"), *(line.rstrip() for line in answer.said if line.strip())])
    fixups += tuple(safe_text(one, 300) for one in answer.fixups)
    asked = _Asked(answer, places.programs.get(answer.name), "\n".join(safe_lines(shown)).strip(), fixups)
    if answer.ended:
        return _not_asked(asked, answer.ended, NOT_EXPLAINED)
    read = read_log(whole, brief)
    if not answer.errno:
        return _verdict(asked, "accepted", read)
    poisoned = _POISONED.search(whole)
    if read.decisive or read.steps or poisoned:
        return _rejected(places, asked, read, poisoned)
    reason, explained = _stopped(places, asked)
    refused = answer.errno == errno.EPERM and reason.startswith("not permitted")
    return _not_asked(asked, reason, explained, permitted=not refused)


def _stopped(places: Places, asked: _Asked) -> tuple[str, Explanation]:
    """Return (what happened, why) for a program that nobody verified."""
    answer = asked.answer
    if found := stopped_before(answer.said, asked.program, places.maps):
        return found
    if answer.errno == errno.EPERM:
        return not_permitted(asked.type, _effective())
    if any("load failed" in line for line in answer.said) or not answer.said:
        return refused_unseen(asked.program, answer.errno)
    said = diagnose(answer.name, "\n".join(answer.said).encode("utf-8", "backslashreplace"))
    what = first_said(answer.said) or os.strerror(answer.errno)
    return what, Explanation(said.cause, said.fix) if said.known else NOT_EXPLAINED


def _rejected(places: Places, asked: _Asked, read: Log, poisoned: re.Match[str] | None) -> ProgramVerdict:
    answer, program = asked.answer, asked.program
    insn = int(poisoned[1]) if poisoned and len(poisoned[1]) < 10 else None
    if insn is not None:
        written = "\n".join([answer.log, *answer.said])
        return _verdict(asked, "rejected", read, (*_unmatched(places, program, insn, written), ()))
    reason = "; ".join(read.decisive[:3]) or first_said(answer.said) or os.strerror(answer.errno)
    where = places.of_decision(program, read)
    trace = trace_back(places, program, read)
    explained = packets_moved(trace.moved_by) if trace.moved_by else explain(read, asked.type)
    return _verdict(asked, "rejected", read, (reason, explained, where, trace.points))


def _unmatched(
    places: Places, program: Program | None, insn: int, text: str
) -> tuple[str, Explanation, LineInfo | None]:
    """Return what is known of a CO-RE relocation that libbpf made an invalid instruction of.

    In a function that the program calls it is known by what libbpf wrote alone, and has no line.
    """
    relocation, where = None, None
    if program is not None and insn < program.insns:
        relocation = places.relocations.get((program.elf_section, program.offset + insn))
    if program is not None and relocation:
        what = f"{relocation.type}.{relocation.access}" if relocation.access else relocation.type
        kind = relocation.kind
        where = places.of_relocation(program, insn, relocation)
    elif written := _UNRESOLVED.search(text):
        what, kind = safe_text(written["what"], 200), written["kind"]
    else:
        what, kind = "struct, field or enumerator that the program uses", ""
    reason = f"this kernel has no {what}: a CO-RE relocation{f' ({kind})' if kind else ''} does not match"
    return reason, Explanation(f"this kernel has no {what}, which the program uses", _guard(kind)), where


def _guard(kind: str) -> str:
    if kind.startswith("enumval"):
        guard = "bpf_core_enum_value_exists()"
    elif kind.startswith("type") or kind == "target_type_id":
        guard = "bpf_core_type_exists()"
    else:
        guard = "bpf_core_field_exists()"
    return f"guard the access with {guard}, or use the name that this kernel gives it"


_Why = tuple[str, Explanation, LineInfo | None, tuple[TracePoint, ...]]


def _verdict(
    asked: _Asked, verdict: Verdict, read: Log, why: _Why = ("", NOT_EXPLAINED, None, ())
) -> ProgramVerdict:
    reason, explained, where, trace = why
    return ProgramVerdict(
        name=asked.answer.name,
        section=asked.program.section if asked.program else "",
        type=asked.type,
        verdict=verdict,
        insns_verified=read.insns,
        states=read.states,
        reason=safe_text(reason, _LONGEST_REASON),
        explained=explained,
        file=where.file if where else None,
        line=where.line if where else None,
        source=where.text if where else "",
        trace=trace,
        fixups=asked.fixups,
        log=asked.log,
    )


def _not_asked(
    asked: _Asked, reason: str, explained: Explanation, *, permitted: bool = True
) -> ProgramVerdict:
    return ProgramVerdict(
        name=asked.answer.name,
        section=asked.program.section if asked.program else "",
        type=asked.type,
        verdict="not asked",
        permitted=permitted,
        reason=safe_text(reason, _LONGEST_REASON),
        explained=explained,
        fixups=asked.fixups,
        log=asked.log,
    )


def _cut_lines(text: str) -> str:
    return "\n".join(line[:_LONGEST_LINE] for line in text.split("\n"))


def _effective() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.partition("CapEff:")[2].split()[0], 16)


def verdict_json(verdict: ObjectVerdict) -> dict[str, Any]:
    """Return the fields of `verify --json`, without the schema."""
    return {
        "path": str(verdict.path),
        "accepted": verdict.accepted,
        "programs": [_program_json(one) for one in verdict.programs],
    }


def _program_json(one: ProgramVerdict) -> dict[str, Any]:
    return {
        "name": one.name,
        "section": one.section,
        "type": one.type,
        "verdict": one.verdict,
        "accepted": one.accepted,
        "insns_verified": one.insns_verified,
        "states": one.states,
        "reason": one.reason,
        "cause": one.explained.cause,
        "fix": one.explained.fix,
        "before": one.explained.before,
        "after": one.explained.after,
        "file": one.file,
        "line": one.line,
        "source": one.source,
        "trace": [{"file": at.file, "line": at.line, "what": at.what} for at in one.trace],
        "fixups": list(one.fixups),
        "log": one.log,
    }
