"""The process cache: the live processes, what they run, and their parents and children.

A process is one object for its whole life, and holds its images one after the other. Parents and children
are references between objects, never pid look-ups: a reused pid cannot change the past.
The invariant after every step: `child in parent.children` if and only if `child.parent is parent`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator

import msgspec

from core.model.counters import Counter
from core.model.entities import Origin, ProcessEntry, ProcessKey, same_start
from core.model.events import CgroupMove, Exec, Exit, Fork, Reaped
from core.resolve.exec_images import newborn, refined, same_image
from core.resolve.metrics import Counters
from core.resolve.process import Process, Validity

__all__ = ["MAX_ENDED", "MAX_LIVE", "ProcessCache", "Process", "Validity"]

_EVENT = Origin.EVENT
_ADDED = {origin: Counter(f"added {origin}") for origin in Origin}
_ADDED_EVENT = Counter.ADDED_EVENT  # a module-level name takes half the time to look up

MAX_LIVE = 131_072
"""Limit of live processes; beyond it the least recently used one is flushed."""

MAX_ENDED = 4_096
"""Limit of ended processes kept as history."""


class ProcessCache:
    """The cache. One thread owns it; every method leaves the invariant intact."""

    def __init__(self, stats: Counters, limit: int = MAX_LIVE) -> None:
        self._stats = stats
        self._counters = stats.counters
        self._limit = limit
        self._live: OrderedDict[int, Process] = OrderedDict()
        self._ended: OrderedDict[tuple[int, int], Process] = OrderedDict()
        self.get: Callable[[int], Process | None] = self._live.get
        """Return the live process of a pid, if cached. The dict's own method, as it is called so often."""
        self.changed: dict[Process, None] = {}
        """Processes that changed since the session last cleared this, in order."""
        self.forgotten = 0
        """How many processes were dropped, from the history too; each is marked as `forgotten`."""

    def __len__(self) -> int:
        return len(self._live)

    def __iter__(self) -> Iterator[Process]:
        return iter(list(self._live.values()))

    @property
    def ended(self) -> tuple[Process, ...]:
        return tuple(self._ended.values())

    def find(self, pid: int, start_ns: int) -> Process | None:
        """Return the live process with this identity, compared as exactly as the two times allow."""
        process = self._live.get(pid)
        if process is None:
            return None
        cached_ns = process.entry.start_ns
        if cached_ns == start_ns:  # the usual case, and the fastest
            return process
        return process if start_ns == 0 or same_start(cached_ns, start_ns) else None

    def recall(self, key: ProcessKey) -> Process | None:
        """Return an ended process that is still kept as history."""
        return self._ended.get(key)

    def insert(self, entry: ProcessEntry, origin: Origin) -> Process:
        """Cache an entry from a snapshot, the maps or /proc; return its process.

        If the same identity is cached, its facts are replaced, a replaced image is remembered, and children
        stay. If another process has the pid, that process has ended unseen.
        """
        process = self._live.get(entry.pid)
        if process is not None and not same_start(process.entry.start_ns, entry.start_ns):
            self._end(process, entry.fork_ns or entry.start_ns)
            process = None
        if process is None:
            process = Process(entry, origin, entry.key)
            self._add(process)
        else:
            before = process.entry
            entry = refined(before, entry)
            executed = entry.exec_id > before.exec_id > 0 or 0 != before.inode != entry.inode != 0
            if executed and not same_image(before, entry):
                process.remember(before)
            process.entry = entry
            process.key = entry.key
            process.origin = origin
        self._link(process, self._parent_of(entry))
        if process.parent is not None:
            process.parent_missing = False
        if origin is not Origin.SNAPSHOT:
            self._counters[_ADDED[origin]] += 1
        self.changed[process] = None
        return process

    def fork(self, event: Fork, parent: Process | None, creator: Process | None) -> Process:
        """Cache a newborn process. It runs its creator's image until it executes its own.

        `parent` is the parent that the kernel reports; without it the child stays unlinked. A repeated event
        of the same identity changes nothing. A late event, after the pid has a new owner, puts the process
        straight into the history.
        """
        pid, start_ns = event.pid, event.start_ns
        key = tuple.__new__(ProcessKey, (pid, start_ns))  # the same as ProcessEntry.key
        ended = self._ended.get(key)
        if ended is not None:
            return ended
        owner = self._live.get(pid)
        if owner is not None and self._is_born(owner, event):
            self._confirm(owner, event, parent)
            return owner
        source = creator or parent
        entry = newborn(event, source.entry if source is not None else None)
        process = Process(entry, _EVENT, key)
        self._counters[_ADDED_EVENT] += 1
        if owner is not None:
            if owner.entry.start_ns > start_ns:
                self._end(process, owner.entry.start_ns)
                return process
            self._end(owner, event.ts_ns)
        self._add(process)
        if parent is not None:  # newborn: it has no old link, and cannot close a circle
            process.parent = parent
            parent.children[process] = None
        self.changed[process] = None
        return process

    def exec(self, event: Exec) -> Process:
        """Give a process its new image; the previous one goes into its history unless it is the same.

        The fork may have been lost: then the process is made here, flagged as without its parent
        unless the parent is cached. An event older than the cached image changes nothing; one of the same
        generation replaces an image from another source, which may have been read before the exec finished.
        """
        entry = event.entry
        process = self.find(entry.pid, entry.start_ns) or self._ended.get((entry.pid, entry.start_ns))
        if process is None:
            return self._executed_unborn(entry)
        before = process.entry
        if process.ended_ns is not None:
            return process
        if before.exec_id >= entry.exec_id > 0:
            if before.exec_id == entry.exec_id and process.origin is not _EVENT:
                self._take_image(process, entry)
            return process
        if event.previous_inode and before.inode and event.previous_inode != before.inode:
            self.flag(process)
            self._stats.count(Counter.EXEC_PARENT_MISSING)
        if same_image(before, entry):
            self._stats.count(Counter.MERGED_EXEC)
        else:
            process.remember(before)
        self._take_image(process, entry)
        return process

    def _take_image(self, process: Process, entry: ProcessEntry) -> None:
        """Give a process the image that an exec event reports."""
        before = process.entry
        fork_ns = before.fork_ns or entry.fork_ns
        ppid = before.ppid if process.parent is not None else entry.ppid
        if fork_ns != entry.fork_ns or ppid != entry.ppid:
            entry = msgspec.structs.replace(entry, fork_ns=fork_ns, ppid=ppid)
        process.entry = entry
        process.origin = _EVENT
        self._counters[_ADDED_EVENT] += 1
        self.changed[process] = None

    def exit(self, event: Exit) -> Process | None:
        """Make a process a zombie; return it, None if it is not cached. A repeated event changes nothing."""
        process = self.find(event.pid, event.start_ns)
        if process is None:
            return self._ended.get((event.pid, event.start_ns))
        if process.exited_ns is None:
            process.exited_ns = event.ts_ns
            process.exit_code = event.exit_code
            self.changed[process] = None
        return process

    def reap(self, event: Reaped) -> Process | None:
        """Move a process that left the process table into the history; None if it is not cached."""
        process = self.find(event.pid, event.start_ns)
        if process is not None:
            self._end(process, event.ts_ns)
        return process

    def vanish(self, process: Process, ts_ns: int) -> None:
        """End a process for which no exit was reported."""
        self._end(process, ts_ns)
        self._stats.count(Counter.FLUSHED_VANISHED)

    def move(self, event: CgroupMove) -> Process | None:
        """Put a process into another cgroup; None if it is not cached or already in that cgroup.

        A hybrid host reports a move once for each hierarchy; ids are unique only within a hierarchy.
        """
        process = self.find(event.pid, event.start_ns)
        if process is None:
            return None
        entry = process.entry
        place = event.hierarchy, event.cgroup_id
        if event.cgroup_id and place == (entry.cgroup_hierarchy, entry.cgroup_id):
            return None
        self.amend(process, cgroup=event.cgroup, cgroup_id=event.cgroup_id, cgroup_hierarchy=event.hierarchy)
        return process

    def amend(self, process: Process, **facts: object) -> None:
        """Replace single facts of the current image (comm, uid, cgroup, a longer argv)."""
        process.entry = msgspec.structs.replace(process.entry, **facts)
        self.touch(process)

    def reparent(self, process: Process, parent: Process | None, ppid: int) -> None:
        """Move a process below the parent that the kernel gave it."""
        process.entry = msgspec.structs.replace(
            process.entry, ppid=ppid, parent_start_ns=parent.entry.start_ns if parent else 0
        )
        process.parent_missing = parent is None and ppid != 0
        self._link(process, parent)
        self.touch(process)

    def flag(self, process: Process) -> None:
        """Note that the lineage breaks here: an event was lost, or the parent is not the reported one."""
        if not process.parent_missing:
            process.parent_missing = True
            self._stats.count(Counter.BROKEN_LINEAGE)

    def evict(self, pid: int) -> None:
        """Forget the facts of a process so that the next resolution asks the lower tiers.

        This is not an exit: `adopt_orphans` links the children again once the process is back.
        """
        process = self._live.pop(pid, None)
        if process is not None:
            self._link(process, None)
            for child in list(process.children):
                self._link(child, None)
            self._dropped(process)

    def adopt_orphans(self) -> None:
        """Link every process without a parent for which the parent is cached by now."""
        for process in self._live.values():
            if process.parent is None and process.entry.ppid:
                parent = self._parent_of(process.entry)
                if parent is not None:
                    self._link(process, parent)
                    process.parent_missing = False
                    self.touch(process)

    def expire(self, before_ns: int) -> list[Process]:
        """Drop the processes that ended before this time from the history; return them."""
        dropped = []
        while self._ended:
            process = next(iter(self._ended.values()))
            if (process.ended_ns or 0) >= before_ns:
                break
            self._forget_oldest()
            dropped.append(process)
        return dropped

    def seen(self, pid: int) -> None:
        """Note that a pid was used: a full cache flushes it last."""
        self._live.move_to_end(pid)

    def touch(self, process: Process) -> None:
        """Note that a process changed."""
        self.changed[process] = None

    def _add(self, process: Process) -> None:
        self._live[process.entry.pid] = process
        if len(self._live) > self._limit:
            _, oldest = next(iter(self._live.items()))
            self._end(oldest, oldest.entry.start_ns)
            self._stats.count(Counter.FLUSHED_LIMIT)

    def _end(self, process: Process, ts_ns: int) -> None:
        pid = process.entry.pid
        if self._live.get(pid) is process:
            del self._live[pid]
        process.ended_ns = ts_ns
        self._ended[process.key] = process
        self.changed[process] = None
        if len(self._ended) > MAX_ENDED:  # a storm between two sweeps
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        _, process = self._ended.popitem(last=False)
        for child in list(process.children):
            self._link(child, None)
        self._link(process, None)
        self._dropped(process)

    def _dropped(self, process: Process) -> None:
        process.forgotten = True
        self.forgotten += 1
        self.changed.pop(process, None)

    def _parent_of(self, entry: ProcessEntry) -> Process | None:
        """Return the cached parent that an entry names; never another process with a reused pid."""
        return self.find(entry.ppid, entry.parent_start_ns) if entry.ppid else None

    def _is_born(self, owner: Process, event: Fork) -> bool:
        """Return whether the live process of a pid is the one that the fork event reports.

        The pid of a zombie added from /proc, with a start time in ticks, may already have a new owner.
        """
        if owner.entry.start_ns == event.start_ns:
            return True
        return owner.exited_ns is None and same_start(owner.entry.start_ns, event.start_ns)

    def _confirm(self, process: Process, event: Fork, parent: Process | None) -> None:
        """Take missing facts from a late fork event of a process that another source added."""
        if process.parent_missing and parent is not None and event.ppid == process.entry.ppid:
            self._link(process, parent)
            process.parent_missing = False
            self.touch(process)
        if process.entry.exec_id == 0:  # it was added from /proc
            self.amend(process, start_ns=event.start_ns, exec_id=event.exec_id, fork_ns=event.start_ns)
            process.key = process.entry.key

    def _executed_unborn(self, entry: ProcessEntry) -> Process:
        owner = self._live.get(entry.pid)
        if owner is not None and owner.entry.start_ns > entry.start_ns:
            process = Process(entry, Origin.EVENT, entry.key)  # a late event: the pid has a new owner
            self._end(process, owner.entry.start_ns)
            return process
        process = self.insert(entry, Origin.EVENT)
        if process.parent is None and entry.ppid != 0:
            self.flag(process)
        return process

    def _link(self, child: Process, parent: Process | None) -> None:
        if child.parent is parent or child is parent:
            return
        if child.parent is not None:
            child.parent.children.pop(child, None)
        child.parent = parent
        if parent is not None:
            # Only a process with children can be among its parent's ancestors.
            if child.children and any(above is child for above in parent.ancestors()):
                # A reused pid in stale data can close a circle: drop the newer link.
                child.parent = None
                return
            parent.children[child] = None
