"""What the Objects screen shows of an object: what is inside, code, verdicts, the difference to before."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from buildgen.objects import Comparison, CoreRelocation, MapDef, ObjectFile, Program, Section, Variable
from buildgen.objects.disassembly import Instruction
from buildgen.verifier.model import ObjectVerdict, ProgramVerdict
from core.text.safe import safe_text
from tui.widgets import format as fmt
from tui.widgets.fold_pane import FoldNode
from tui.widgets.list_pane import Cell, Line, cells

_T = TypeVar("_T")
_NAME = 26
_FEW = 12
"""Groups with more lines than this are folded at first, but for programs and maps."""
_MOST_INSNS = 100_000
"""Instructions of a program that are shown; the kernel takes no more than a million."""
_MOST_LOG_LINES = 2000
"""Lines of a verifier log that are shown, its end: `ebpf-tui verify --log` prints all."""
_MOST_LINES = 5000
"""Lines of a group, and of a comparison, that are shown; the command line prints all."""


@dataclass(frozen=True, slots=True)
class Page:
    """Under a title either plain lines, or a tree of them."""

    title: str
    lines: Sequence[Line] = ()
    note: str = ""
    tree: Sequence[FoldNode] = ()
    is_read: bool = True
    """False: the object is large, and nobody has asked for it yet."""


def unread(path: Path, size: int) -> Page:
    """Show that an object is not read without being asked for."""
    lines: list[Line] = [[Cell(f"{fmt.size(size)}: enter reads it", "warn")]]
    return Page(safe_text(path.name), lines, "not read", is_read=False)


def overview(found: ObjectFile, since: Comparison | None) -> Page:
    """Show what is in an object as a tree, and in one line how it differs from the build before.

    A program's code is below it, as soon as somebody unfolds it (`Node.lazy` is the Program).
    """
    tree = [FoldNode(line) for line in _about(found, since)]
    for group, ours in (("programs", False), ("subprograms", True)):
        members = [program for program in found.programs if program.subprogram is ours]
        if members or not ours:
            below = [FoldNode(_program(one), lazy=one, what=one) for one in members[:_MOST_LINES]]
            below += [FoldNode(line) for line in _left_out(len(members))]
            tree.append(FoldNode(_title(group, len(members)), below, is_open=True))
    counts = {
        "maps": len(found.maps),
        "variables": len(found.variables),
        "CO-RE relocations": len(found.core_relocations),
        "sections": len(found.sections),
    }
    for group, lines in (
        ("maps", _few(found.maps, _maps)),
        ("variables", _few(found.variables, _variables)),
        ("CO-RE relocations", _few(found.core_relocations, _relocations)),
        ("sections", _few(found.sections, _sections)),
    ):
        few = group == "maps" or len(lines) <= _FEW
        tree.append(FoldNode(_title(group, counts[group]), [FoldNode(line) for line in lines], is_open=few))
    return Page(safe_text(found.path.name), (), f"{found.machine} · {found.endian} endian", tree)


def _few(things: Sequence[_T], lines: Callable[[Sequence[_T]], Iterator[Line]]) -> list[Line]:
    """Return the lines of the first things, and one that says how many are left out."""
    return [*lines(things[:_MOST_LINES]), *_left_out(len(things))]


def _left_out(count: int) -> list[Line]:
    if count <= _MOST_LINES:
        return []
    return [[Cell(f"{fmt.count(count - _MOST_LINES)} more: ebpf-tui inspect prints all", "warn")]]


def code(instructions: Sequence[Instruction]) -> list[FoldNode]:
    """Show a program's instructions below the source lines that they come from."""
    lines: list[Line] = []
    for one in instructions[:_MOST_INSNS]:
        if one.line:
            place = f"{one.line.file.rpartition('/')[2]}:{one.line.line}"
            lines.append([Cell(f"{place}  ", "dim"), Cell(one.line.text, "title")])
        if one.label:
            lines.append([Cell(f"  {one.label}:", "dim")])
        notes = [Cell(f"  {note}", "key") for note in (one.symbol, one.helper) if note]
        if one.core:
            what = f"{one.core.type}.{one.core.access}" if one.core.access else one.core.type
            notes.append(Cell(f"  {one.core.kind} {what}", "good"))
        lines.append([*cells((str(one.insn), -6, "dim"), (one.text, 40)), *notes])
    if len(instructions) > _MOST_INSNS:
        more = fmt.count(len(instructions) - _MOST_INSNS)
        lines.append([Cell(f"{more} more: ebpf-tui inspect --disassemble prints all", "warn")])
    return [FoldNode(line) for line in lines] or [FoldNode([Cell("no instructions", "warn")])]


