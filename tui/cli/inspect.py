"""`ebpf-tui inspect`: what is inside an eBPF object file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from core.text.safe import safe_text
from tui.output import CommandError, ExitCode, emit
from tui.settings import Settings

_WIDEST = 100
"""Characters of a column: one very long name must not widen a million rows."""

if TYPE_CHECKING:
    from buildgen.objects import Comparison, ObjectFile
    from buildgen.objects.disassembly import Instruction


@click.command(help="Show the programs, maps, variables, BTF and relocations of an eBPF object file.")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--disassemble", "program", metavar="PROGRAM", help="Show its instructions with source lines.")
@click.option(
    "--compare", "before", metavar="OLD", type=click.Path(path_type=Path), help="Show what differs from OLD."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_obj
def command(
    settings: Settings, file: Path, *, program: str | None, before: Path | None, as_json: bool
) -> None:
    from buildgen.errors import BuildgenError
    from buildgen.objects import compare, comparison_json, object_json, read_object

    try:
        found = read_object(file)
        difference = compare(read_object(before), found) if before else None
        code = _disassembled(found, program) if program else ()
    except BuildgenError as error:
        raise CommandError(str(error)) from error
    if as_json:
        said = object_json(found)
        if difference is not None:
            said |= {"compared_with": str(before), "difference": comparison_json(difference)}
        if program:
            from buildgen.objects.disassembly import instruction_json

            said["disassembly"] = {
                "program": program,
                "instructions": [instruction_json(one) for one in code],
            }
        emit("inspect", said)
        return
    if difference is not None:
        _tell_difference(difference)
    if program:
        _tell_code(code)
    if difference is None and not program:
        _tell(found)


def _disassembled(found: ObjectFile, name: str) -> tuple[Instruction, ...]:
    """Return the instructions of the program that is named, by the llvm-objdump of the toolchain."""
    from buildgen.objects.disassembly import disassemble
    from buildgen.project.toolchain import find_toolchain

    chosen = next((one for one in found.programs if one.name == name), None)
    if chosen is None:
        known = ", ".join(one.name for one in found.programs) or "none at all"
        raise CommandError(safe_text(f"no program {name!r} in it; there is {known}"), ExitCode.USAGE)
    return disassemble(found, chosen, find_toolchain().objdump)


def _tell_code(code: tuple[Instruction, ...]) -> None:
    for one in code:
        if one.label:
            click.echo(f"{one.label}:")
        if one.line:
            click.echo(f"; {one.line.file}:{one.line.line}: {one.line.text}")
        notes = [note for note in (one.symbol, one.helper) if note]
        if one.core:
            access = f".{one.core.access}" if one.core.access else ""
            notes.append(f"{one.core.kind} {one.core.type}{access}")
        click.echo(f"{one.insn:6}  {one.text:44}  {'  '.join(notes)}".rstrip())


def _tell_difference(one: Comparison) -> None:
    size, insns = one.size_after - one.size_before, one.insns_after - one.insns_before
    click.echo(f"size {one.size_after} bytes ({size:+}), {one.insns_after} instructions ({insns:+})")
    for changed in one.about:
        click.echo(changed)
    if one.same:
        click.echo("the same programs, maps and CO-RE relocations")
    programs: list[tuple[str, ...]] = []
    for p in one.programs:
        was = "" if p.insns_before is None else f"{p.insns_before} insns"
        programs.append((p.change, p.name, was, "" if p.insns_after is None else f"{p.insns_after} insns"))
    _table("programs", programs)
    _table("maps", [(m.change, m.name, ", ".join(m.what)) for m in one.maps])
    _table(
        "CO-RE relocations",
        [
            (r.change, f"{r.count}", r.section, r.kind, f"{r.type}.{r.access}" if r.access else r.type)
            for r in one.core_relocations
        ],
    )


def _tell(one: ObjectFile) -> None:
    licence = "none" if one.license is None else one.license
    click.echo(f"{safe_text(str(one.path))}: {one.machine}, {one.endian} endian, licence {licence}")
    _table(
        "programs",
        [
            (p.name, f"{p.insns} insns", "subprogram" if p.subprogram else p.type, p.section)
            for p in one.programs
        ],
    )
    _table(
        "maps",
        [
            (
                m.name,
                m.type,
                f"{m.key_size} -> {m.value_size} bytes",
                f"{m.max_entries} entries",
                f"flags {m.flags:#x}",
            )
            for m in one.maps
        ],
    )
    _table("variables", [(v.name, f"{v.size} bytes", v.section) for v in one.variables])
    if one.btf is not None:
        kinds = ", ".join(f"{count} {kind}" for kind, count in one.btf.kinds)
        _table("BTF", [(f"{one.btf.types} types", f"{one.btf.size} bytes", kinds)])
    _table(
        "CO-RE relocations",
        [(f"{r.section}+{r.insn}", r.kind, f"{r.type} {r.access}".rstrip()) for r in one.core_relocations],
    )


def _table(title: str, rows: list[tuple[str, ...]]) -> None:
    """Write rows under a title, columns aligned; nothing at all when there are no rows."""
    if not rows:
        return
    click.echo(f"\n{title}")
    widths = [min(_WIDEST, max(len(row[column]) for row in rows)) for column in range(len(rows[0]))]
    for row in rows:
        click.echo(
            "  " + "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        )
