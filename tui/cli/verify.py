"""`ebpf-tui verify`: load each program of an object separately and show the verifier's verdict."""

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
    help="Load each program of an object file separately and show the verdict of this kernel's verifier. "
    "Nothing is attached or pinned. Exit code 0: all accepted; 1: some rejected or undecided; "
    "3: not permitted."
)
@click.argument("file", metavar="OBJECT", type=click.Path(path_type=Path))
@click.option("--log", "with_log", metavar="PROGRAM", help="Show the complete verifier log of PROGRAM.")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON object, including the logs.")
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
        for program in verdict.programs:
            _print_verdict(program)
    if verdict.note and not as_json:
        narrate(verdict.note)
    if not verdict.permitted:
        raise SystemExit(int(ExitCode.NOT_PERMITTED))
    if not verdict.accepted:
        raise SystemExit(int(ExitCode.FAILED))


def _show_log(verdict: ObjectVerdict, name: str) -> None:
    """Print the complete log of the program called `name`."""
    for program in verdict.programs:
        if program.name == name:
            click.echo(program.log)
            return
    names = ", ".join(program.name for program in verdict.programs) or "none"
    raise CommandError(
        safe_text(f"no program {name!r} in this object; its programs: {names}"), ExitCode.USAGE
    )


def _print_verdict(program: ProgramVerdict) -> None:
    count = "" if program.insns_verified is None else f"{program.insns_verified} insns verified"
    verdict = "accepted" if program.accepted else "REJECTED" if program.decided else "unknown "
    click.echo(f"{verdict}  {program.name}  {program.section}  {count}".rstrip())
    if program.reason:
        click.echo(f"  {program.reason}")
    if program.file:
        click.echo(f"  {program.file}:{program.line}: {program.source}")
    if program.fix:
        click.echo(f"  fix: {program.fix}")
