"""The collector's loop: first events, then commands, then the work that is due by the clock."""

from __future__ import annotations

import contextlib
import logging
import os
import select
import time
from collections.abc import Callable
from functools import singledispatchmethod

from core.probe.refusals import ProbeUnavailable
from core.resolve.engine import Engine
from core.resolve.follow import FeedPoller
from core.session.commands import (
    ChangeSpeed,
    Command,
    CommandQueue,
    ExplainRow,
    Pause,
    ReloadProbe,
    ResolveAgain,
    ShowRows,
    Step,
)
from core.session.explainer import Explainer
from core.session.live_tree import LiveTree
from core.session.publisher import Publisher
from core.session.watchdog import Watchdog

FRAME_NS = 250_000_000
"""Frames that no command requested are at least this far apart: the first change is shown at once, a storm
of changes four times a second. Nobody reads faster, and each frame costs the screen some 5 ms."""

REPLAY_NS = 100_000_000
"""The same in a replay, where people watch its speed."""

ANSWER_NS = 15_000_000
"""Answers to commands are at least this far apart, so that paging does not wait for the next frame."""

GATHER_SECONDS = 0.02
"""Events that follow others this closely wait and are taken together. A command does not wait."""

SWEEP_NS = 2_000_000_000
LAST_SWEEP_NS = 5_000_000_000
SWEEP_SHARE = 40
"""Time between two sweeps, which bounds the age of facts that no event reports: SWEEP_NS, or SWEEP_SHARE
times as long as the sweep took, but at most LAST_SWEEP_NS. 10,000 processes take a fortieth of a core at
most."""

NAMES_NS = 500_000_000
"""Time between two checks of the runtimes' state: a new container's name is shown within a second."""

PROCFS_SWEEP_NS = 1_000_000_000
"""Time between two sweeps without events: a new process has to be shown within 1.5 s."""

FILLS_NS = 10_000_000_000
"""Time between two counts of the entries of the probe's maps, which make the kernel walk the maps."""

AUDITED = 8
"""How many processes are compared with /proc after each sweep: some 4 ms of work."""

_LOGGER = logging.getLogger("ebpf_tui.session")


class Scheduler:
    """Runs on the collector thread, paced by this host's clock: a replay's clock may run faster or stop."""

    def __init__(
        self,
        engine: Engine,
        live: LiveTree,
        explainer: Explainer,
        publisher: Publisher,
        commands: CommandQueue,
        *,
        wake: int,
    ) -> None:
        """`wake` is the eventfd that the queue writes to."""
        self._engine = engine
        self._live = live
        self._explainer = explainer
        self._publisher = publisher
        self._commands = commands
        self._wake = wake
        self._rhythm_ns = FRAME_NS if engine.feed.live else REPLAY_NS
        self._published_at = 0
        self._next_sweep = time.monotonic_ns() + PROCFS_SWEEP_NS // 2  # soon: CPU shares need two samples
        self._next_names = self._next_fills = 0

    def run(self, stopping: Callable[[], bool], watchdog: Watchdog) -> None:
        """Run until `stopping` returns True; the watchdog is notified when work begins and ends."""
        poller = FeedPoller(self._engine, self._wake)
        events = 0
        self._do_commands()  # put before the start
        while not stopping():
            self._publish_when_due()
            if events:  # more are likely: a storm wakes this thread fifty times a second, not for each event
                select.select([self._wake], [], [], GATHER_SECONDS)
            watchdog.rests()
            poller.wait((self._next_due() - time.monotonic_ns()) / 1e9 + 0.001)
            watchdog.begins()
            events = self.take_in()
            self.do_chores()

    def take_in(self) -> int:
        """Apply the events that have arrived and execute waiting commands; return the number of events."""
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._wake)
        if self._engine.reads_argv:
            self._engine.read_argv(self._publisher.rows_on_screen())
        events = self._live.pump()
        self._do_commands()
        return events

    def _publish_when_due(self) -> None:
        if time.monotonic_ns() >= self._next_frame and self._publisher.publish():
            self._published_at = time.monotonic_ns()

    @property
    def _next_frame(self) -> int:
        return self._published_at + (ANSWER_NS if self._publisher.asked else self._rhythm_ns)

    def _next_due(self) -> int:
        due = min(self._next_sweep, self._next_names)
        if self._engine.reads_argv:  # more argv is to be read
            due = time.monotonic_ns()
        if self._publisher.is_due:
            due = min(due, self._next_frame)
        if not self._engine.feed.live:  # nothing wakes us when the recording has more
            due = min(due, time.monotonic_ns() + self._rhythm_ns)
        return due

    # --- commands ------------------------------------------------------------------------------

    def _do_commands(self) -> None:
        commands, refused = self._commands.take()
        for command in commands:
            self._do(command)
        if commands:
            self._publisher.dirty = self._publisher.asked = True
        if refused:
            self._publisher.message = f"{refused} commands were dropped: too many were waiting"

    @singledispatchmethod
    def _do(self, command: Command) -> None:
        raise NotImplementedError(command)

    @_do.register
    def _(self, command: ShowRows) -> None:
        self._publisher.view = command.view

    @_do.register
    def _(self, command: ExplainRow) -> None:
        self._publisher.explained = command.key

    @_do.register
    def _(self, command: ResolveAgain) -> None:
        self._explainer.remember(self._engine.resolve(command.pid, evict=command.evict))

    @_do.register
    def _(self, command: Pause) -> None:
        self._live.update()
        self._live.playback.pause(command.on, self._engine.feed.now_ns())

    @_do.register
    def _(self, command: Step) -> None:
        self._live.update()
        self._live.step(command.span_ns)

    @_do.register
    def _(self, command: ChangeSpeed) -> None:
        self._live.update()
        self._live.playback.change_speed(command.step)

    @_do.register
    def _(self, command: ReloadProbe) -> None:
        self._publisher.message = "loading the probe again…"
        self._publisher.dirty = True
        self._publisher.publish()  # loading takes a moment
        try:
            self._engine.use(command.open_feed(self._engine.feed))
            self._publisher.message = "the probe was reloaded"
        except ProbeUnavailable as why:
            self._publisher.message = f"the probe was not reloaded: {why}"
        _LOGGER.info("%s", self._publisher.message)

    # --- chores --------------------------------------------------------------------------------

    def do_chores(self, *, now: bool = False) -> None:
        """Do the work that is due by the clock, or all of it `now`: container names, the sweep, the audit."""
        clock = time.monotonic_ns
        if now:
            self._next_names = self._next_sweep = 0
        if self._engine.feed.settle_users():
            self._live.tree.users_changed()
            self._publisher.dirty = True
        if clock() >= self._next_names:
            self._engine.refresh_names()
            self._next_names = clock() + NAMES_NS
        if clock() >= self._next_sweep:
            self._sweep()

    def _sweep(self) -> None:
        clock, engine = time.monotonic_ns, self._engine
        self._explainer.note_cpu()  # of the previous sweep: the tree has it by now
        began = clock()
        engine.sweep()
        wanted = min(LAST_SWEEP_NS, max(SWEEP_NS, (clock() - began) * SWEEP_SHARE))
        pause = wanted if engine.feed.exact else PROCFS_SWEEP_NS
        if clock() >= self._next_fills:
            self._publisher.fills = engine.feed.map_fill()
            self._next_fills = clock() + FILLS_NS
        if engine.feed.live:
            engine.audit.step(AUDITED)
        self._publisher.dirty |= self._publisher.explained is not None  # the audit has just checked it
        self._next_sweep = began + pause
