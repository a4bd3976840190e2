"""The engine: applies a feed's records to the process cache and makes views of processes.

It is not a thread: the command line calls it step by step, and a session runs it on its collector thread.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from itertools import chain, islice
from typing import Any

import msgspec

from core.model.counters import Counter
from core.model.entities import ContainerContext, Origin, ProcessKey, Resolution, Tier, Usage
from core.model.events import Argv, CgroupMove, Event, Exec, Exit, Fork, Lost, Reaped, SnapshotRecord
from core.model.view import ProcessView
from core.resolve.audit import Audit
from core.resolve.metrics import Counters
from core.resolve.process_cache import Process, ProcessCache
from core.resolve.resolver import Resolver
from core.resolve.sweep import Sweeper
from core.sources.cmdlines import lacks_argv, with_argv
from core.sources.feed import Feed
from core.sources.procfs import ProcfsError, names_no_file

_ARGV_PIECE = 256
"""How many processes the first piece of argv covers."""

_ENDED = Usage(state="Z", cpu_percent=0.0)
_HITS_CACHE = Counter.HITS_CACHE
_CACHE = Tier.CACHE  # a module-level name takes half the time to look up, and every event does


class Engine:
    """Keeps the process cache in step with the feed. One thread owns it."""

    def __init__(self, feed: Feed) -> None:
        self.feed = feed
        self.stats = Counters()
        self._counters = self.stats.counters
        self.cache = ProcessCache(self.stats)
        self._procfs = feed.procfs
        self.resolver = Resolver(
            self.cache,
            self.stats,
            self._procfs,
            feed.maps,
            maps_state=feed.tiers.maps,
            clock_ns=feed.now_ns,
        )
        self._names = feed.names
        self.audit = Audit(self.cache, self._procfs, self._container_id, feed.now_ns)
        self._sweeper = Sweeper(self)
        self._leaving: list[Process] = []
        self._unread: dict[Process, None] = {}
        self._piece = _ARGV_PIECE
        self.lost = 0
        self._appliers: dict[type[Event], Callable[[Any], Process | None]] = {
            Fork: self._fork,
            Exec: self._exec,
            Exit: self._exit,
            Reaped: self._reap,
            CgroupMove: self._move,
            Lost: self._lose,
        }

    def start(self, *, whole: bool = True) -> None:
        """Take the snapshot: the kernel's iterator first, then whatever else /proc shows.

        With `whole` the argv of every process is read; else `read_argv` reads it in pieces.
        """
        self.take(self.feed.snapshot())
        self._take_events()  # reported meanwhile; a process missing in the snapshot had ended before it
        self.resolver.snapshotted = True
        self._sweeper.run()
        if whole:
            self.read_argv(most=len(self._unread))

    def fill_maps(self) -> None:
        """Let the iterator fill the kernel maps and leave the cache empty, for one-shot queries."""
        self.feed.snapshot()
        self.resolver.snapshotted = True

    def pump(self, on_event: Callable[[Event, Process | None], None] | None = None) -> list[Event]:
        """Apply the events that have arrived; return them. A loss causes a resync.

        `on_event` is called right after each event was applied, with the event's process.
        """
        events = self._take_events(on_event)
        while self.feed.sweep_due:
            self.sweep()
            events += self._take_events(on_event)
        return events

    def _take_events(self, on_event: Callable[[Event, Process | None], None] | None = None) -> list[Event]:
        leaving, self._leaving = self._leaving, []
        for exited in leaving:
            self._reparent_children(exited)
        now_ns = self.feed.now_ns()
        events = self.feed.events()
        for event in events:
            process = self.apply(event)
            if on_event is not None:
                on_event(event, process)
        # A replay's clock goes back to the sweep that it has reached.
        self._sweeper.heard_ns = min(now_ns, self.feed.now_ns())
        return events

    def apply(self, event: Event) -> Process | None:
        """Apply one event, in the kernel's order; return its process if that is cached."""
        process = self._appliers[type(event)](event)
        if process is not None and process.ended_ns is None:
            self._answered_by_cache(process)
        return process

    def _exit(self, event: Exit) -> Process | None:
        process = self.cache.exit(event)
        if process is None:
            if self.resolver.snapshotted:
                self.stats.count(Counter.MISS)
        elif process.children:
            self._reparent_children(process)
            self._leaving.append(process)  # the kernel may not have moved them all yet
        return process

    def _reap(self, event: Reaped) -> Process | None:
        process = self.cache.reap(event)
        if process is not None and process.children:
            self._reparent_children(process)
        return process

    def _move(self, event: CgroupMove) -> Process | None:
        process = self.cache.move(event)
        if process is not None and not event.cgroup:
            process.entry = self.resolver.completed(process.entry)
        return process

    def _lose(self, event: Lost) -> None:
        self.lost += event.count
        self.stats.count(Counter.LOST, by=event.count)
        self.resync()

    def _answered_by_cache(self, process: Process) -> None:
        """Note that the cache answers for the process of an event, which has just updated the entry.

        For kernel threads no hit is counted: they have no image to resolve. Their source is the cache too.
        """
        process.source = _CACHE
        if not process.entry.kthread:
            self._counters[_HITS_CACHE] += 1

    def resync(self) -> None:
        """Read all processes again after a loss of events."""
        self.stats.count(Counter.RESYNC)
        self.take(self.feed.snapshot())
        self.sweep()

    def sweep(self) -> None:
        """Sample all processes: their usage, and every change that no event reported."""
        self._sweeper.run()
        self.read_argv()

    @property
    def reads_argv(self) -> bool:
        """Whether the argv of some processes is still to be read."""
        return bool(self._unread)

    def read_argv(self, first: Iterable[ProcessKey] = (), *, most: int = 0) -> None:
        """Read the argv of some processes that a snapshot lacks, of the processes in `first` before others.

        `most` is how many processes; 0: the next piece. Each piece costs a walk over all processes, so
        every piece is twice as large as the one before.
        """
        if not self._unread:
            self._piece = _ARGV_PIECE
            return
        wanted = [process for key in first if (process := self.cache.find(*key)) in self._unread]
        piece = list(islice(dict.fromkeys(chain(wanted, self._unread)), most or self._piece))
        self._piece *= 2
        argvs = self.feed.argvs([process.entry.pid for process in piece])
        for process in piece:
            self._unread.pop(process, None)
            if process.ended_ns is None and not process.forgotten and lacks_argv(process.entry):
                self._take_argv(process, argvs.get(process.entry.pid))

    def _take_argv(self, process: Process, argv: Argv | None) -> None:
        entry = with_argv(process.entry, argv)
        if argv is not None and entry is process.entry:
            return  # it is of another image: the event of that exec is on its way
        if entry.cmdline_truncated:
            entry = self.resolver.completed(entry)
        if entry is not process.entry:
            process.entry = entry
            self.cache.touch(process)

    def use(self, feed: Feed) -> None:
        """Continue with another feed (a newly loaded probe) without losing the tree; closes the old feed.

        The new probe is attached before the old one is detached, so an event may come twice. Events name
        processes by identity, so the second one changes nothing.
        """
        self.pump()
        old, self.feed = self.feed, feed
        self.resolver.use_maps(feed.maps, feed.tiers.maps)
        old.close()
        self.resync()

    def resolve(self, pid: int, *, evict: bool = False) -> Resolution:
        """Resolve a pid again; with `evict` the cache forgets it first."""
        if evict:
            self.cache.evict(pid)
        resolution = self.resolver.resolve(pid)
        if evict:
            self.cache.adopt_orphans()
        return resolution

    def view(self, process: Process) -> ProcessView:
        """Return a process as the tree and the command line show it."""
        entry = process.entry
        usage = process.usage
        if process.exited_ns is not None:
            usage = _ENDED if usage is None else msgspec.structs.replace(usage, state="Z", cpu_percent=0.0)
        parent = process.parent
        # By position, in the order of ProcessView: every change makes one.
        return ProcessView(
            entry,
            process.source,
            process.origin,
            None if parent is None else parent.key,
            self.container(entry.cgroup),
            usage,
            process.ended_ns,
            entry.problem,
        )

    def container(self, cgroup: bytes) -> ContainerContext | None:
        """Return the container of a cgroup path, None when it is in no container."""
        if not cgroup:
            return None
        context = self._names.container_of(cgroup)
        return context if context.id is not None else None

    def _container_id(self, cgroup: bytes) -> str | None:
        container = self.container(cgroup)
        return container.id if container else None

    def refresh_names(self) -> None:
        """Check for containers that were started, named or removed; called about twice a second."""
        changed = self._names.refresh()
        if changed:
            for process in self.cache:
                if process.entry.cgroup in changed:
                    self.cache.touch(process)
        self._names.forget_unused(self._cgroups)

    def _cgroups(self) -> set[bytes]:
        """Return the cgroups of all processes shown, ended ones included."""
        return {process.entry.cgroup for process in (*self.cache, *self.cache.ended)}

    def take(self, records: list[SnapshotRecord]) -> None:
        """Put a snapshot into the cache, oldest first, so that parents come before children."""
        for record in sorted(records, key=lambda record: record.entry.start_ns):
            entry = record.entry
            cached = self.cache.find(entry.pid, entry.start_ns)
            if cached is not None and cached.entry.exec_id >= entry.exec_id > 0:
                continue  # an event already reported this image or a later one
            unread = lacks_argv(entry) and not record.locked
            if not unread or entry.problem or not entry.cgroup or names_no_file(entry):
                entry = self.resolver.completed(entry)
            process = self.cache.insert(entry, Origin.SNAPSHOT)
            if unread and lacks_argv(entry):
                self._unread[process] = None
            process.usage = record.usage
            self._answered_by_cache(process)
        self.cache.adopt_orphans()

    def _fork(self, event: Fork) -> Process:
        parent = self.cache.get(event.ppid)
        lost = False
        mismatch = parent is None or 0 != event.parent_inode != parent.entry.inode != 0
        if mismatch and event.ppid and not event.kthread and self.resolver.snapshotted:
            # An exec of the parent or its fork was lost: resolve the image that the kernel saw.
            lost = self.resolver.resolve(event.ppid, inode=event.parent_inode).entry is None
            parent = self.cache.get(event.ppid)
        creator = parent if event.creator == event.ppid else self.cache.get(event.creator) or parent
        process = self.cache.fork(event, parent, creator)
        if lacks_argv(process.entry):
            self._unread[process] = None
        if lost:
            self.stats.count(Counter.FORK_PARENT_MISSING)
        if lost or (parent is None and event.ppid and self.resolver.snapshotted):
            self.cache.flag(process)
        return process

    def _exec(self, event: Exec) -> Process:
        entry = event.entry
        if entry.cmdline_truncated or entry.problem or names_no_file(entry):
            event = msgspec.structs.replace(event, entry=self.resolver.completed(entry))
        process = self.cache.exec(event)
        if entry.ppid != process.entry.ppid and process.exited_ns is None:
            self.new_parent(process, entry.ppid)
        return process

    def _reparent_children(self, process: Process) -> None:
        """Read from /proc the new parent of each child of a process that has exited.

        The exit is reported a moment before the kernel moves the children, so this is repeated at the next
        pump and when the process is reaped. The next sweep moves any that are left.
        """
        for child in list(process.children):
            if child.ended_ns is not None:
                continue
            with contextlib.suppress(ProcfsError):
                self.new_parent(child, self._procfs.ppid(child.entry.pid))

    def new_parent(self, child: Process, ppid: int) -> None:
        """Move a process below its new parent, resolved if need be; never below an exited process."""
        if ppid == child.entry.ppid and child.parent is not None and child.parent.exited_ns is None:
            return
        parent = self.cache.get(ppid)
        if parent is None and ppid:
            self.resolver.resolve(ppid)
            parent = self.cache.get(ppid)
        if parent is not None and parent.exited_ns is not None:
            return
        self.cache.reparent(child, parent, ppid)
        self.stats.count(Counter.REPARENT_SUCCESS if parent or not ppid else Counter.REPARENT_FAILED)
