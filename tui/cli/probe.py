"""`ebpf-tui probe reload`: have the running sessions load the probe anew."""

from __future__ import annotations

import click

from core.session.reload_signal import reload_running
from core.text.safe import safe_text
from tui.output import CommandError, ExitCode, emit


@click.group(no_args_is_help=False)
def command() -> None:
    """The eBPF probe of the sessions that run."""


@command.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def reload(as_json: bool) -> int:
    """Have every running session of this user load the probe anew, without losing its tree.

    The same as `L` in each of them. Exit code 1: no session runs.
    """
    try:
        results = reload_running()
    except OSError as error:
        raise CommandError(f"no running session can be found: {safe_text(str(error))}") from None
    if as_json:
        told = [{"pid": one.key.tgid, "asked": one.sent, "detail": one.detail} for one in results]
        emit("probe-reload", {"sessions": told})
    else:
        for one in results:
            click.echo(one.detail)
    if not results and not as_json:
        click.echo("no session of this user runs", err=True)
    return ExitCode.OK if any(one.sent for one in results) else ExitCode.FAILED
