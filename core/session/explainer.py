"""Explains the row that a screen asks about. Part of the session: used by the collector thread only."""

from __future__ import annotations

import msgspec

from core.explain.group import group_explanation
from core.explain.process import Moment, explanation, past_explanation
from core.model.entities import ProcessKey, Resolution
from core.model.view import Explanation, RowKey
from core.resolve.audit import Audit
from core.resolve.engine import Engine
from core.resolve.process_cache import Process
from core.session.timeline import Timeline
from core.text.units import age
from core.tree.cpu_history import SPAN_NS, CpuHistory
from core.tree.tree import Tree

_MAX_LATEST = 512

_SPANS = 60
"""How many cells the line of CPU shares has."""


class Explainer:
    """Keeps the latest resolution of each pid and the recent CPU use of groups; both are bounded."""

    def __init__(self, engine: Engine, tree: Tree, timeline: Timeline) -> None:
        self._engine = engine
        self._tree = tree
        self._timeline = timeline
        self._latest: dict[int, Resolution] = {}
        self._cpu = CpuHistory()

    def explain(self, key: RowKey | None) -> Explanation | None:
        """Explain a row of the tree as shown now, None if it has no such row. Its drift is checked again."""
        self._engine.audit.wanted = key if isinstance(key, ProcessKey) else None
        now_ns = self._timeline.at_ns
        if isinstance(key, ProcessKey):
            return self._process(key, now_ns)
        group = None if key is None else self._tree.group(key)
        if group is None:
            return None
        return group_explanation(group, self._cpu.series(group.key, now_ns, _SPANS), SPAN_NS, now_ns)

    def remember(self, resolution: Resolution) -> None:
        """Keep the latest resolution of a pid: the explanation shows its trail.

        Times measured during a replay say nothing about the recorded host: they are left out.
        """
        if not self._engine.feed.live:
            trail = tuple(msgspec.structs.replace(step, ns=0) for step in resolution.trail)
            resolution = msgspec.structs.replace(resolution, trail=trail)
        self._latest.pop(resolution.pid, None)
        self._latest[resolution.pid] = resolution
        if len(self._latest) > _MAX_LATEST:
            del self._latest[next(iter(self._latest))]

    def note_cpu(self) -> None:
        """Record the CPU use of groups, once a sweep. A paused tree does not change, so it is skipped."""
        if not self._timeline.held:
            self._cpu.add(self._engine.feed.now_ns(), self._tree.group_cpu())

    def _process(self, key: ProcessKey, now_ns: int) -> Explanation | None:
        engine = self._engine
        process = engine.cache.find(key.tgid, key.start_ns)
        if process is None or self._timeline.rewound:
            cached = process or engine.cache.recall(key)
            return past_explanation(key, self._tree.view, cached, now_ns)
        resolution = self._latest.get(key.tgid)
        if resolution is None or resolution.entry is not process.entry:
            self.remember(engine.resolve(key.tgid))
            resolution = self._latest[key.tgid]
        view = engine.view(process)
        return explanation(process, resolution, view, Moment(now_ns, self._drift(process, now_ns)))

    def _drift(self, process: Process, now_ns: int) -> str:
        if not self._engine.feed.live:
            return "not known: a recording has no /proc to compare with"
        if process.entry.kthread:
            return "not checked for kernel threads: they have no image"
        return drift_words(self._engine.audit, process.key, now_ns)


def drift_words(audit: Audit, key: ProcessKey, now_ns: int) -> str:
    """Return the differences between cache and /proc that the audit found in one process, and when."""
    checked_ns = audit.checked_ns(key)
    when = "not checked yet" if checked_ns is None else f"checked {age(now_ns - checked_ns)} ago"
    differences = [
        f"{drift.field} was {drift.cached}, /proc had {drift.seen}, corrected {age(now_ns - drift.ns)} ago"
        for drift in audit.differences_of(key)
    ]
    if checked_ns is None and not differences:
        return when
    return ", ".join(["; ".join(differences) or "none", when])
