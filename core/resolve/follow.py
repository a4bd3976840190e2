"""Waits for the events of a feed and applies them, for sessions, recordings, `watch` and `audit`."""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Iterator

from core.model.events import Event
from core.resolve.engine import Engine
from core.resolve.process_cache import Process
from core.sources.feed import Feed

_LONGEST_WAIT_S = 1.0
"""A replay has no descriptor that becomes readable, so it is polled this often."""

OnEvent = Callable[[Event, Process | None], None]


class FeedPoller:
    """Sleeps until the feed of an engine has events or a timeout expires. Owned by the engine's thread."""

    def __init__(self, engine: Engine, wake: int = -1) -> None:
        """`wake` is a descriptor that also ends the wait when it is readable; its owner drains it."""
        self._engine = engine
        self._wake = wake
        self._feed: Feed | None = None
        self._poller = select.poll()

    def wait(self, seconds: float) -> None:
        """Wait until a descriptor is readable, `seconds` at most."""
        if self._engine.feed is not self._feed:  # the first wait, or the probe was reloaded
            self._register(self._engine.feed)
        self._poller.poll(max(0.0, seconds) * 1000)

    def _register(self, feed: Feed) -> None:
        self._feed = feed
        self._poller = select.poll()
        for descriptor in (self._wake, feed.fileno()):
            if descriptor >= 0:
                self._poller.register(descriptor, select.POLLIN)


def follow(
    engine: Engine,
    *,
    duration_s: float | None,
    sweep_every_s: float | None = None,
    on_event: OnEvent | None = None,
) -> Iterator[None]:
    """Apply events as they come for `duration_s` seconds (None: without end); yield after each turn.

    `on_event` is called right after each event was applied. Every `sweep_every_s` seconds container names
    are refreshed and all processes are swept; None: never.
    """
    clock = time.monotonic
    poller = FeedPoller(engine)
    end = None if duration_s is None else clock() + duration_s
    next_sweep = None if sweep_every_s is None else clock() + sweep_every_s
    while True:
        engine.pump(on_event)
        if next_sweep is not None and sweep_every_s is not None and clock() >= next_sweep:
            engine.refresh_names()
            engine.sweep()
            next_sweep = clock() + sweep_every_s
        yield
        now = clock()
        if end is not None and now >= end:
            return
        due = min(when for when in (end, next_sweep, now + _LONGEST_WAIT_S) if when is not None)
        poller.wait(due - now)
