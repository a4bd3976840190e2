"""Drift: differences that a slow, bounded comparison of cache and /proc finds. The aim is a constant zero.

Some facts change without any event, because the process itself rewrites them (its title, name or
credentials) or its file is removed; those are refreshed and are not drift. Facts that an event should have
reported (parent, image, container) are checked again a moment later, because the event may still be on its
way. What still differs then is drift: it is counted by field and corrected.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable

import msgspec

from core.model.entities import ProcessEntry, ProcessKey, same_start
from core.resolve.process_cache import Process, ProcessCache
from core.sources.bounded_read import WAITS
from core.sources.feed import ProcfsSource
from core.sources.procfs import ProcfsError, withheld

DIFFERENCES_KEPT = 200


_TAKEN_OVER = frozenset({"cmdline", "credentials", "tty", "exe", "inode", "comm", "cgroup", "cgroup_id"})
_FACTS = frozenset({"status", "cgroup", "namespaces", "cmdline", "exe"})

CHECKS_KEPT = 4_096
"""How many times of a latest check are kept, one per process."""


class Difference(msgspec.Struct, frozen=True):
    """One field of one process: the value in the cache and in /proc, at `ns` of the boot clock."""

    key: ProcessKey
    field: str
    cached: str
    seen: str
    ns: int

    @property
    def pid(self) -> int:
        return self.key.tgid


class Audit:
    """Compares a few processes at each call, in turn. Owned by the engine's thread."""

    def __init__(
        self,
        cache: ProcessCache,
        procfs: ProcfsSource,
        container_id: Callable[[bytes], str | None],
        now_ns: Callable[[], int],
    ) -> None:
        """`now_ns` is the boot clock."""
        self._cache = cache
        self._procfs = procfs
        self._container_id = container_id
        self._now_ns = now_ns
        self._checks: dict[ProcessKey, int] = {}
        self._queue: list[ProcessKey] = []
        self._suspects: dict[ProcessKey, frozenset[str]] = {}
        self.checked = 0
        self.drift: Counter[str] = Counter()
        self.refreshed: Counter[str] = Counter()
        self.differences: deque[Difference] = deque(maxlen=DIFFERENCES_KEPT)
        """The latest ones, at most DIFFERENCES_KEPT."""
        self.wanted: ProcessKey | None = None
        """A process that every step checks, because a screen explains it."""

    def checked_ns(self, key: ProcessKey) -> int | None:
        """Return when a process was last compared with /proc; None if never, or no longer kept."""
        return self._checks.get(key)

    def differences_of(self, key: ProcessKey) -> tuple[Difference, ...]:
        """Return the kept differences of one process, latest last."""
        return tuple(difference for difference in self.differences if difference.key == key)

    @property
    def total(self) -> int:
        """How many differences were counted as drift so far, over all fields."""
        return self.drift.total()

    def step(self, count: int) -> None:
        """Check the suspects of the last step again, and the next `count` processes."""
        suspects, self._suspects = self._suspects, {}
        for key, fields in suspects.items():
            self._check(key, fields)
        if self.wanted is not None and self.wanted not in suspects:
            self._check(self.wanted, frozenset())
        if not self._queue:
            self._queue = [process.key for process in self._cache if not process.entry.kthread]
            self._queue.reverse()
        for _ in range(min(count, len(self._queue))):
            self._check(self._queue.pop(), frozenset())

    def whole(self, pause: Callable[[], None]) -> None:
        """Check every process once; `pause` lets events arrive before suspects are checked again."""
        self._queue = []
        self.step(len(self._cache) or 1)
        self._queue = []
        pause()
        suspects, self._suspects = self._suspects, {}
        for key, fields in suspects.items():
            self._check(key, fields)

    def _check(self, key: ProcessKey, suspected: frozenset[str]) -> None:
        process = self._cache.find(key.tgid, key.start_ns)
        if process is None or process.exited_ns is not None:
            return
        try:
            seen, usage = self._procfs.entry(key.tgid)
        except ProcfsError:
            return  # it is ending; its exit event is on its way
        if not same_start(seen.start_ns, key.start_ns) or usage.state == "Z":
            return
        self.checked += not suspected
        self._note_check(process.key)
        different = self._different(process.entry, seen)
        confirmed = different & suspected
        if different - confirmed and not suspected:
            self._suspects[key] = different
        if confirmed:
            self._note(process.entry, seen, confirmed)
        self._refresh(process, seen, confirmed)

    def _different(self, entry: ProcessEntry, seen: ProcessEntry) -> frozenset[str]:
        fields = set()
        if entry.ppid != seen.ppid:
            fields.add("ppid")
        # Without argv an exec is still in progress: its event is still to come, however long that takes.
        if entry.inode and seen.inode and entry.inode != seen.inode and (seen.cmdline or not entry.cmdline):
            fields.add("image")
        if self._container_id(entry.cgroup) != self._container_id(seen.cgroup):
            fields.add("container")
        return frozenset(fields)

    def _note_check(self, key: ProcessKey) -> None:
        self._checks.pop(key, None)
        self._checks[key] = self._now_ns()
        if len(self._checks) > CHECKS_KEPT:
            del self._checks[next(iter(self._checks))]

    def _note(self, entry: ProcessEntry, seen: ProcessEntry, fields: frozenset[str]) -> None:
        for field in sorted(fields):
            self.drift[field] += 1
            cached, actual = self._words(entry, field), self._words(seen, field)
            self.differences.append(Difference(entry.key, field, cached, actual, self._now_ns()))

    def _words(self, entry: ProcessEntry, field: str) -> str:
        if field == "ppid":
            return str(entry.ppid)
        if field == "image":
            return f"inode {entry.inode}"
        return self._container_id(entry.cgroup) or "none"

    def _refresh(self, process: Process, seen: ProcessEntry, confirmed: frozenset[str]) -> None:
        """Take over what the process changed by itself, and correct confirmed drift."""
        entry = process.entry
        facts: dict[str, object] = {}
        missing = withheld(seen)
        for field, fact in (("cmdline", "cmdline"), ("credentials", "status"), ("tty", "")):
            # A fact that could not be read keeps its cached value.
            if fact not in missing and getattr(entry, field) != getattr(seen, field):
                facts[field] = getattr(seen, field)
        if entry.inode == seen.inode and entry.exe != seen.exe and seen.exe:
            facts["exe"] = seen.exe
        if "cmdline" in facts:
            facts["cmdline_truncated"] = seen.cmdline_truncated
        if entry.inode == 0 != seen.inode and entry.exe in (b"", seen.exe):  # its file system answers again
            facts |= {"exe": seen.exe, "inode": seen.inode, "mode": seen.mode, "mtime_ns": seen.mtime_ns}
        elif 0 != entry.inode != seen.inode != 0 and "image" not in confirmed:
            facts = {}  # an exec event is on its way: refresh nothing of the old image
        problem = _problem_now(entry, seen)
        if problem != entry.problem:
            facts["problem"] = problem
        if "image" in confirmed:
            facts |= {"exe": seen.exe, "inode": seen.inode, "comm": seen.comm}
        if "container" in confirmed:
            facts |= {"cgroup": seen.cgroup, "cgroup_id": 0, "cgroup_hierarchy": 0}
        if "ppid" in confirmed:
            self._cache.reparent(process, self._cache.get(seen.ppid), seen.ppid)
        if facts:
            self.refreshed.update(facts.keys() & _TAKEN_OVER)
            self._cache.amend(process, **facts)


def _problem_now(entry: ProcessEntry, seen: ProcessEntry) -> str:
    """Return the problem of an entry after another reading: withheld facts that it never had."""
    if entry.problem and not withheld(entry) & _FACTS:
        return entry.problem  # it is not about /proc
    had = {"exe": bool(entry.exe and entry.inode), "cmdline": bool(entry.cmdline)}
    parts = [part for part in seen.problem.split(", ") if part]
    return ", ".join(part for part in parts if WAITS in part or not _has(had, part))


def _has(had: dict[str, bool], part: str) -> bool:
    return any(is_known and part.startswith(fact) for fact, is_known in had.items())
