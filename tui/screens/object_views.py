"""The pages of the Objects screen: contents of an object, code, verdicts, comparison with the last build."""

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
"""Groups with more lines than this start folded, except programs and maps."""
_MOST_INSNS = 100_000
"""The most instructions shown of a program; the kernel accepts up to a million."""
_MOST_LOG_LINES = 2000
"""The most lines shown of a verifier log, from its end: `ebpf-tui verify --log` prints all."""
_MOST_LINES = 5000
"""The most lines shown of a group or a comparison; the command line prints all."""


@dataclass(frozen=True, slots=True)
class Page:
    """A title, and below it either plain lines or a tree of lines."""

    title: str
    lines: Sequence[Line] = ()
    note: str = ""
    tree: Sequence[FoldNode] = ()
    is_read: bool = True
    """False: the object is large and is read only on request."""


def unread(path: Path, size: int) -> Page:
    """Return the page of a large object, which is read only on request."""
    lines: list[Line] = [[Cell(f"{fmt.size(size)}: press enter to read it", "warn")]]
    return Page(safe_text(path.name), lines, "not read", is_read=False)


def overview(content: ObjectFile, since: Comparison | None) -> Page:
    """Return the contents of an object as a tree, and in one line its difference from the previous build.

    The code of a program is read when its node is unfolded (`FoldNode.lazy` is the Program).
    """
    tree = [FoldNode(line) for line in _about(content, since)]
    for group, ours in (("programs", False), ("subprograms", True)):
        members = [program for program in content.programs if program.subprogram is ours]
        if members or not ours:
            below = [
                FoldNode(_program(program), lazy=program, what=program) for program in members[:_MOST_LINES]
            ]
            below += [FoldNode(line) for line in _left_out(len(members))]
            tree.append(FoldNode(_title(group, len(members)), below, is_open=True))
    counts = {
        "maps": len(content.maps),
        "variables": len(content.variables),
        "CO-RE relocations": len(content.core_relocations),
        "sections": len(content.sections),
    }
    for group, lines in (
        ("maps", _few(content.maps, _maps)),
        ("variables", _few(content.variables, _variables)),
        ("CO-RE relocations", _few(content.core_relocations, _relocations)),
        ("sections", _few(content.sections, _sections)),
    ):
        few = group == "maps" or len(lines) <= _FEW
        tree.append(FoldNode(_title(group, counts[group]), [FoldNode(line) for line in lines], is_open=few))
    return Page(safe_text(content.path.name), (), f"{content.machine} · {content.endian} endian", tree)


def _few(things: Sequence[_T], lines: Callable[[Sequence[_T]], Iterator[Line]]) -> list[Line]:
    """Return the lines of the first `things`, and one line with the number of omitted ones."""
    return [*lines(things[:_MOST_LINES]), *_left_out(len(things))]


def _left_out(count: int) -> list[Line]:
    if count <= _MOST_LINES:
        return []
    return [[Cell(f"{fmt.count(count - _MOST_LINES)} more; ebpf-tui inspect prints all", "warn")]]


def code(instructions: Sequence[Instruction]) -> list[FoldNode]:
    """Return a program's instructions, each below the source line that it was compiled from."""
    lines: list[Line] = []
    for insn in instructions[:_MOST_INSNS]:
        if insn.line:
            place = f"{insn.line.file.rpartition('/')[2]}:{insn.line.line}"
            lines.append([Cell(f"{place}  ", "dim"), Cell(insn.line.text, "title")])
        if insn.label:
            lines.append([Cell(f"  {insn.label}:", "dim")])
        notes = [Cell(f"  {note}", "key") for note in (insn.symbol, insn.helper) if note]
        if insn.core:
            what = f"{insn.core.type}.{insn.core.access}" if insn.core.access else insn.core.type
            notes.append(Cell(f"  {insn.core.kind} {what}", "good"))
        lines.append([*cells((str(insn.insn), -6, "dim"), (insn.text, 40)), *notes])
    if len(instructions) > _MOST_INSNS:
        more = fmt.count(len(instructions) - _MOST_INSNS)
        lines.append([Cell(f"{more} more; ebpf-tui inspect --disassemble prints all", "warn")])
    return [FoldNode(line) for line in lines] or [FoldNode([Cell("no instructions", "warn")])]


def judge(tree: Sequence[FoldNode], verdict: ObjectVerdict) -> None:
    """Add the verifier's verdict to each program of a tree."""
    by_name = {judged.name: judged for judged in verdict.programs}
    for node in (below for group in tree for below in group.children):
        judged = by_name.get(node.what.name) if isinstance(node.what, Program) else None
        if judged is not None:
            sign, kind = _sign(judged)
            summary = judged.reason or f"{fmt.count(judged.insns_verified or 0)} insns verified"
            node.mark = Cell(f"{sign} ", kind)
            node.notes = [Cell(f"  {summary}", kind)]


def verdicts(verdict: ObjectVerdict) -> Page:
    """Return the verdict on each program, and below them the logs of the rejected ones."""
    lines: list[Line] = []
    for fixup in dict.fromkeys(fixup for program in verdict.programs for fixup in program.fixups):
        lines.append([Cell(f"set for the check: {fixup}", "warn")])
    for program in verdict.programs[:_MOST_LINES]:
        lines += _verdict(program)
    lines += _left_out(len(verdict.programs))
    for program in verdict.programs:
        if not program.accepted and program.permitted and program.log:
            lines += [[], [Cell(f"log of {program.name}", "title")]]
            lines += [[Cell(text, "dim")] for text in program.log.splitlines()[-_MOST_LOG_LINES:]]
        if len(lines) > 4 * _MOST_LINES:
            lines.append([Cell("more logs; ebpf-tui verify --log prints all", "warn")])
            break
    accepted = sum(program.accepted for program in verdict.programs)
    note = f"{accepted} of {len(verdict.programs)} accepted · esc: back"
    return Page("verifier", lines or [[Cell("no programs in this object", "warn")]], note)


