"""The session: the one collector thread that owns engine and tree, and publishes frames.

The screen asks with `request`, `explain`, `resolve` and `pause`, which only leave a note and wake the
collector; it gets an immutable Frame through its callback, when it asked or four times a second, and only
when something has changed.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

import msgspec

from core.model.entities import ProcessKey
from core.model.events import MapFill
from core.model.view import Explanation, Frame, Header, RowKey, ViewRequest, Window
from core.probe.refusals import ProbeUnavailable
from core.resolve.engine import Engine
from core.resolve.process_cache import MAX_LIVE, Process
from core.session.event_rate import Rate
from core.session.explainer import Explainer
from core.session.gc_tuning import filling
from core.session.playback import Playback
from core.session.timeline import Facts
from core.session.watchdog import Watchdog, stuck_frame
from core.sources.feed import Feed, open_feed
from core.sources.recording.replay import ReplayFeed
from core.system.host import Host
from core.tree.tree import Tree

FRAME_NS = 250_000_000
"""Frames that nobody asked for are at least this far apart: the first news come at once, a storm of them
four times a second. A person reads no faster, and each frame costs the screen some 5 ms."""

REPLAY_NS = 100_000_000
"""The same in a replay, whose speed is what one looks at."""

ANSWER_NS = 15_000_000
"""Answers to requests are at least this far apart: a person who pages does not wait for the rhythm."""

GATHER_SECONDS = 0.02
"""Events that come so soon after others wait, and are taken together. A request does not wait."""

SWEEP_NS = 2_000_000_000
LAST_SWEEP_NS = 5_000_000_000
SWEEP_SHARE = 40
"""Time between two sweeps, and how old what no event reports can be: the first, or so many times as
long as the sweep took, but never more than the second. 10,000 processes take a fortieth of a core at most."""

NAMES_NS = 500_000_000
"""Time between two looks at the runtimes' state: a new container's name shows within a second."""

PROCFS_SWEEP_NS = 1_000_000_000
"""The same without events: a new process has to show within 1.5 s."""

FILLS_NS = 10_000_000_000
"""Time between two looks at how full the kernel's maps are: the kernel walks them for it."""

STOP_S = 2
"""So long the end waits for the collector. A sweep of 10,000 processes takes a tenth of it."""

AUDITED = 8
"""Processes compared with /proc after each sweep: some 4 ms of work."""

_SECOND = 1_000_000_000
_LOGGER = logging.getLogger("ebpf_tui.session")


