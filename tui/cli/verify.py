"""`ebpf-tui verify`: load each program of an object separately and show the verifier's verdict."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from core.text.safe import safe_text
from tui.output import CommandError, ExitCode, emit, narrate
from tui.settings import Settings

if TYPE_CHECKING:
    from buildgen.verifier.model import ObjectVerdict, ProgramVerdict


@click.command(
    help="Load each program of an object file separately and show the verdict of this kernel's verifier: "
    "accepted, rejected with its cause and a fix, or not asked with the reason. Nothing is attached or "
    "pinned. Exit code 0: all accepted; 1: something rejected or not asked; 3: not permitted."
)
@click.argument("file", metavar="OBJECT", type=click.Path(path_type=Path))
@click.option("--log", "with_log", metavar="PROGRAM", help="Show the complete verifier log of PROGRAM.")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON object, including the logs.")
@click.pass_obj
def command(settings: Settings, file: Path, with_log: str | None, as_json: bool) -> None:
    from buildgen.errors import ObjectError, VerifyError
    from buildgen.verifier.verify import verdict_json, verify_object

    try:
        verdict = verify_object(file)
    except ObjectError as error:
        raise CommandError(str(error)) from error
    except VerifyError as error:
        raise CommandError(str(error), ExitCode.NOT_PERMITTED) from error
    if as_json:
        emit("verify", verdict_json(verdict), version=2)
    elif with_log is not None:
        _show_log(verdict, with_log)
    else:
        for program in verdict.programs:
            _print_verdict(program)
        for fixup in dict.fromkeys(fixup for program in verdict.programs for fixup in program.fixups):
            narrate(f"set for the check: {fixup}")
    if verdict.rejected:
        raise SystemExit(int(ExitCode.FAILED))
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


_WORDS = {"accepted": "accepted ", "rejected": "REJECTED ", "not asked": "not asked"}


def _print_verdict(program: ProgramVerdict) -> None:
    count = "" if program.insns_verified is None else f"{program.insns_verified} insns verified"
    click.echo(f"{_WORDS[program.verdict]} {program.name}  {program.section}  {count}".rstrip())
    if program.reason:
        click.echo(f"  {program.reason}")
    if program.file:
        click.echo(f"  {program.file}:{program.line}: {program.source}")
    explained = program.explained
    if explained.cause:
        click.echo(f"  why: {explained.cause}")
    for step in program.trace:
        click.echo(f"    {step.file.rpartition('/')[2]}:{step.line}: {step.what}")
    if explained.fix:
        click.echo(f"  fix: {explained.fix}")
    for word, code in (("instead of", explained.before), ("write", explained.after)):
        if code:
            click.echo(f"  {word}:")
            click.echo("\n".join(f"      {line}" for line in code.expandtabs(4).splitlines()))
