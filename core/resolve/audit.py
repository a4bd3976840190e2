"""Drift: what a slow, bounded comparison of the cache with /proc finds different. The aim is a constant zero.

Some facts change without any event, because the process itself rewrites them (its title, its name,
its credentials) or somebody removes its file; those are refreshed and are no drift. What an event should
have told (the parent, the image, the container) is looked at again a moment later, because the
event may still be on its way; if it still differs it is drift, is counted by field, and is mended.
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
"""Processes of which it is kept when they were looked at last."""


class Difference(msgspec.Struct, frozen=True):
    """One field of one process: what the cache had and what /proc said, at `ns` of the boot clock."""

    key: ProcessKey
    field: str
    cached: str
    seen: str
    ns: int

    @property
    def pid(self) -> int:
        return self.key.tgid


class Audit:
    """Compares a few processes at each call, round and round. Owned by the engine's thread."""

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
        """The latest ones."""
        self.wanted: ProcessKey | None = None
        """A process that every step looks at: somebody reads what is said of it."""

    def checked_ns(self, key: ProcessKey) -> int | None:
        """Return when a process was compared with /proc last; None: not lately, or never."""
        return self._checks.get(key)

    def found(self, key: ProcessKey) -> tuple[Difference, ...]:
        """Return the drift of one process, as far as it is kept, the latest last."""
        return tuple(one for one in self.differences if one.key == key)

    @property
    def total(self) -> int:
        """How much drift was found so far, over all fields."""
        return self.drift.total()

    def step(self, count: int) -> None:
        """Look at the suspects of the last step again, and at the next `count` processes."""
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
        """Look at every process once; `pause` lets events come in before suspects are looked at again."""
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
            return  # it ends just now; its exit is on its way
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
        # An exec that goes on has no argv yet: its event is still to come, after whatever time it takes.
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
            cached, told = self._words(entry, field), self._words(seen, field)
            self.differences.append(Difference(entry.key, field, cached, told, self._now_ns()))

    def _words(self, entry: ProcessEntry, field: str) -> str:
        if field == "ppid":
            return str(entry.ppid)
        if field == "image":
            return f"inode {entry.inode}"
        return self._container_id(entry.cgroup) or "none"

    def _refresh(self, process: Process, seen: ProcessEntry, confirmed: frozenset[str]) -> None:
        """Take over what the process changed by itself, and mend what has drifted."""
        entry = process.entry
        facts: dict[str, object] = {}
        missing = withheld(seen)
        for field, fact in (("cmdline", "cmdline"), ("credentials", "status"), ("tty", "")):
            # What could not be read makes nothing less true.
            if fact not in missing and getattr(entry, field) != getattr(seen, field):
                facts[field] = getattr(seen, field)
        if entry.inode == seen.inode and entry.exe != seen.exe and seen.exe:
            facts["exe"] = seen.exe
        if "cmdline" in facts:
            facts["cmdline_truncated"] = seen.cmdline_truncated
        if entry.inode == 0 != seen.inode and entry.exe in (b"", seen.exe):  # its file system answers again
            facts |= {"exe": seen.exe, "inode": seen.inode, "mode": seen.mode, "mtime_ns": seen.mtime_ns}
        elif 0 != entry.inode != seen.inode != 0 and "image" not in confirmed:
            facts = {}  # an exec is on its way; nothing of the old image is refreshed
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
    """Return what is not known of an entry by now: facts that it never had, and those that nobody gives."""
    if entry.problem and not withheld(entry) & _FACTS:
        return entry.problem  # no matter of /proc
    had = {"exe": bool(entry.exe and entry.inode), "cmdline": bool(entry.cmdline)}
    parts = [part for part in seen.problem.split(", ") if part]
    return ", ".join(part for part in parts if WAITS in part or not _has(had, part))


def _has(had: dict[str, bool], part: str) -> bool:
    return any(known and part.startswith(fact) for fact, known in had.items())
