"""The tree of a session, kept in step with the engine's cache, and its timeline."""

from __future__ import annotations

from core.model.entities import ProcessKey
from core.resolve.engine import Engine
from core.resolve.process_cache import Process
from core.session.event_rate import Rate
from core.session.playback import Playback
from core.session.timeline import HeaderFacts
from core.tree.tree import Tree


class LiveTree:
    """Copies changes of the cache into the tree. Owned by the collector thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.tree = Tree(engine.feed.user_name)
        self.playback = Playback(self.tree, engine.feed)
        self.timeline = self.playback.timeline
        self._rate = Rate()
        self._shown: dict[Process, ProcessKey] = {}
        self._forgotten = 0

    @property
    def is_behind(self) -> bool:
        """Return whether the cache has changed since the last update.

        On a quiet host the end of a history is the only change.
        """
        cache = self._engine.cache
        return bool(cache.changed) or self._forgotten != cache.forgotten

    def pump(self) -> int:
        """Apply the events that have arrived; return how many."""
        events = len(self._engine.pump())
        self._rate.add(events, self._engine.feed.now_ns())
        return events

    def update(self) -> None:
        """Bring the tree up to date. While the history is full, changes wait and merge into one step."""
        engine, timeline = self._engine, self.timeline
        if timeline.full:
            return
        now_ns = engine.feed.now_ns()
        rate = self._rate.per_second(now_ns)
        timeline.begin(now_ns, HeaderFacts(engine.feed.tiers, rate, engine.lost, engine.audit.total))
        changed = list(engine.cache.changed)
        engine.cache.changed.clear()
        for process in changed:
            view = engine.view(process)
            shown = self._shown.get(process)
            if shown is not None and shown != view.key:  # its start time is known more exactly now
                timeline.drop(shown)
            timeline.put(view)
            self._shown[process] = view.key
        if self._forgotten != engine.cache.forgotten:
            self._forgotten = engine.cache.forgotten
            for process in [process for process in self._shown if process.forgotten]:
                timeline.drop(self._shown.pop(process))

    def step(self, span_ns: int) -> None:
        """Go forward in time, or back when negative; going back pauses, reaching the end returns to live."""
        engine = self._engine
        if span_ns < 0:
            self.playback.back(-span_ns, engine.feed.now_ns())
        elif self.playback.forward(span_ns, engine.feed.now_ns()):
            self.pump()
            engine.refresh_names()
            engine.sweep()
            self.update()
            self.timeline.forward(span_ns)
