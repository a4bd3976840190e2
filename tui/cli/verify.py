"""`ebpf-tui verify`: load each program of an object on its own, and show the verifier's verdict."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from core.text.safe import safe_text
from tui.output import CommandError, ExitCode, emit, narrate
from tui.settings import Settings

if TYPE_CHECKING:
    from buildgen.objects.verify import ObjectVerdict, ProgramVerdict


@click.command(
    help="Load each program of an object file on its own, and show what this kernel's verifier says. "
    "Nothing is attached or pinned. Exit code 0: all accepted, 1: something rejected or unknown, "
    "3: not permitted."
)
@click.argument("file", metavar="OBJECT", type=click.Path(path_type=Path))
@click.option("--log", "with_log", metavar="PROGRAM", help="Show the verifier's whole log of one program.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, with the logs.")
@click.pass_obj
def command(settings: Settings, file: Path, with_log: str | None, as_json: bool) -> None:
    from buildgen.errors import ObjectError, VerifyError
    from buildgen.objects.verify import verdict_json, verify_object

    try:
        verdict = verify_object(file)
    except ObjectError as error:
        raise CommandError(str(error)) from error
    except VerifyError as error:
        raise CommandError(str(error), ExitCode.NOT_PERMITTED) from error
    if as_json:
        emit("verify", verdict_json(verdict))
    elif with_log is not None:
        _show_log(verdict, with_log)
    else:
        for one in verdict.programs:
            _tell(one)
    if verdict.note and not as_json:
        narrate(verdict.note)
    if not verdict.permitted:
        raise SystemExit(int(ExitCode.NOT_PERMITTED))
    if not verdict.accepted:
        raise SystemExit(int(ExitCode.FAILED))


def _show_log(verdict: ObjectVerdict, name: str) -> None:
    """Write the log of the program that is named, every line of it."""
    for one in verdict.programs:
        if one.name == name:
            click.echo(one.log)
            return
    known = ", ".join(one.name for one in verdict.programs)
    raise CommandError(safe_text(f"no program {name!r} in it; there is {known}"), ExitCode.USAGE)


def _tell(one: ProgramVerdict) -> None:
    count = "" if one.insns_verified is None else f"{one.insns_verified} insns verified"
    word = "accepted" if one.accepted else "REJECTED" if one.decided else "unknown "
    click.echo(f"{word}  {one.name}  {one.section}  {count}".rstrip())
    if one.reason:
        click.echo(f"  {one.reason}")
    if one.file:
        click.echo(f"  {one.file}:{one.line}: {one.source}")
    if one.fix:
        click.echo(f"  to do: {one.fix}")