def _sign(verdict: ProgramVerdict) -> tuple[str, str]:
    return {"accepted": ("✓", "good"), "rejected": ("✗", "bad")}.get(verdict.verdict, ("?", "warn"))


def _verdict(verdict: ProgramVerdict) -> Iterator[Line]:
    sign, kind = _sign(verdict)
    count = "" if verdict.insns_verified is None else f"{fmt.count(verdict.insns_verified)} insns verified"
    yield [
        Cell(f"{sign} ", kind),
        *cells((verdict.name, 26), (count, -24, "key")),
        Cell(verdict.section, "dim"),
    ]
    if verdict.reason:
        yield [Cell(f"    {verdict.reason}", kind)]
    if verdict.file:
        place = f"{verdict.file.rpartition('/')[2]}:{verdict.line}"
        yield [Cell("  at  ", "dim"), Cell(f"{place}  ", "key"), Cell(verdict.source)]
    explained = verdict.explained
    if explained.cause:
        yield [Cell("  why ", "dim"), Cell(explained.cause)]
    for step in verdict.trace:
        yield [Cell(f"      {step.file.rpartition('/')[2]}:{step.line}  ", "key"), Cell(step.what, "dim")]
    if explained.fix:
        yield [Cell("  fix ", "dim"), Cell(explained.fix)]
    for sign, kind, code in (("-", "bad", explained.before), ("+", "good", explained.after)):
        for line in code.expandtabs(4).splitlines():
            yield [Cell(f"      {sign} ", kind), Cell(line, kind)]


def difference(comparison: Comparison) -> Page:
    """Return what changed since the previous build."""
    lines: list[Line] = [[Cell(_in_short(comparison))]]
    for p in comparison.programs[:_MOST_LINES]:
        before = "–" if p.insns_before is None else fmt.count(p.insns_before)
        after = "–" if p.insns_after is None else fmt.count(p.insns_after)
        lines.append([*_changed(p.change, "program", p.name), Cell(f"{before} → {after} insns", "key")])
    lines += [_changed("changed", "object", what.replace("->", "→")) for what in comparison.about]
    for m in comparison.maps[:_MOST_LINES]:
        lines.append([*_changed(m.change, "map", m.name), Cell(", ".join(m.what).replace("->", "→"))])
    for r in comparison.core_relocations[:_MOST_LINES]:
        what = f"{r.type}.{r.access}" if r.access else r.type
        lines.append([*_changed(r.change, f"{r.count}× {r.kind}", what), Cell(r.section, "dim")])
    for count in map(len, (comparison.programs, comparison.maps, comparison.core_relocations)):
        lines += _left_out(count)
    return Page("since the previous build", lines, "esc: back")


def _changed(change: str, what: str, name: str) -> list[Cell]:
    kind = {"added": "good", "gone": "bad"}.get(change, "warn")
    return cells((change, 8, kind), (what, 16, "dim"), (name, 32))


def _in_short(comparison: Comparison) -> str:
    if comparison.same:
        return "same programs, maps and relocations as before"
    insns, size = (
        comparison.insns_after - comparison.insns_before,
        comparison.size_after - comparison.size_before,
    )
    counted = (
        (comparison.programs, "programs"),
        (comparison.maps, "maps"),
        (comparison.core_relocations, "CO-RE relocations"),
    )
    parts = [f"{len(things)} {name}" for things, name in counted if things]
    changes = [*comparison.about, *([f"{', '.join(parts)} differ"] if parts else [])]
    return f"{insns:+} insns, {size:+} bytes; {', '.join(changes)}"


def _about(content: ObjectFile, since: Comparison | None) -> Iterator[Line]:
    btf = content.btf
    yield [Cell(safe_text(str(content.path)), "dim")]
    about = (
        f"{fmt.size(content.size)} · license {content.license or 'none: the kernel will refuse most helpers'}"
    )
    yield [Cell(about)]
    if btf is None:
        yield [Cell("no BTF: CO-RE is not possible", "warn")]
    else:
        ext = "with .BTF.ext" if btf.ext else "without .BTF.ext"
        yield [Cell(f"BTF {fmt.size(btf.size)} · {btf.types} types · {ext}", "dim")]
    if since is not None:
        yield [Cell("since the previous build: ", "dim"), Cell(_in_short(since), "key")]


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
    for item in maps:
        shape = f"{item.key_size} → {item.value_size} B × {fmt.count(item.max_entries)}"
        yield [*cells((item.name, 26), (item.type, 14, "key"), (shape, 24)), Cell(item.defined_in, "dim")]


def _variables(variables: Sequence[Variable]) -> Iterator[Line]:
    for item in variables:
        place = "extern" if item.offset is None else f"+{item.offset}"
        yield cells((item.name, 26), (f"{item.size} B", -11), (item.section, 14, "dim"), (place, 8, "dim"))


def _relocations(relocations: Sequence[CoreRelocation]) -> Iterator[Line]:
    for relocation in relocations:
        yield [
            *cells(
                (relocation.section, 26, "dim"),
                (f"insn {relocation.insn}", -11),
                (relocation.kind, 14, "key"),
            ),
            Cell(f"{relocation.type}.{relocation.access}" if relocation.access else relocation.type),
        ]
