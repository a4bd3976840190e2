"""A session: one collector thread that owns engine and tree, and publishes frames.

The screens put commands into its queue and get immutable frames through a callback: in answer to a command,
else at most four times a second, and only when something has changed.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from core.model.view import Frame, RowKey, ViewRequest
from core.resolve.engine import Engine
from core.session.commands import (
    ChangeSpeed,
    CommandQueue,
    ExplainRow,
    Pause,
    ReloadProbe,
    ResolveAgain,
    ShowRows,
    Step,
)
from core.session.explainer import Explainer
from core.session.gc_tuning import filling
from core.session.live_tree import LiveTree
from core.session.publisher import Audience, Publisher
from core.session.scheduler import Scheduler
from core.session.watchdog import Watchdog
from core.sources.feed import Feed, open_feed
from core.sources.recording.replay import ReplayFeed
from core.system.host import Host

STOP_S = 2
"""How long `stop` waits for the collector. A sweep of 10,000 processes takes a tenth of it."""

_LOGGER = logging.getLogger("ebpf_tui.session")


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a collector. They are used on the collector thread only."""

    live: LiveTree
    publisher: Publisher
    scheduler: Scheduler


class Session:
    """Runs an engine in a thread of its own. All methods may be called from any thread."""

    def __init__(self, open_engine: Callable[[], Engine]) -> None:
        """`open_engine` runs on the collector thread: loading a probe takes longer than a frame."""
        self._open_engine = open_engine
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._commands = CommandQueue(self._nudge)
        self._audience = Audience()
        self._failed: Callable[[BaseException], None] | None = None
        self._thread = threading.Thread(target=self._run, name="collector", daemon=True)
        self._watchdog = Watchdog(self._say_stuck)
        self._stopping = False
        self._feed: Feed | None = None

    def subscribe(
        self, callback: Callable[[Frame], None], failed: Callable[[BaseException], None] | None = None
    ) -> None:
        """Call `callback` with each frame, and `failed` if the collector fails.

        Both are called on the collector thread; the watchdog calls `callback` on its own.
        """
        self._audience.subscribe(callback)
        self._failed = failed

    def start(self) -> None:
        self._thread.start()
        self._watchdog.start()

    def stop(self) -> None:
        """End the collector and detach the probe; returns when that is done, after STOP_S at the latest."""
        self._stopping = True
        self._watchdog.stop()
        self._nudge()
        if self._thread.is_alive():
            self._thread.join(timeout=STOP_S)

    def request(self, view: ViewRequest) -> None:
        """Request other rows; the next frame has them."""
        self._commands.put(ShowRows(view))

    def explain(self, key: RowKey | None) -> None:
        """Make the following frames explain this row; None: explain nothing."""
        self._commands.put(ExplainRow(key))

    def resolve(self, pid: int, *, evict: bool = False) -> None:
        """Resolve a pid again; with `evict` the cache forgets it first."""
        self._commands.put(ResolveAgain(pid, evict))

    def pause(self, on: bool) -> None:
        """Pause the tree or return it to live. A paused tree stays navigable, and no changes are lost."""
        self._commands.put(Pause(on))

    def step(self, span_ns: int) -> None:
        """Go forward in time, or back when negative; going back pauses, reaching the end returns to live."""
        self._commands.put(Step(span_ns))

    def change_speed(self, step: int) -> None:
        """Make a replay run faster (1) or slower (-1)."""
        self._commands.put(ChangeSpeed(step))

    def reload(self, open_feed: Callable[[Feed], Feed]) -> None:
        """Continue with a feed made from the current one; the tree stays. The header shows the result."""
        self._commands.put(ReloadProbe(open_feed))

    def _nudge(self) -> None:
        os.eventfd_write(self._wake, 1)

    def _run(self) -> None:
        try:
            self._watchdog.begins()
            engine = self._open_engine()
            self._feed = engine.feed
        except Exception as error:  # boundary of the thread: the screen reports it
            self._fail(error)
            return
        try:
            self._begin(engine).scheduler.run(lambda: self._stopping, self._watchdog)
        except Exception as error:
            self._fail(error)
        finally:
            self._watchdog.rests()
            engine.feed.close()

    def _begin(self, engine: Engine) -> Parts:
        """Fill the tree with what runs now."""
        live = LiveTree(engine)
        explainer = Explainer(engine, live.tree, live.timeline)
        publisher = Publisher(engine, live, explainer, self._audience)
        with filling():
            engine.start(whole=False)
            live.update()
        live.timeline.begin_here()
        scheduler = Scheduler(engine, live, explainer, publisher, self._commands, wake=self._wake)
        return Parts(live, publisher, scheduler)

    def _fail(self, error: Exception) -> None:
        _LOGGER.error("the collector failed", exc_info=error)
        if self._failed is None:
            raise error
        self._failed(error)

    def _say_stuck(self, what: str, seconds: int) -> None:
        """Publish what the collector waits for. Called by the watchdog, on its thread."""
        self._audience.say_stuck(self._feed, what, seconds)


def open_session(host: Host, *, probe: bool = True, ask_runtimes: bool = False) -> Session:
    """Return a session on this host; starting it loads the probe."""
    return Session(lambda: Engine(open_feed(host, probe=probe, ask_runtimes=ask_runtimes)))


def open_replay(path: Path, speed: float = 1.0) -> Session:
    """Return a session on a recording. Raises RecordingError, OSError."""
    feed = ReplayFeed(path, speed)
    return Session(lambda: Engine(feed))
