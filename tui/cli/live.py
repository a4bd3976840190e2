"""The engine of a subcommand: opened on the host of the settings, closed whatever happens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from core.resolve.engine import Engine
from core.sources.feed import Feed, open_feed
from core.sources.procfs import ProcfsError
from core.text.safe import safe_text
from tui.output import CommandError, narrate
from tui.settings import Settings

_NAMED = 3
"""Processes of which stderr says why they are not known."""


@contextmanager
def live_engine(settings: Settings, *, probe: bool = True) -> Iterator[Engine]:
    """Yield an engine that was not started yet. `probe` False: go without, as with --no-probe.

    When there is no /proc to look at either, the command ends with one line.
    """
    feed = open_feed(settings.host, probe=settings.probe and probe, ask_runtimes=settings.ask_runtimes)
    with engine_on(feed) as engine:
        yield engine


def narrate_unread(engine: Engine) -> None:
    """Say on stderr how many processes are not wholly known, or not at all, and why the first are not."""
    noted = sorted((one.entry.pid, one.entry.problem) for one in engine.cache if one.entry.problem)
    narrate_reasons("not wholly known", noted)
    narrate_reasons("not read", sorted(engine.feed.procfs.unreadable.items()))


def narrate_reasons(state: str, reasons: list[tuple[int, str]]) -> None:
    """Say how many processes are in a bad state, and why the first of them are, if there are any."""
    if not reasons:
        return
    count = f"{len(reasons)} processes are" if len(reasons) > 1 else "1 process is"
    named = "; ".join(f"pid {pid}: {safe_text(why, 300)}" for pid, why in reasons[:_NAMED])
    more = f"; and {len(reasons) - _NAMED} more" if len(reasons) > _NAMED else ""
    narrate(f"{count} {state}: {named}{more}")


@contextmanager
def engine_on(feed: Feed) -> Iterator[Engine]:
    """The same on a feed that is open already; it is closed at the end."""
    try:
        yield Engine(feed)
    except ProcfsError as error:
        raise CommandError(f"nothing to look at: {error}") from None
    finally:
        feed.close()