class Session:
    """Runs an engine in a thread of its own. All methods may be called from any thread."""

    def __init__(self, open_engine: Callable[[], Engine]) -> None:
        """`open_engine` runs on the collector thread: loading a probe takes longer than a frame."""
        self._open_engine = open_engine
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._thread = threading.Thread(target=self._run, name="collector", daemon=True)
        self._stopping = False
        self._callbacks: list[Callable[[Frame], None]] = []
        self._failed: Callable[[BaseException], None] | None = None
        self._view = ViewRequest()
        self._explained: RowKey | None = None
        self._moves: deque[Callable[[Engine], None]] = deque(maxlen=64)
        self._second_shown = 0
        self._fills: tuple[MapFill, ...] = ()
        self._fills_until = self._next_names = self._next_sweep = 0
        self._todo: deque[tuple[int, bool]] = deque(maxlen=64)
        self._shown: dict[Process, ProcessKey] = {}
        self._forgotten = 0
        self._tree = Tree(str)
        self._playback: Playback
        self._explainer: Explainer
        self._revision = 0
        self._dirty = True
        self._asked = False
        self._rate = Rate()
        self._reload: Callable[[Feed], Feed] | None = None
        self._message = ""
        self._fresh_until = 0
        self._watchdog = Watchdog(self._tell_stuck)
        self._feed: Feed | None = None
        self._latest: Frame | None = None
        self._refused: type[Exception] | None = None

    def subscribe(
        self, callback: Callable[[Frame], None], failed: Callable[[BaseException], None] | None = None
    ) -> None:
        """Call `callback` with each frame, `failed` if the collector dies; both on its thread."""
        self._callbacks.append(callback)
        self._failed = failed

    def start(self) -> None:
        self._thread.start()
        self._watchdog.start()

    def stop(self) -> None:
        """End the collector and detach the probe; returns when that is done, or is not going to be.

        A collector that waits in the kernel is left behind: it ends with the process, and so does the probe.
        """
        self._stopping = True
        self._watchdog.stop()
        self._nudge()
        if self._thread.is_alive():
            self._thread.join(timeout=STOP_S)

    def request(self, view: ViewRequest) -> None:
        """Ask for other rows; the next frame carries them."""
        self._view = view
        self._asked = True
        self._nudge()

    def explain(self, key: RowKey | None) -> None:
        """Have the next frames explain this row; None: explain nothing."""
        self._explained = key
        self._nudge()

    def resolve(self, pid: int, *, evict: bool = False) -> None:
        """Resolve a pid again; with `evict` the cache forgets it first."""
        self._todo.append((pid, evict))
        self._nudge()

    def pause(self, on: bool) -> None:
        """Stop taking the tree further; it stays navigable, and nothing is lost meanwhile."""
        self._move(lambda engine: self._playback.pause(on, engine.feed.now_ns()))

    def step(self, span_ns: int) -> None:
        """Go so far forward in time, or back when negative; going back pauses, the end goes on live."""
        if span_ns < 0:
            self._move(lambda engine: self._playback.back(-span_ns, engine.feed.now_ns()))
        else:
            self._move(lambda engine: self._forward(engine, span_ns))

    def change_speed(self, step: int) -> None:
        """Let a replay run faster (1) or slower (-1)."""
        self._move(lambda _: self._playback.change_speed(step))

    def _move(self, move: Callable[[Engine], None]) -> None:
        self._moves.append(move)
        self._nudge()

    def reload(self, open_feed: Callable[[Feed], Feed]) -> None:
        """Go on with a feed opened after the present one; the tree stays. A failure is told in the header."""
        self._reload = open_feed
        self._message = "loading the probe anew…"
        self._nudge()

    def _nudge(self) -> None:
        self._dirty = True
        os.eventfd_write(self._wake, 1)

    def _run(self) -> None:
        try:
            self._watchdog.begins()
            engine = self._open_engine()
            self._feed = engine.feed
        except Exception as error:  # the worker's boundary: the screen tells the person
            self._fail(error)
            return
        try:
            self._begin(engine)
            self._loop(engine)
        except Exception as error:
            self._fail(error)
        finally:
            self._watchdog.rests()
            engine.feed.close()

    def _begin(self, engine: Engine) -> None:
        """Fill the tree with what runs now."""
        self._tree = Tree(engine.feed.user_name)
        self._playback = Playback(self._tree, engine.feed)
        self._explainer = Explainer(engine, self._tree, self._playback.timeline)
        with filling():
            engine.start()
            self._update_tree(engine)
        self._playback.timeline.begin_here()

    def _fail(self, error: Exception) -> None:
        _LOGGER.error("the collector ended", exc_info=error)
        if self._failed is None:
            raise error
        self._failed(error)

    def _loop(self, engine: Engine) -> None:
        # Paced by our own clock: a replay's may run faster or slower, or stand still at its end.
        clock = time.monotonic_ns
        rhythm_ns = FRAME_NS if engine.feed.live else REPLAY_NS
        poller = self._poller(engine.feed)
        self._next_sweep = clock() + PROCFS_SWEEP_NS // 2  # soon: CPU shares need two samples
        shown_at = events = 0
        while not self._stopping:
            if self._fresh_until and engine.feed.now_ns() >= self._fresh_until:
                self._fresh_until, self._dirty = 0, True
            next_frame = shown_at + (ANSWER_NS if self._asked else rhythm_ns)
            if clock() >= next_frame and self._publish(engine):
                shown_at = clock()
            due = min(self._next_sweep, self._next_names)
            if self._dirty_at(engine):
                due = min(due, shown_at + (ANSWER_NS if self._asked else rhythm_ns))
            if not engine.feed.live:  # nothing wakes us when the recording has more
                due = min(due, clock() + rhythm_ns)
            if events:  # more of them come: a storm wakes us fifty times a second, not for each
                select.select([self._wake], [], [], GATHER_SECONDS)
            self._watchdog.rests()
            poller.poll(max(0, due - clock()) // 1_000_000 + 1)
            self._watchdog.begins()
            self._drain_wake()
            if self._reload is not None:
                self._swap_feed(engine)
                poller = self._poller(engine.feed)
            events = self._take_news(engine)
            self._do_chores(engine)

    def _take_news(self, engine: Engine) -> int:
        """Take what has happened and do what was asked; return how many events there were."""
        events = len(engine.pump())
        self._rate.add(events, engine.feed.now_ns())
        while self._moves:
            self._update_tree(engine)
            self._moves.popleft()(engine)
        while self._todo:
            pid, evict = self._todo.popleft()
            self._explainer.remember(engine.resolve(pid, evict=evict))
        return events

    def _do_chores(self, engine: Engine) -> None:
        """Do what is due by the clock: names of containers, the sweep, the audit."""
        clock = time.monotonic_ns
        if engine.feed.settle_users():
            self._tree.users_changed()
            self._dirty = True
        if clock() >= self._next_names:
            engine.refresh_names()
            self._next_names = clock() + NAMES_NS
        if clock() >= self._next_sweep:
            self._explainer.note_cpu()  # of the sweep before: the tree has it by now
            began = clock()
            engine.sweep()
            wanted = min(LAST_SWEEP_NS, max(SWEEP_NS, (clock() - began) * SWEEP_SHARE))
            pause = wanted if engine.feed.exact else PROCFS_SWEEP_NS
            if clock() >= self._fills_until:
                self._fills = engine.feed.map_fill()
                self._fills_until = clock() + FILLS_NS
            if engine.feed.live:
                engine.audit.step(AUDITED)
            self._dirty |= self._explained is not None  # what is explained has just been looked at
            self._next_sweep = began + pause

    def _poller(self, feed: Feed) -> select.poll:
        poller = select.poll()
        poller.register(self._wake, select.POLLIN)
        if feed.fileno() >= 0:
            poller.register(feed.fileno(), select.POLLIN)
        return poller

    def _swap_feed(self, engine: Engine) -> None:
        opener, self._reload = self._reload, None
        assert opener is not None
        try:
            engine.use(opener(engine.feed))
            self._message = "the probe was loaded anew"
        except ProbeUnavailable as why:
            self._message = f"the probe was not reloaded: {why}"
        _LOGGER.info("%s", self._message)

    def _dirty_at(self, engine: Engine) -> bool:
        if self._playback.timeline.held:  # how long ago this was goes on
            return self._dirty or engine.feed.now_ns() // _SECOND != self._second_shown
        lineage = engine.lineage  # on a quiet host the end of a history is all the news there is
        return self._dirty or bool(lineage.changed) or self._forgotten != lineage.forgotten

    def _drain_wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._wake)

    def _publish(self, engine: Engine) -> bool:
        """Bring the tree up to date and hand out a frame, if anything changed; return whether."""
        if not self._dirty_at(engine):
            return False
        self._update_tree(engine)
        timeline = self._playback.timeline
        self._second_shown = engine.feed.now_ns() // _SECOND
        now_ns = timeline.at_ns
        self._dirty = self._asked = False
        self._revision += 1
        window = self._window(now_ns)
        fresh_until = self._tree.fresh_until()
        self._fresh_until = fresh_until if fresh_until > now_ns and not timeline.held else 0
        frame = Frame(
            revision=self._revision,
            header=self._header(engine, window, now_ns),
            window=window,
            explanation=self._explanation(),
            stats=engine.stats.snapshot(),
            latency=engine.resolver.latency if engine.feed.live else (),
            fills=self._fills,
            cached=len(engine.lineage),
            cache_limit=MAX_LIVE,
        )
        self._hand_out(frame)
        return True

    def _window(self, now_ns: int) -> Window:
        """Return the rows that are asked for; a view that cannot be made costs only itself."""
        view = self._view
        try:
            return self._tree.window(view, now_ns)
        except Exception as error:  # a boundary: people type the filter, and it walks what others named
            self._refuse("this view", error)
        window = Window()
        with contextlib.suppress(Exception):
            window = self._tree.window(ViewRequest(height=view.height), now_ns)
        return msgspec.structs.replace(window, request=view, problem="this view cannot be shown: see the log")

    def _explanation(self) -> Explanation | None:
        try:
            return self._explainer.explain(self._explained)
        except Exception as error:  # the same boundary
            self._refuse(f"the explanation of {self._explained!r}", error)
            return None

    def _refuse(self, what: str, error: Exception) -> None:
        """Log what went wrong with a request, once for each kind of error: frames come ten times a second."""
        if self._refused is not type(error):
            self._refused = type(error)
            _LOGGER.error("%s failed", what, exc_info=error)

    def _hand_out(self, frame: Frame) -> None:
        self._latest = frame
        for callback in self._callbacks:
            callback(frame)

    def _tell_stuck(self, what: str, seconds: int) -> None:
        """Say what the collector waits for. Called by the watchdog, on its thread."""
        self._revision += 1
        self._dirty = True  # the collector's next frame is without it
        self._hand_out(stuck_frame(self._feed, self._latest, self._revision, what, seconds))

    def _update_tree(self, engine: Engine) -> None:
        timeline = self._playback.timeline
        if timeline.full:  # what happens now waits in the lineage, and comes as one step
            return
        now_ns = engine.feed.now_ns()
        rate = self._rate.per_second(now_ns)
        timeline.begin(now_ns, Facts(engine.feed.tiers, rate, engine.lost, engine.audit.total))
        changed = list(engine.lineage.changed)
        engine.lineage.changed.clear()
        for process in changed:
            view = engine.view(process)
            shown = self._shown.get(process)
            if shown is not None and shown != view.key:  # its start time is known more exactly now
                timeline.drop(shown)
            timeline.put(view)
            self._shown[process] = view.key
        if self._forgotten != engine.lineage.forgotten:
            self._forgotten = engine.lineage.forgotten
            for process in [process for process in self._shown if process.forgotten]:
                timeline.drop(self._shown.pop(process))

    def _forward(self, engine: Engine, span_ns: int) -> None:
        if self._playback.forward(span_ns, engine.feed.now_ns()):
            self._rate.add(len(engine.pump()), engine.feed.now_ns())
            engine.refresh_names()
            engine.sweep()
            self._update_tree(engine)
            self._playback.timeline.forward(span_ns)

    def _header(self, engine: Engine, window: Window, now_ns: int) -> Header:
        facts = self._playback.timeline.facts
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
            paused=self._playback.timeline.held,
            now_ns=now_ns,
            message=self._message,
            past=self._playback.past(engine.feed.now_ns()),
            replay=self._playback.position,
        )


def open_session(host: Host, *, probe: bool = True, ask_runtimes: bool = False) -> Session:
    """Return a session on this host; its probe is loaded when it is started."""
    return Session(lambda: Engine(open_feed(host, probe=probe, ask_runtimes=ask_runtimes)))


def open_replay(path: Path, speed: float = 1.0) -> Session:
    """Return a session on a recording. Raises RecordingError, OSError."""
    feed = ReplayFeed(path, speed)
    return Session(lambda: Engine(feed))
