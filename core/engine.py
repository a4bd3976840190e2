"""The engine: records in, a true cache out. Feed -> resolver and lineage -> views.

Not a thread: the command line calls it step by step, and the session runs it in its collector.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import msgspec

from core.audit import Audit
from core.feed import Feed
from core.lineage import Lineage, Process
from core.model import ContainerContext, Origin, Resolution, Tier, Usage, same_start
from core.procfs import ProcfsError
from core.records import CgroupMove, Event, Exec, Exit, Fork, Found, Lost, Reaped, Sample
from core.resolver import Resolver
from core.stats import Stats
from core.view import ProcessView

HISTORY_NS = 5_000_000_000
"""How long an ended process is kept as history, in ns."""


_UNUSED = Usage()


class Engine:
    """Keeps the lineage true to the feed. One thread owns it."""

    def __init__(self, feed: Feed) -> None:
        self.feed = feed
        self.stats = Stats()
        self._note_hit = self.stats.count
        self.lineage = Lineage(self.stats)
        self._procfs = feed.procfs
        self.resolver = Resolver(
            self.lineage,
            self.stats,
            self._procfs,
            feed.maps,
            maps_state=feed.tiers.maps,
            clock_ns=feed.now_ns,
        )
        self._names = feed.names
        self.audit = Audit(self.lineage, self._procfs, self._container_id)
        self._sampled_ns = 0
        self._heard_ns = 0
        self._behind: dict[Process, int] = {}
        self._leaving: list[Process] = []
        self.lost = 0
        self._appliers: dict[type[Event], Callable[[Any], Process | None]] = {
            Fork: self._fork,
            Exec: self._exec,
            Exit: self._exit,
            Reaped: self._reap,
            CgroupMove: self._move,
            Lost: self._lose,
        }

    def start(self) -> None:
        """Take the snapshot: the kernel's iterator first, then whatever else /proc shows."""
        self._take(self.feed.snapshot())
        self.pump()  # what was reported meanwhile; who is not in the snapshot had ended before it
        self.resolver.snapshotted = True
        self.sweep()

    def fill_maps(self) -> None:
        """Let the iterator fill the kernel maps and leave the cache empty, for one-shot questions."""
        self.feed.snapshot()
        self.resolver.snapshotted = True

    def pump(self) -> list[Event]:
        """Apply what has happened; return it. A loss is answered by a resync."""
        leaving, self._leaving = self._leaving, []
        for process in leaving:
            self._reparent_children(process)
        now_ns = self.feed.now_ns()
        events = self.feed.events()
        for event in events:
            self.apply(event)
        self._heard_ns = now_ns
        return events

    def apply(self, event: Event) -> Process | None:
        """Apply one event, in the kernel's order; return the process it was about, if it is cached."""
        process = self._appliers[type(event)](event)
        if process is not None and process.ended_ns is None:
            process.source = Tier.CACHE
            if not process.entry.kthread:
                self._note_hit("hits cache")
        return process

    def _exit(self, event: Exit) -> Process | None:
        process = self.lineage.exit(event)
        if process is None:
            if self.resolver.snapshotted:
                self.stats.count("miss")
        elif process.children:
            self._reparent_children(process)
            self._leaving.append(process)  # the kernel may not have moved them all yet
        return process

    def _reap(self, event: Reaped) -> Process | None:
        process = self.lineage.reap(event)
        if process is not None and process.children:
            self._reparent_children(process)
        return process

    def _move(self, event: CgroupMove) -> Process | None:
        process = self.lineage.move(event)
        if process is not None and not event.cgroup:
            process.entry = self.resolver.completed(process.entry)
        return process

    def _lose(self, event: Lost) -> None:
        self.lost += event.count
        self.stats.count("lost", by=event.count)
        self.resync()

    def _answered_by_cache(self, process: Process) -> None:
        """The context of an event is resolved too, and the cache answers, which has just been told.

        Kernel threads are not resolved: they have no image. Their rows come from the cache all the same.
        """
        process.source = Tier.CACHE
        if not process.entry.kthread:
            self._note_hit("hits cache")

    def resync(self) -> None:
        """Read the whole truth again after a loss."""
        self.stats.count("resync")
        found = self.feed.snapshot()
        self._take(found)
        self.sweep()

    def sweep(self) -> None:
        """Sample everything that runs: usage, and every change that no event reported."""
        now_ns = self.feed.now_ns()
        samples = self.feed.sweep()
        elapsed = now_ns - self._sampled_ns if self._sampled_ns else 0
        behind, self._behind = self._behind, {}
        seen: set[Process] = set()
        strangers = []
        for sample in samples:
            process = self.lineage.find(sample.pid, sample.start_ns)
            if process is not None:
                seen.add(process)
                self._compare(process, sample, behind)
                self._use(process, sample.usage, elapsed)
            elif not self._is_newborn(sample.start_ns):
                strangers.append(sample)
        if strangers:
            self._meet(strangers, seen)
        self._meet_hidden(seen)
        for process in self.lineage:
            if process not in seen:
                self._check_gone(process, now_ns)
        self._sampled_ns = self._heard_ns = now_ns
        self.lineage.expire(now_ns - HISTORY_NS)

    def _is_newborn(self, start_ns: int) -> bool:
        """True for a process whose birth is still to be heard of; at the next sweep it is met anyway."""
        return self.feed.exact and start_ns > self._heard_ns

    def use(self, feed: Feed) -> None:
        """Go on with another feed (a newly loaded probe) without losing the tree; closes the old one.

        The new probe is attached before the old one is let go, so events may come twice; each is
        known by the identity it is about, and the second changes nothing.
        """
        self.pump()
        old, self.feed = self.feed, feed
        self.resolver.use_maps(feed.maps, feed.tiers.maps)
        old.close()
        self.resync()

    def resolve(self, pid: int, *, evict: bool = False) -> Resolution:
        """Resolve a pid again; with `evict` the cache has to forget it first."""
        if evict:
            self.lineage.evict(pid)
        resolution = self.resolver.resolve(pid)
        if evict:
            self.lineage.adopt_orphans()
        return resolution

    def view(self, process: Process) -> ProcessView:
        """Return a process as the tree and the outside see it."""
        entry = process.entry
        usage = process.usage
        if process.exited_ns is not None:
            usage = msgspec.structs.replace(usage or _UNUSED, state="Z", cpu_percent=0.0)
        parent = process.parent
        return ProcessView(
            entry=entry,
            source=process.source,
            origin=process.origin,
            parent=parent.key if parent is not None else None,
            container=self.container(entry.cgroup),
            usage=usage,
            ended_ns=process.ended_ns,
            note=entry.problem,
        )

    def container(self, cgroup: bytes) -> ContainerContext | None:
        """Return the container of a cgroup path, None for what is in none."""
        if not cgroup:
            return None
        context = self._names.container_of(cgroup)
        return context if context.id is not None else None

    def _container_id(self, cgroup: bytes) -> str | None:
        container = self.container(cgroup)
        return container.id if container else None

    def refresh_names(self) -> None:
        """Look for containers that were started, named or removed; about twice a second."""
        changed = self._names.refresh()
        if changed:
            for process in self.lineage:
                if process.entry.cgroup in changed:
                    self.lineage.touch(process)

    def _take(self, found: list[Found]) -> None:
        """Put a snapshot into the cache, oldest first, so that parents come before children."""
        for record in sorted(found, key=lambda record: record.entry.start_ns):
            entry = self.resolver.completed(record.entry)
            known = self.lineage.find(entry.pid, entry.start_ns)
            if known is not None and known.entry.exec_id >= entry.exec_id > 0:
                continue  # an event told the same, or later news
            process = self.lineage.insert(entry, Origin.SNAPSHOT)
            process.usage = record.usage
            self._answered_by_cache(process)
        self.lineage.adopt_orphans()

    def _fork(self, event: Fork) -> Process:
        parent = self.lineage.get(event.ppid)
        lost = False
        strange = parent is None or _is_another(parent, event.parent_inode)
        if strange and event.ppid and not event.kthread and self.resolver.snapshotted:
            # An exec of the parent was lost, or the parent itself: ask for the one the kernel saw.
            lost = self.resolver.resolve(event.ppid, inode=event.parent_inode).entry is None
            parent = self.lineage.get(event.ppid)
        creator = parent if event.creator == event.ppid else self.lineage.get(event.creator) or parent
        process = self.lineage.fork(event, parent, creator)
        if lost:
            self.stats.count("inode error fork_parent_missing")
        if lost or (parent is None and event.ppid and self.resolver.snapshotted):
            self.lineage.flag(process)
        return process

    def _exec(self, event: Exec) -> Process:
        entry = event.entry
        if entry.cmdline_truncated or entry.problem:
            event = msgspec.structs.replace(event, entry=self.resolver.completed(entry))
        process = self.lineage.exec(event)
        if entry.ppid != process.entry.ppid and process.exited_ns is None:
            self._new_parent(process, entry.ppid)
        return process

    def _reparent_children(self, process: Process) -> None:
        """Ask /proc for the new parent of each child of a process that has exited.

        Its exit is reported a moment before the kernel moves them: it is asked again at the next pump
        and when the process is reaped. Who is left then is moved by the next sweep.
        """
        for child in list(process.children):
            if child.ended_ns is not None:
                continue
            with contextlib.suppress(ProcfsError):
                self._new_parent(child, self._procfs.ppid(child.entry.pid))

    def _new_parent(self, child: Process, ppid: int) -> None:
        if ppid == child.entry.ppid and child.parent is not None and child.parent.exited_ns is None:
            return
        parent = self.lineage.get(ppid)
        if parent is None and ppid:
            self.resolver.resolve(ppid)
            parent = self.lineage.get(ppid)
        if parent is not None and parent.exited_ns is not None:
            return
        self.lineage.reparent(child, parent, ppid)
        self.stats.count("reparent success" if parent or not ppid else "reparent failed")

    def _compare(self, process: Process, sample: Sample, behind: dict[Process, int]) -> None:
        """Take over from a sample what changes without an event: names, parents, unreported execs."""
        entry = process.entry
        if 0 < sample.exec_id < entry.exec_id:
            return  # sampled before the exec that the cache knows
        if sample.exec_id > entry.exec_id > 0:
            if behind.get(process) == sample.exec_id:
                self._reread(process, sample)  # the event did not come since the last sweep
            else:
                self._behind[process] = sample.exec_id
            return
        another = sample.comm != entry.comm or 0 != sample.image_mark != process.image_mark
        if another and not self.feed.exact:
            process.image_mark = sample.image_mark
            self._reread(process, sample)
            return
        if sample.comm != entry.comm and not (entry.kthread and entry.comm.startswith(sample.comm)):
            self.lineage.amend(process, comm=sample.comm)
        if sample.ppid != entry.ppid and process.exited_ns is None:
            self._new_parent(process, sample.ppid)

    def _reread(self, process: Process, sample: Sample) -> None:
        """Read an image again that changed without an event."""
        with contextlib.suppress(ProcfsError):
            entry, usage = self._procfs.entry(process.entry.pid)
            if same_start(entry.start_ns, process.entry.start_ns):
                process = self.lineage.insert(entry, Origin.PROCFS)
                process.usage = usage
                if sample.exec_id:
                    self.lineage.amend(process, exec_id=sample.exec_id)

    def _meet(self, strangers: list[Sample], seen: set[Process]) -> None:
        """Get to know processes that a sweep saw and the cache does not."""
        if self.feed.maps is not None:
            # The iterator is a thousand times cheaper than /proc, and it fills the maps as well.
            self._take(self.feed.snapshot())
        for sample in strangers:
            process = self.lineage.find(sample.pid, sample.start_ns)
            if process is None:
                process = self._meet_one(sample)
            if process is not None:
                seen.add(process)
                process.usage = sample.usage
                process.image_mark = sample.image_mark
        self.lineage.adopt_orphans()

    def _meet_one(self, sample: Sample) -> Process | None:
        if not sample.kthread:
            self.resolver.resolve(sample.pid, limited=False)
            return self.lineage.find(sample.pid, sample.start_ns)
        with contextlib.suppress(ProcfsError):
            entry, _ = self._procfs.entry(sample.pid)
            process = self.lineage.insert(entry, Origin.PROCFS)
            process.source = Tier.PROCFS
            return process
        return None

    def _meet_hidden(self, seen: set[Process]) -> None:
        """Add what /proc shows and the iterator does not (pid 1 of some virtual machines)."""
        if not self.feed.tiers.maps.on:
            return
        met = False
        for pid in self._procfs.pids():
            process = self.lineage.get(pid)
            if process is not None and process in seen:
                continue
            with contextlib.suppress(ProcfsError):
                stat = self._procfs.stat(pid)
                process = self.lineage.find(pid, stat.start_ns)
                if process is None and not self._is_newborn(stat.start_ns):
                    sample = Sample(pid, stat.start_ns, 0, stat.ppid, stat.comm, -1, stat.kthread, stat.usage)
                    process = self._meet_one(sample)
                    met = True
                if process is not None:
                    seen.add(process)
                    self._use(process, stat.usage, 0)
        if met:
            self.lineage.adopt_orphans()

    def _check_gone(self, process: Process, now_ns: int) -> None:
        """End a process that neither the iterator nor /proc shows any more."""
        try:
            if same_start(self._procfs.stat(process.entry.pid).start_ns, process.entry.start_ns):
                return
        except ProcfsError:
            pass
        if process.exited_ns is None:
            self.lineage.vanish(process, now_ns)
        else:  # reaped; the kernel reports that only after a grace period
            self.lineage.reap(Reaped(now_ns, process.entry.pid, process.entry.start_ns))

    def _use(self, process: Process, usage: Usage, elapsed_ns: int) -> None:
        before = process.usage
        percent = None
        if before is not None and elapsed_ns > 0:
            percent = max(0.0, (usage.cpu_ns - before.cpu_ns) * 100 / elapsed_ns)
        usage = msgspec.structs.replace(usage, cpu_percent=percent)
        if before is not None and _looks(before) == _looks(usage):
            process.usage = usage
            return
        process.usage = usage
        self.lineage.touch(process)


def _is_another(process: Process, inode: int) -> bool:
    """True when an executable's inode is known on both sides and differs."""
    return 0 != inode != process.entry.inode != 0


def _looks(usage: Usage) -> tuple[float | None, int, str, int]:
    """Return what of a sample can be seen: a change of anything else is not worth a repaint."""
    percent = usage.cpu_percent
    shown = None if percent is None else round(percent, 1)
    return shown, usage.rss_bytes, usage.state, usage.threads
