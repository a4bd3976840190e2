"""`ebpf-tui replay FILE`: show a recording on the same screens or as JSON, on any machine."""

from __future__ import annotations

from pathlib import Path

import click

from core.resolve.engine import Engine
from core.session.session import open_replay
from core.sources.recording.file import RecordingError
from core.sources.recording.replay import ReplayFeed
from core.text.safe import safe_text
from tui.cli.open_screens import open_screens
from tui.cli.process_list import list_object
from tui.output import CommandError, emit
from tui.settings import Settings


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--speed", type=click.FloatRange(min=0.01, max=1000), default=1.0, show_default=True,
              help="Speed of the replay; 2 is twice as fast as recorded.")  # fmt: skip
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Write the processes at the end of the recording as one JSON object, like `ps --json`.",
)
@click.pass_obj
def command(settings: Settings, file: Path, speed: float, as_json: bool) -> int:
    """Show a recording. Needs no privileges and reads nothing else on this machine."""
    try:
        if not as_json:
            return open_screens(settings, open_replay(file, speed))
        engine = Engine(ReplayFeed(file, speed=0))
        engine.start()
        engine.pump()
    except RecordingError as error:
        raise CommandError(str(error)) from None
    except OSError as error:
        raise CommandError(f"{safe_text(str(file))}: {error.strerror}") from None
    emit("replay", list_object(engine))
    return 0
