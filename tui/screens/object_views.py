"""What the Objects screen shows of an object: what is inside, code, verdicts, the difference to before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from buildgen.objects import Comparison, ObjectFile, Program
from buildgen.objects.disassembly import Instruction
from buildgen.objects.verify import ObjectVerdict, ProgramVerdict
from core.text import safe_text
from tui.widgets import format as fmt
from tui.widgets.list_pane import Cell, Line, cells

_MOST_LOG_LINES = 2000
"""Lines of a verifier log that are shown, its end: `ebpf-tui verify --log` prints all."""


@dataclass(frozen=True, slots=True)
class Page:
    """Lines under a title. `programs` says which line stands for which program: `enter` opens its code."""

    title: str
    lines: Sequence[Line]
    note: str = ""
    programs: dict[int, Program] = field(default_factory=dict)


def overview(found: ObjectFile, since: Comparison | None) -> Page:
    """Show what is in an object, and in one line how it differs from the build before."""
    lines: list[Line] = list(_about(found, since))
    programs: dict[int, Program] = {}
    for group, ours in (("programs", False), ("subprograms", True)):
        members = [program for program in found.programs if program.subprogram is ours]
        if members or not ours:
            lines.append(_title(group, len(members)))
        for program in members:
            programs[len(lines)] = program
            lines.append(_program(program))
    lines += [*_maps(found), *_variables(found), *_relocations(found), *_sections(found)]
    return Page(safe_text(found.path.name), lines, f"{found.machine} · {found.endian} endian", programs)


def code(program: Program, instructions: Sequence[Instruction]) -> Page:
    """Show a program's instructions below the source lines that they come from."""
    lines: list[Line] = []
    for one in instructions:
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
    note = f"{program.insns} insns · esc: back"
    return Page(program.name, lines or [[Cell("no instructions", "warn")]], note)


def verdicts(found: ObjectVerdict) -> Page:
    """Show what the verifier said of each program, the logs of the rejected ones below."""
    lines: list[Line] = []
    for one in found.programs:
        lines += _verdict(one)
    for one in found.programs:
        if not one.accepted and one.permitted and one.log:
            lines += [[], [Cell(f"log of {one.name}", "title")]]
            lines += [[Cell(text, "dim")] for text in one.log.splitlines()[-_MOST_LOG_LINES:]]
    accepted = sum(one.accepted for one in found.programs)
    note = f"{accepted} of {len(found.programs)} accepted · esc: back"
    return Page("verifier", lines or [[Cell("no programs in it", "warn")]], note)


def _verdict(one: ProgramVerdict) -> Iterator[Line]:
    sign, kind = ("✓", "good") if one.accepted else ("✗", "bad") if one.permitted else ("?", "warn")
    count = "" if one.insns_verified is None else f"{fmt.count(one.insns_verified)} insns verified"
    yield [Cell(f"{sign} ", kind), *cells((one.name, 26), (count, -24, "key")), Cell(one.section, "dim")]
    if one.reason:
        yield [Cell(f"    {one.reason}", kind)]
    if one.file:
        place = f"{one.file.rpartition('/')[2]}:{one.line}"
        yield [Cell("  at  ", "dim"), Cell(f"{place}  ", "key"), Cell(one.source)]
    if one.fix:
        yield [Cell("  do  ", "dim"), Cell(one.fix)]


def difference(one: Comparison) -> Page:
    """Show what changed since the build before."""
    lines: list[Line] = [[Cell(_in_short(one))]]
    for p in one.programs:
        was = "–" if p.insns_before is None else fmt.count(p.insns_before)
        now = "–" if p.insns_after is None else fmt.count(p.insns_after)
        lines.append([*_changed(p.change, "program", p.name), Cell(f"{was} → {now} insns", "key")])
    lines += [_changed("changed", "object", what.replace("->", "→")) for what in one.about]
    for m in one.maps:
        lines.append([*_changed(m.change, "map", m.name), Cell(", ".join(m.what).replace("->", "→"))])
    for r in one.core_relocations:
        what = f"{r.type}.{r.access}" if r.access else r.type
        lines.append([*_changed(r.change, f"{r.count}× {r.kind}", what), Cell(r.section, "dim")])
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
    row = cells((program.name, 26), (f"{program.insns} insns", -11, "key"))
    if program.subprogram:
        return row
    return [*row, *cells((program.type, 14, "dim")), Cell(program.attach_to or program.section, "dim")]


def _sections(found: ObjectFile) -> Iterator[Line]:
    yield _title("sections", len(found.sections))
    for section in found.sections:
        yield cells((section.name, 30), (section.type, 16, "dim"), (fmt.size(section.size), -7))


def _title(name: str, count: int) -> Line:
    return [Cell(f"{name} ", "title"), Cell(str(count), "dim")]


def _maps(found: ObjectFile) -> Iterator[Line]:
    yield _title("maps", len(found.maps))
    for one in found.maps:
        shape = f"{one.key_size} → {one.value_size} B × {fmt.count(one.max_entries)}"
        yield [*cells((one.name, 26), (one.type, 14, "key"), (shape, 24)), Cell(one.defined_in, "dim")]


def _variables(found: ObjectFile) -> Iterator[Line]:
    yield _title("variables", len(found.variables))
    for one in found.variables:
        place = "extern" if one.offset is None else f"+{one.offset}"
        yield cells((one.name, 26), (f"{one.size} B", -11), (one.section, 14, "dim"), (place, 8, "dim"))


def _relocations(found: ObjectFile) -> Iterator[Line]:
    yield _title("CO-RE relocations", len(found.core_relocations))
    for one in found.core_relocations:
        yield [
            *cells((one.section, 26, "dim"), (f"insn {one.insn}", -11), (one.kind, 14, "key")),
            Cell(f"{one.type}.{one.access}" if one.access else one.type),
        ]
