"""`ebpf-tui serve`: the same screens in a browser on this machine, read-only."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from pathlib import Path

import click

from core.sources.recording.file import RecordingError
from core.text.safe import safe_text
from tui.output import CommandError, ExitCode, emit, narrate
from tui.settings import Settings


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=0, show_default=True,
              help="Port on 127.0.0.1; 0 picks a free one.")  # fmt: skip
@click.option("--replay", "recording", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="Show this recording instead of the host.")  # fmt: skip
@click.option("--speed", type=click.FloatRange(min=0.01, max=1000), default=1.0, show_default=True,
              help="Speed of --replay; 2 is twice as fast as recorded.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Write one JSON object: the address and its parts.")
@click.pass_obj
def command(settings: Settings, port: int, recording: Path | None, speed: float, as_json: bool) -> int:
    """Serve the screens to a browser on this machine until ctrl+c. Prints the address to open.

    The screens are read-only: no signals, builds or files. Each tab has its own session, at most four;
    closing the tab ends its session. The address contains a token; requests without it are refused. To open
    the screens from another machine: ssh -L PORT:127.0.0.1:PORT.
    """
    try:
        from tui.web.server import ADDRESS, MOST_SESSIONS, Server
    except ModuleNotFoundError as error:
        if error.name not in ("textual_serve", "aiohttp"):
            raise
        what = "`serve` needs the package textual-serve: `pipx inject ebpf-tui textual-serve`"
        raise CommandError(f"{what} (or pip install 'ebpf-tui[serve]')", ExitCode.USAGE) from None
    from tui.config import config_path, load_config
    from tui.web.options import TabOptions

    load_config(config_path())  # an error is reported here once, not in every tab
    if recording is not None:
        _check(recording)
    server = Server(TabOptions.of(settings, recording, speed))

    stdout = sys.stdout

    def opened(taken: int) -> None:
        url = f"http://{ADDRESS}:{taken}/?token={server.access.token}"
        with contextlib.redirect_stdout(stdout):
            if as_json:
                emit("serve", {"url": url, "address": ADDRESS, "port": taken, "token": server.access.token,
                               "sessions": MOST_SESSIONS, "read_only": True})  # fmt: skip
            else:
                click.echo(url)
                stdout.flush()
        narrate("read-only, on this machine only; press ctrl+c to stop")

    with contextlib.redirect_stdout(sys.stderr):  # textual-serve prints the errors of a session
        return asyncio.run(server.run(port, opened))


def _check(recording: Path) -> None:
    """Raise CommandError if a recording cannot be replayed."""
    from core.sources.recording.replay import ReplayFeed

    try:
        ReplayFeed(recording, speed=0).close()
    except RecordingError as error:
        raise CommandError(str(error)) from None
    except OSError as error:
        raise CommandError(f"{safe_text(str(recording))}: {error.strerror}") from None