def judge(tree: Sequence[FoldNode], found: ObjectVerdict) -> None:
    """Write behind each program of a tree what the verifier said of it."""
    said = {one.name: one for one in found.programs}
    for node in (below for group in tree for below in group.children):
        one = said.get(node.what.name) if isinstance(node.what, Program) else None
        if one is not None:
            sign, kind = _sign(one)
            said_of_it = one.reason or f"{fmt.count(one.insns_verified or 0)} insns verified"
            node.mark = Cell(f"{sign} ", kind)
            node.notes = [Cell(f"  {said_of_it}", kind)]


def verdicts(found: ObjectVerdict) -> Page:
    """Show what the verifier said of each program, the logs of the rejected ones below."""
    lines: list[Line] = []
    for fixup in dict.fromkeys(fixup for one in found.programs for fixup in one.fixups):
        lines.append([Cell(f"set for the check: {fixup}", "warn")])
    for one in found.programs[:_MOST_LINES]:
        lines += _verdict(one)
    lines += _left_out(len(found.programs))
    for one in found.programs:
        if not one.accepted and one.permitted and one.log:
            lines += [[], [Cell(f"log of {one.name}", "title")]]
            lines += [[Cell(text, "dim")] for text in one.log.splitlines()[-_MOST_LOG_LINES:]]
        if len(lines) > 4 * _MOST_LINES:
            lines.append([Cell("more logs: ebpf-tui verify --log prints each", "warn")])
            break
    accepted = sum(one.accepted for one in found.programs)
    note = f"{accepted} of {len(found.programs)} accepted · esc: back"
    return Page("verifier", lines or [[Cell("no programs in it", "warn")]], note)


def _sign(one: ProgramVerdict) -> tuple[str, str]:
    return {"accepted": ("✓", "good"), "rejected": ("✗", "bad")}.get(one.verdict, ("?", "warn"))


def _verdict(one: ProgramVerdict) -> Iterator[Line]:
    sign, kind = _sign(one)
    count = "" if one.insns_verified is None else f"{fmt.count(one.insns_verified)} insns verified"
    yield [Cell(f"{sign} ", kind), *cells((one.name, 26), (count, -24, "key")), Cell(one.section, "dim")]
    if one.reason:
        yield [Cell(f"    {one.reason}", kind)]
    if one.file:
        place = f"{one.file.rpartition('/')[2]}:{one.line}"
        yield [Cell("  at  ", "dim"), Cell(f"{place}  ", "key"), Cell(one.source)]
    if one.explained.cause:
        yield [Cell("  why ", "dim"), Cell(one.explained.cause)]
    for at in one.trace:
        yield [Cell(f"      {at.file.rpartition('/')[2]}:{at.line}  ", "key"), Cell(at.what, "dim")]
    if one.explained.fix:
        yield [Cell("  do  ", "dim"), Cell(one.explained.fix)]
    for sign, kind, code in (("-", "bad", one.explained.before), ("+", "good", one.explained.after)):
        for line in code.expandtabs(4).splitlines():
            yield [Cell(f"      {sign} ", kind), Cell(line, kind)]


