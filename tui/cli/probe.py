"""`ebpf-tui probe reload`: reload the probe of the running sessions."""

from __future__ import annotations

import click

from core.session.reload_signal import reload_running
from core.text.safe import safe_text
from tui.output import CommandError, ExitCode, emit


@click.group(no_args_is_help=False)
def command() -> None:
    """Manage the eBPF probe of the running sessions."""


@command.command()
@click.option("--json", "as_json", is_flag=True, help="Write one JSON object.")
def reload(as_json: bool) -> int:
    """Reload the probe of every running session of this user; each session keeps its tree.

    The same as pressing `L` in each session. Exits with 1 if no session is running.
    """
    try:
        results = reload_running()
    except OSError as error:
        raise CommandError(f"cannot look for running sessions: {safe_text(str(error))}") from None
    if as_json:
        sessions = [
            {"pid": result.key.tgid, "asked": result.sent, "detail": result.detail} for result in results
        ]
        emit("probe-reload", {"sessions": sessions})
    else:
        for result in results:
            click.echo(result.detail)
    if not results and not as_json:
        click.echo("no session of this user is running", err=True)
    return ExitCode.OK if any(result.sent for result in results) else ExitCode.FAILED
