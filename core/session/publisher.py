"""Makes frames for the screens when something has changed, and hands them out."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable

import msgspec

from core.model.entities import ProcessKey
from core.model.events import MapFill
from core.model.view import Explanation, Frame, Header, Row, RowKey, ViewRequest, Window
from core.resolve.engine import Engine
from core.resolve.process_cache import MAX_LIVE
from core.session.explainer import Explainer
from core.session.live_tree import LiveTree
from core.session.watchdog import stuck_frame
from core.sources.feed import Feed

_SECOND = 1_000_000_000
_LOGGER = logging.getLogger("ebpf_tui.session")


class Audience:
    """The subscribers to frames. Frames are numbered; any thread may hand one out."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._callbacks: list[Callable[[Frame], None]] = []
        self._latest: Frame | None = None
        self._revision = 0
        self.reported_stuck = False
        """The latest frame reports that the collector is stuck: another frame has to follow it."""

    def subscribe(self, callback: Callable[[Frame], None]) -> None:
        self._callbacks.append(callback)

    def next_revision(self) -> int:
        with self._lock:
            self._revision += 1
            return self._revision

    def hand_out(self, frame: Frame) -> None:
        self._latest = frame
        for callback in self._callbacks:
            callback(frame)

    def say_stuck(self, feed: Feed | None, what: str, seconds: int) -> None:
        """Hand out the latest frame again with what the collector waits for.

        `feed` is None while the feed is being opened.
        """
        self.reported_stuck = True
        self.hand_out(stuck_frame(feed, self._latest, self.next_revision(), what, seconds))


class Publisher:
    """Makes frames from a tree. Owned by the collector thread."""

    def __init__(self, engine: Engine, live: LiveTree, explainer: Explainer, audience: Audience) -> None:
        self._engine = engine
        self._live = live
        self._explainer = explainer
        self._audience = audience
        self.view = ViewRequest()
        self.explained: RowKey | None = None
        self.message = ""
        self.fills: tuple[MapFill, ...] = ()
        self.dirty = True
        """Something outside the tree has changed: a frame is due."""
        self.asked = False
        """The next frame answers a command."""
        self._second_shown = 0
        self._fresh_until = 0
        self._rows: tuple[Row, ...] = ()
        self._refused: type[Exception] | None = None

    @property
    def is_due(self) -> bool:
        """Return whether the next frame would differ from the latest one."""
        now_ns = self._engine.feed.now_ns()
        if self._fresh_until and now_ns >= self._fresh_until:
            return True  # a new row is no longer marked as new
        if self._live.timeline.held:  # the time behind live grows every second
            return self.dirty or self._audience.reported_stuck or now_ns // _SECOND != self._second_shown
        return self.dirty or self._audience.reported_stuck or self._live.is_behind

    def publish(self) -> bool:
        """Bring the tree up to date and hand out a frame if anything changed; return whether it did."""
        if not self.is_due:
            return False
        self._live.update()
        engine, timeline = self._engine, self._live.timeline
        self._second_shown = engine.feed.now_ns() // _SECOND
        now_ns = timeline.at_ns
        self.dirty = self.asked = self._audience.reported_stuck = False
        window = self._window(now_ns)
        self._rows = window.rows
        fresh_until = self._live.tree.fresh_until()
        self._fresh_until = fresh_until if fresh_until > now_ns and not timeline.held else 0
        self._audience.hand_out(
            Frame(
                revision=self._audience.next_revision(),
                header=self._header(window, now_ns),
                window=window,
                explanation=self._explanation(),
                stats=engine.stats.snapshot(),
                latency=engine.resolver.latency if engine.feed.live else (),
                fills=self.fills,
                cached=len(engine.cache),
                cache_limit=MAX_LIVE,
            )
        )
        return True

    def rows_on_screen(self) -> list[ProcessKey]:
        """Return the processes of the latest frame: their missing facts are read first."""
        return [row.key for row in self._rows if isinstance(row.key, ProcessKey)]

    def _window(self, now_ns: int) -> Window:
        """Return the requested rows; when they cannot be made, the default view with the problem."""
        try:
            return self._live.tree.window(self.view, now_ns)
        except Exception as error:  # a boundary: users type the filter, and it reads names chosen by others
            self._refuse("this view", error)
        window = Window()
        with contextlib.suppress(Exception):
            window = self._live.tree.window(ViewRequest(height=self.view.height), now_ns)
        problem = "this view failed; --log-file has the error"
        return msgspec.structs.replace(window, request=self.view, problem=problem)

    def _explanation(self) -> Explanation | None:
        try:
            return self._explainer.explain(self.explained)
        except Exception as error:  # the same boundary
            self._refuse(f"the explanation of {self.explained!r}", error)
            return None

    def _refuse(self, what: str, error: Exception) -> None:
        """Log an error of a request. One line per kind of error: frames come four times a second or more."""
        if self._refused is not type(error):
            self._refused = type(error)
            _LOGGER.error("%s failed", what, exc_info=error)

    def _header(self, window: Window, now_ns: int) -> Header:
        engine, facts = self._engine, self._live.timeline.facts
        return Header(
            hostname=engine.feed.host.hostname,
            kernel=engine.feed.host.kernel,
            arch=engine.feed.host.arch,
            tiers=facts.tiers,
            processes=window.processes,
            containers=window.containers,
            events_per_second=facts.events_per_second,
            lost=facts.lost,
            drift=facts.drift,
            paused=self._live.timeline.held,
            now_ns=now_ns,
            message=self.message,
            past=self._live.playback.past(engine.feed.now_ns()),
            replay=self._live.playback.position,
        )
