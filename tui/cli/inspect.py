"""`ebpf-tui inspect`: the contents of an eBPF object file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from core.text.safe import safe_text
from tui.output import CommandError, ExitCode, emit
from tui.settings import Settings

_WIDEST = 100
"""Largest width of a column, in characters: one very long name must not widen a million rows."""

if TYPE_CHECKING:
    from buildgen.objects import Comparison, ObjectFile
    from buildgen.objects.disassembly import Instruction


@click.command(help="Show the programs, maps, variables, BTF and relocations of an eBPF object file.")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--disassemble", "program", metavar="PROGRAM", help="Show the instructions of PROGRAM with source lines."
)
@click.option(
    "--compare",
    "before",
    metavar="OLD",
    type=click.Path(path_type=Path),
    help="Show the differences from OLD.",
)
@click.option("--json", "as_json", is_flag=True, help="Write one JSON object.")
@click.pass_obj
def command(
    settings: Settings, file: Path, *, program: str | None, before: Path | None, as_json: bool
) -> None:
    from buildgen.errors import BuildgenError
    from buildgen.objects import compare, comparison_json, object_json, read_object

    try:
        object_file = read_object(file)
        difference = compare(read_object(before), object_file) if before else None
        code = _disassembled(object_file, program) if program else ()
    except BuildgenError as error:
        raise CommandError(str(error)) from error
    if as_json:
        record = object_json(object_file)
        if difference is not None:
            record |= {"compared_with": str(before), "difference": comparison_json(difference)}
        if program:
            from buildgen.objects.disassembly import instruction_json

            record["disassembly"] = {
                "program": program,
                "instructions": [instruction_json(instruction) for instruction in code],
            }
        emit("inspect", record)
        return
    if difference is not None:
        _print_difference(difference)
    if program:
        _print_code(code)
    if difference is None and not program:
        _print_contents(object_file)


def _disassembled(object_file: ObjectFile, name: str) -> tuple[Instruction, ...]:
    """Return the instructions of the program called `name`, read by the toolchain's llvm-objdump."""
    from buildgen.objects.disassembly import disassemble
    from buildgen.project.toolchain import find_toolchain

    chosen = next((program for program in object_file.programs if program.name == name), None)
    if chosen is None:
        names = ", ".join(program.name for program in object_file.programs) or "none"
        what = f"{object_file.path}: no program {name!r}; its programs: {names}"
        raise CommandError(safe_text(what), ExitCode.USAGE)
    return disassemble(object_file, chosen, find_toolchain().objdump)


def _print_code(code: tuple[Instruction, ...]) -> None:
    for instruction in code:
        if instruction.label:
            click.echo(f"{instruction.label}:")
        if line := instruction.line:
            click.echo(f"; {line.file}:{line.line}: {line.text}")
        notes = [note for note in (instruction.symbol, instruction.helper) if note]
        if relocation := instruction.core:
            access = f".{relocation.access}" if relocation.access else ""
            notes.append(f"{relocation.kind} {relocation.type}{access}")
        click.echo(f"{instruction.insn:6}  {instruction.text:44}  {'  '.join(notes)}".rstrip())


def _print_difference(difference: Comparison) -> None:
    size = difference.size_after - difference.size_before
    insns = difference.insns_after - difference.insns_before
    click.echo(
        f"size {difference.size_after} bytes ({size:+}), {difference.insns_after} instructions ({insns:+})"
    )
    for changed in difference.about:
        click.echo(changed)
    if difference.same:
        click.echo("same programs, maps and CO-RE relocations")
    programs: list[tuple[str, ...]] = []
    for p in difference.programs:
        was = "" if p.insns_before is None else f"{p.insns_before} insns"
        programs.append((p.change, p.name, was, "" if p.insns_after is None else f"{p.insns_after} insns"))
    _table("programs", programs)
    _table("maps", [(m.change, m.name, ", ".join(m.what)) for m in difference.maps])
    _table(
        "CO-RE relocations",
        [
            (r.change, f"{r.count}", r.section, r.kind, f"{r.type}.{r.access}" if r.access else r.type)
            for r in difference.core_relocations
        ],
    )


def _print_contents(object_file: ObjectFile) -> None:
    licence = "none" if object_file.license is None else object_file.license
    path = safe_text(str(object_file.path))
    click.echo(f"{path}: {object_file.machine}, {object_file.endian} endian, licence {licence}")
    _table(
        "programs",
        [
            (p.name, f"{p.insns} insns", "subprogram" if p.subprogram else p.type, p.section)
            for p in object_file.programs
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
            for m in object_file.maps
        ],
    )
    _table("variables", [(v.name, f"{v.size} bytes", v.section) for v in object_file.variables])
    if (btf := object_file.btf) is not None:
        kinds = ", ".join(f"{count} {kind}" for kind, count in btf.kinds)
        _table("BTF", [(f"{btf.types} types", f"{btf.size} bytes", kinds)])
    _table(
        "CO-RE relocations",
        [
            (f"{r.section}+{r.insn}", r.kind, f"{r.type} {r.access}".rstrip())
            for r in object_file.core_relocations
        ],
    )


def _table(title: str, rows: list[tuple[str, ...]]) -> None:
    """Print rows with aligned columns under a title; print nothing if there are no rows."""
    if not rows:
        return
    click.echo(f"\n{title}")
    widths = [min(_WIDEST, max(len(row[column]) for row in rows)) for column in range(len(rows[0]))]
    for row in rows:
        click.echo(
            "  " + "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        )