def difference(one: Comparison) -> Page:
    """Show what changed since the build before."""
    lines: list[Line] = [[Cell(_in_short(one))]]
    for p in one.programs[:_MOST_LINES]:
        was = "–" if p.insns_before is None else fmt.count(p.insns_before)
        now = "–" if p.insns_after is None else fmt.count(p.insns_after)
        lines.append([*_changed(p.change, "program", p.name), Cell(f"{was} → {now} insns", "key")])
    lines += [_changed("changed", "object", what.replace("->", "→")) for what in one.about]
    for m in one.maps[:_MOST_LINES]:
        lines.append([*_changed(m.change, "map", m.name), Cell(", ".join(m.what).replace("->", "→"))])
    for r in one.core_relocations[:_MOST_LINES]:
        what = f"{r.type}.{r.access}" if r.access else r.type
        lines.append([*_changed(r.change, f"{r.count}× {r.kind}", what), Cell(r.section, "dim")])
    for count in map(len, (one.programs, one.maps, one.core_relocations)):
        lines += _left_out(count)
    return Page("since the build before", lines, "esc: back")


def _changed(change: str, what: str, name: str) -> list[Cell]:
    kind = {"added": "good", "gone": "bad"}.get(change, "warn")
    return cells((change, 8, kind), (what, 16, "dim"), (name, 32))


def _in_short(one: Comparison) -> str:
    if one.same:
        return "the same programs, maps and relocations as before"
    insns, size = one.insns_after - one.insns_before, one.size_after - one.size_before
    counted = ((one.programs, "programs"), (one.maps, "maps"), (one.core_relocations, "CO-RE relocations"))
    parts = [f"{len(things)} {name}" for things, name in counted if things]
    said = [*one.about, *([f"{', '.join(parts)} differ"] if parts else [])]
    return f"{insns:+} insns, {size:+} bytes; {', '.join(said)}"


def _about(found: ObjectFile, since: Comparison | None) -> Iterator[Line]:
    btf = found.btf
    yield [Cell(safe_text(str(found.path)), "dim")]
    about = f"{fmt.size(found.size)} · license {found.license or 'none: most helpers will be refused'}"
    yield [Cell(about)]
    if btf is None:
        yield [Cell("no BTF: it cannot be CO-RE", "warn")]
    else:
        ext = "with .BTF.ext" if btf.ext else "without .BTF.ext"
        yield [Cell(f"BTF {fmt.size(btf.size)} · {btf.types} types · {ext}", "dim")]
    if since is not None:
        yield [Cell("since the build before: ", "dim"), Cell(_in_short(since), "key")]


def _program(program: Program) -> Line:
    row = cells((program.name, _NAME), (f"{program.insns} insns", -11, "key"))
    if program.subprogram:
        return row
    return [*row, *cells((program.type, 14, "dim")), Cell(program.attach_to or program.section, "dim")]


def _sections(sections: Sequence[Section]) -> Iterator[Line]:
    for section in sections:
        yield cells((section.name, 30), (section.type, 16, "dim"), (fmt.size(section.size), -7))


def _title(name: str, count: int) -> Line:
    return [Cell(f"{name} ", "title"), Cell(str(count), "dim")]


def _maps(maps: Sequence[MapDef]) -> Iterator[Line]:
    for one in maps:
        shape = f"{one.key_size} → {one.value_size} B × {fmt.count(one.max_entries)}"
        yield [*cells((one.name, 26), (one.type, 14, "key"), (shape, 24)), Cell(one.defined_in, "dim")]


def _variables(variables: Sequence[Variable]) -> Iterator[Line]:
    for one in variables:
        place = "extern" if one.offset is None else f"+{one.offset}"
        yield cells((one.name, 26), (f"{one.size} B", -11), (one.section, 14, "dim"), (place, 8, "dim"))


def _relocations(relocations: Sequence[CoreRelocation]) -> Iterator[Line]:
    for one in relocations:
        yield [
            *cells((one.section, 26, "dim"), (f"insn {one.insn}", -11), (one.kind, 14, "key")),
            Cell(f"{one.type}.{one.access}" if one.access else one.type),
        ]
