"""`ebpf-tui inspect`: what is inside an eBPF object file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from core.text import safe_text
from tui.output import CommandError, emit
from tui.settings import Settings

if TYPE_CHECKING:
    from buildgen.objects import ObjectFile


@click.command(help="Show the programs, maps, variables, BTF and relocations of an eBPF object file.")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_obj
def command(settings: Settings, file: Path, as_json: bool) -> None:
    from buildgen.errors import ObjectError
    from buildgen.objects import object_json, read_object

    try:
        found = read_object(file)
    except ObjectError as error:
        raise CommandError(str(error)) from error
    if as_json:
        emit("inspect", object_json(found))
    else:
        _tell(found)


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
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        click.echo(
            "  " + "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        )
