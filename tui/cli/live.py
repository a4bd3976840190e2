"""Opens the engine of a subcommand on the host of the settings, and always closes it."""

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
"""Largest number of processes that stderr names with a reason."""


@contextmanager
def live_engine(settings: Settings, *, probe: bool = True) -> Iterator[Engine]:
    """Yield an engine that has not been started. `probe` False: do not load the probe, as with --no-probe.

    Raises CommandError when /proc cannot be read either.
    """
    feed = open_feed(settings.host, probe=settings.probe and probe, ask_runtimes=settings.ask_runtimes)
    with engine_on(feed) as engine:
        yield engine


def narrate_unread(engine: Engine) -> None:
    """Report on stderr how many processes lack facts or could not be read, with the first reasons."""
    noted = sorted(
        (process.entry.pid, process.entry.problem) for process in engine.cache if process.entry.problem
    )
    narrate_reasons("facts missing for", noted)
    narrate_reasons("could not read", sorted(engine.feed.procfs.unreadable.items()))


def narrate_reasons(problem: str, reasons: list[tuple[int, str]]) -> None:
    """Report on stderr how many processes `problem` concerns, with the first reasons.

    `problem` comes before the count: "could not read". No reasons: print nothing.
    """
    if not reasons:
        return
    count = f"{len(reasons)} processes" if len(reasons) > 1 else "1 process"
    named = "; ".join(f"pid {pid}: {safe_text(why, 300)}" for pid, why in reasons[:_NAMED])
    more = f"; and {len(reasons) - _NAMED} more" if len(reasons) > _NAMED else ""
    narrate(f"{problem} {count}: {named}{more}")


@contextmanager
def engine_on(feed: Feed) -> Iterator[Engine]:
    """Yield an engine on a feed that is already open, and close the feed at the end."""
    try:
        yield Engine(feed)
    except ProcfsError as error:
        raise CommandError(f"cannot read processes: {error}") from None
    finally:
        feed.close()
