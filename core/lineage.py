"""The entry cache: which processes live, what they run, and who made whom.

A process is one object for its whole life; its images follow each other inside it. Parents and
children are references between objects, never pid look-ups: a reused pid cannot change the past.
The invariant after every step: `child in parent.children` if and only if `child.parent is parent`.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator

import msgspec

from core.model import Origin, ProcessEntry, ProcessKey, Tier, same_start
from core.records import CgroupMove, Exec, Exit, Fork, Reaped
from core.stats import Stats

MAX_IMAGES = 16
"""Images kept per process, newest last."""

MAX_LIVE = 131_072
"""Processes kept at most; beyond it the one that was touched least recently is flushed."""

MAX_ENDED = 4_096
"""Ended processes kept at most as history."""


class Process:
    """One process. Owned by the Lineage; others read `entry` and follow `parent` and `children`."""

    __slots__ = (
        "children",
        "ended_ns",
        "entry",
        "executed",
        "exit_code",
        "exited_ns",
        "forgotten",
        "images",
        "origin",
        "parent",
        "parent_missing",
        "source",
    )

    def __init__(self, entry: ProcessEntry, origin: Origin) -> None:
        self.entry = entry
        self.origin = origin
        self.source: Tier | None = None
        self.parent: Process | None = None
        self.children: dict[Process, None] = {}
        self.images: deque[ProcessEntry] = deque(maxlen=MAX_IMAGES)
        self.executed = False
        self.parent_missing = False
        self.exited_ns: int | None = None  # its last thread ended: a zombie from then on
        self.ended_ns: int | None = None  # it left the process table: history from then on
        self.exit_code: int | None = None
        self.forgotten = False  # dropped from the cache: it is not to be shown any more

    @property
    def key(self) -> ProcessKey:
        return self.entry.key

    def ancestors(self) -> Iterator[Process]:
        """Yield parent, grandparent and so on."""
        process = self.parent
        while process is not None:
            yield process
            process = process.parent


class Lineage:
    """The cache. One thread owns it; every method leaves the invariant intact."""

    def __init__(self, stats: Stats, limit: int = MAX_LIVE) -> None:
        self._stats = stats
        self._limit = limit
        self._live: OrderedDict[int, Process] = OrderedDict()
        self._ended: OrderedDict[ProcessKey, Process] = OrderedDict()
        self.changed: dict[Process, None] = {}
        """Processes that changed since the session last cleared it, in order."""

    def __len__(self) -> int:
        return len(self._live)

    def __iter__(self) -> Iterator[Process]:
        return iter(list(self._live.values()))

    @property
    def ended(self) -> tuple[Process, ...]:
        return tuple(self._ended.values())

    def get(self, pid: int) -> Process | None:
        """Return the live process of a pid, if it is cached."""
        return self._live.get(pid)

    def find(self, pid: int, start_ns: int) -> Process | None:
        """Return the live process with this identity, as exactly as the two times allow."""
        process = self._live.get(pid)
        if process is not None and (start_ns == 0 or same_start(process.entry.start_ns, start_ns)):
            return process
        return None

    def insert(self, entry: ProcessEntry, origin: Origin) -> Process:
        """Cache an entry that a snapshot, the maps or /proc gave; return its process.

        The same identity already cached: its facts are replaced, an executed image is remembered,
        children stay. Another process under the same pid: that one has ended unseen.
        """
        process = self._live.get(entry.pid)
        if process is not None and not same_start(process.entry.start_ns, entry.start_ns):
            self._end(process, entry.fork_ns or entry.start_ns)
            process = None
        if process is None:
            process = Process(entry, origin)
            self._add(process)
        else:
            if entry.exec_id > process.entry.exec_id > 0:
                process.images.append(process.entry)
            process.entry = entry
            process.origin = origin
        process.executed = True
        self._link(process, self._live.get(entry.ppid) if entry.ppid else None)
        if origin is not Origin.SNAPSHOT:
            self._stats.count(f"added {origin}")
        self.touch(process)
        return process

    def fork(self, event: Fork, parent: Process | None, creator: Process | None) -> Process:
        """Cache a newborn process. It inherits its creator's image until it executes its own.

        `parent` is whom the kernel reports as parent; without it the child stays unlinked and is
        flagged. A repeated event of the same identity changes nothing.
        """
        ended = self._ended.get(ProcessKey(event.pid, event.start_ns))
        if ended is not None:
            return ended
        known = self.find(event.pid, event.start_ns)
        if known is not None and not known.parent_missing and known.origin is not Origin.PROCFS:
            return known
        stale = self._live.get(event.pid)
        if stale is not None:
            self._end(stale, event.ts_ns)
        process = Process(_newborn(event, creator or parent), Origin.EVENT)
        process.parent_missing = parent is None and event.ppid != 0
        self._add(process)
        self._link(process, parent)
        self._stats.count("added event")
        self.touch(process)
        return process

    def exec(self, event: Exec) -> Process:
        """Give a process its new image; the previous one goes into its history.

        The fork may have been lost: then the process is made here, flagged as without its parent
        unless the parent is cached. An event older than the cached image changes nothing.
        """
        entry = event.entry
        process = self.find(entry.pid, entry.start_ns) or self._ended.get(entry.key)
        if process is None:
            process = self.insert(entry, Origin.EVENT)
            process.parent_missing = process.parent is None and entry.ppid != 0
            return process
        before = process.entry
        if process.ended_ns is not None:
            return process
        if before.exec_id >= entry.exec_id > 0 and process.origin is not Origin.PROCFS:
            return process
        if event.previous_inode and before.inode and event.previous_inode != before.inode:
            process.parent_missing = True
            self._stats.count("inode error exec_parent_missing")
        process.images.append(before)
        process.entry = msgspec.structs.replace(
            entry,
            fork_ns=before.fork_ns or entry.fork_ns,
            ppid=before.ppid if process.parent is not None else entry.ppid,
        )
        process.executed = True
        process.origin = Origin.EVENT
        self._stats.count("added event")
        self.touch(process)
        return process

    def exit(self, event: Exit) -> Process | None:
        """Make a process a zombie; return it, or None if it is not cached. Twice is as good as once."""
        process = self.find(event.pid, event.start_ns)
        if process is not None and process.exited_ns is None:
            process.exited_ns = event.ts_ns
            process.exit_code = event.exit_code
            self.touch(process)
        return process

    def reap(self, event: Reaped) -> Process | None:
        """Move a process that left the process table into the history; None if it is not cached."""
        process = self.find(event.pid, event.start_ns)
        if process is not None:
            self._end(process, event.ts_ns)
        return process

    def vanish(self, process: Process, ts_ns: int) -> None:
        """End a process whose exit nobody reported."""
        self._end(process, ts_ns)
        self._stats.count("flushed vanished")

    def move(self, event: CgroupMove) -> Process | None:
        """Put a process into another cgroup; None if it is not cached or is there already.

        A hybrid host reports one move once for each hierarchy.
        """
        process = self.find(event.pid, event.start_ns)
        if process is None or process.entry.cgroup_id == event.cgroup_id:
            return None
        self.amend(process, cgroup=event.cgroup, cgroup_id=event.cgroup_id)
        return process

    def amend(self, process: Process, **facts: object) -> None:
        """Replace single facts of the current image (comm, uid, cgroup, a longer argv)."""
        process.entry = msgspec.structs.replace(process.entry, **facts)
        self.touch(process)

    def reparent(self, process: Process, parent: Process | None, ppid: int) -> None:
        """Hang a process below whom the kernel made its new parent."""
        process.entry = msgspec.structs.replace(
            process.entry, ppid=ppid, parent_start_ns=parent.entry.start_ns if parent else 0
        )
        process.parent_missing = parent is None and ppid != 0
        self._link(process, parent)
        self.touch(process)

    def evict(self, pid: int) -> None:
        """Forget the facts of a process so that the next resolution asks the lower tiers.

        It is not an exit: the children stay linked through `adopt` once it is back.
        """
        process = self._live.pop(pid, None)
        if process is not None:
            self._link(process, None)
            for child in list(process.children):
                self._link(child, None)
            process.forgotten = True
            self.changed.pop(process, None)

    def adopt_orphans(self, process: Process) -> None:
        """Link the live processes that name this one as parent and have none."""
        for other in self._live.values():
            if other.parent is None and other.entry.ppid == process.entry.pid and other is not process:
                self._link(other, process)
                other.parent_missing = False
                self.touch(other)

    def expire(self, before_ns: int) -> list[Process]:
        """Drop the history that ended before this time; return what was dropped."""
        gone = []
        while self._ended:
            process = next(iter(self._ended.values()))
            if (process.ended_ns or 0) >= before_ns and len(self._ended) <= MAX_ENDED:
                break
            self._ended.popitem(last=False)
            for child in list(process.children):
                self._link(child, None)
            self._link(process, None)
            process.forgotten = True
            gone.append(process)
        return gone

    def seen(self, pid: int) -> None:
        """Note that a pid was asked for: it is the last that a full cache flushes."""
        self._live.move_to_end(pid)

    def touch(self, process: Process) -> None:
        """Note that a process changed."""
        self.changed[process] = None

    def _add(self, process: Process) -> None:
        self._live[process.entry.pid] = process
        if len(self._live) > self._limit:
            _, oldest = next(iter(self._live.items()))
            self._end(oldest, oldest.entry.start_ns)
            self._stats.count("flushed limit")

    def _end(self, process: Process, ts_ns: int) -> None:
        if self._live.get(process.entry.pid) is process:
            del self._live[process.entry.pid]
        process.ended_ns = ts_ns
        self._ended[process.key] = process
        self.touch(process)

    def _link(self, child: Process, parent: Process | None) -> None:
        if child.parent is parent or child is parent:
            return
        if child.parent is not None:
            child.parent.children.pop(child, None)
        child.parent = parent
        if parent is not None:
            # Only who has children can be among its parent's ancestors.
            if child.children and any(above is child for above in parent.ancestors()):
                # A reused pid in stale data can close a circle; the newer link loses.
                child.parent = None
                return
            parent.children[child] = None


def _newborn(event: Fork, creator: Process | None) -> ProcessEntry:
    """Return the entry of a process that has just been forked."""
    image = creator.entry if creator is not None else ProcessEntry(event.pid, event.start_ns)
    return msgspec.structs.replace(
        image,
        pid=event.pid,
        start_ns=event.start_ns,
        exec_id=event.exec_id,
        ppid=event.ppid,
        parent_start_ns=event.parent_start_ns,
        comm=event.comm,
        credentials=event.credentials,
        tty=event.tty,
        cgroup=event.cgroup or image.cgroup,
        cgroup_id=event.cgroup_id,
        pid_ns=event.pid_ns,
        mnt_ns=event.mnt_ns,
        fork_ns=event.ts_ns,
        cookie=event.cookie,
        kthread=event.kthread,
        inner_pid=event.inner_pid,
        problem="" if creator is not None else "fork seen, but not the parent's image",
    )
