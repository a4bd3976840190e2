"""`ebpf-tui record FILE`: record processes and events, for replay on any machine."""

from __future__ import annotations

import contextlib
from pathlib import Path

import click

from core.resolve.engine import Engine
from core.resolve.follow import follow
from core.sources.feed import open_feed
from core.sources.recording.file import Writer
from core.sources.recording.record import RecordingFeed
from core.text.safe import safe_text
from tui.cli.live import engine_on
from tui.output import CommandError, emit, narrate
from tui.settings import Settings

_SWEEP_EVERY_S = 1.0


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--duration", type=click.FloatRange(min=0), help="Stop after this many seconds.")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON object at the end.")
@click.pass_obj
def command(settings: Settings, file: Path, duration: float | None, as_json: bool) -> None:
    """Record this host's processes and events to FILE until ctrl+c, or for --duration seconds.

    Secrets in arguments are removed, and environments are not recorded. FILE must not exist.
    """
    shown = safe_text(str(file))
    try:
        writer = Writer(file)
    except OSError as error:
        raise CommandError(f"cannot record to {shown}: {error.strerror}") from None
    live = open_feed(settings.host, probe=settings.probe, ask_runtimes=settings.ask_runtimes)
    feed = RecordingFeed(live, writer)
    # ctrl+c is the usual way to end a recording.
    with engine_on(feed) as engine, contextlib.suppress(KeyboardInterrupt):
        engine.start()
        _note(engine, feed)
        narrate(f"recording {len(engine.cache)} processes to {shown}; press ctrl+c to stop")
        for _ in follow(engine, duration_s=duration, sweep_every_s=_SWEEP_EVERY_S):
            _note(engine, feed)
            if feed.full:
                break
    size = file.stat().st_size
    if as_json:
        summary = {"file": str(file), "bytes": size, "events": feed.recorded_events, "full": feed.full}
        emit("record", summary)
    else:
        narrate(f"{shown}: {feed.recorded_events} events, {size} bytes" + (" (full)" if feed.full else ""))


def _note(engine: Engine, feed: RecordingFeed) -> None:
    """Record the names of the containers and users that the new records refer to."""
    for process in engine.cache.changed:
        engine.container(process.entry.cgroup)
        feed.note_user(process.entry.credentials.uid)
    engine.cache.changed.clear()
    feed.settle_users()
