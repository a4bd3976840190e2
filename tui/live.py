"""The engine of a subcommand: opened on the host of the settings, closed whatever happens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from core.engine import Engine
from core.feed import Feed, open_feed
from core.procfs import ProcfsError
from tui.output import CommandError
from tui.settings import Settings


@contextmanager
def live_engine(settings: Settings, *, probe: bool = True) -> Iterator[Engine]:
    """Yield an engine that was not started yet. `probe` False: go without, as with --no-probe.

    When there is no /proc to look at either, the command ends with one line.
    """
    feed = open_feed(settings.host, probe=settings.probe and probe, ask_runtimes=settings.ask_runtimes)
    with engine_on(feed) as engine:
        yield engine


@contextmanager
def engine_on(feed: Feed) -> Iterator[Engine]:
    """The same on a feed that is open already; it is closed at the end."""
    try:
        yield Engine(feed)
    except ProcfsError as error:
        raise CommandError(f"nothing to look at: {error}") from None
    finally:
        feed.close()
