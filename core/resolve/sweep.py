"""The sweep: detects changes that no event reports by sampling all processes."""

from __future__ import annotations

import contextlib
from typing import Protocol

import msgspec

from core.model.entities import Origin, Tier, Usage, same_start
from core.model.events import Reaped, Sample, SnapshotRecord
from core.resolve.process_cache import Process, ProcessCache
from core.resolve.resolver import Resolver
from core.sources.feed import Feed
from core.sources.procfs import ProcfsError, withheld

HISTORY_NS = 5_000_000_000
"""How long an ended process stays in the history, in ns."""

_LISTED = 5
"""/proc is listed once in this many sweeps."""


class SweptEngine(Protocol):
    """What a sweep needs of its engine. `feed` may change between sweeps, when the probe is reloaded."""

    @property
    def feed(self) -> Feed: ...

    @property
    def cache(self) -> ProcessCache: ...

    @property
    def resolver(self) -> Resolver: ...

    def take(self, records: list[SnapshotRecord]) -> None: ...

    def new_parent(self, child: Process, ppid: int) -> None: ...


class Sweeper:
    """Compares the engine's cache with samples of all processes. Owned by the engine."""

    def __init__(self, engine: SweptEngine) -> None:
        self._engine = engine
        self._cache = engine.cache
        self._resolver = engine.resolver
        self._procfs = engine.feed.procfs
        self._sampled_ns = 0
        self.heard_ns = 0
        """When events were last read: the fork of a process born later may not have been read yet."""
        self._behind: dict[Process, int] = {}
        self._hidden: list[int] = []
        self._sweeps = 0

    def run(self) -> None:
        """Sample all processes: their usage, and every change that no event reported."""
        now_ns = self._engine.feed.now_ns()
        samples = self._engine.feed.sweep()
        sampled_ns = self._engine.feed.sampled_ns
        if sampled_ns == self._sampled_ns:
            return  # a replay has not reached its next sweep yet
        elapsed = sampled_ns - self._sampled_ns if self._sampled_ns else 0
        behind, self._behind = self._behind, {}
        seen: set[Process] = set()
        strangers = []
        live, find = self._cache.get, self._cache.find
        for sample in samples:
            process = live(sample.pid)
            if process is not None and _is_settled(process, sample):
                seen.add(process)
                continue
            process = find(sample.pid, sample.start_ns)
            if process is not None:
                seen.add(process)
                agreed = self._compare(process, sample, behind)
                self._use(process, sample.usage, elapsed)
                idle = process.usage is not None and process.usage.cpu_percent == 0
                process.settled = (sample, process.entry, process.usage) if agreed and idle else None
            elif not self._is_newborn(sample.start_ns):
                strangers.append(sample)
        if strangers:
            self._meet(strangers, seen)
        self._meet_hidden(seen)
        for process in self._cache:
            if process not in seen:
                self._check_gone(process, now_ns)
        self._sampled_ns, self.heard_ns = sampled_ns, now_ns
        self._cache.expire(now_ns - HISTORY_NS)

    def _is_newborn(self, start_ns: int) -> bool:
        """Return whether the fork of a process may still be unread; the next sweep adds it in any case."""
        return self._engine.feed.exact and start_ns > self.heard_ns

    def _compare(self, process: Process, sample: Sample, behind: dict[Process, int]) -> bool:
        """Take over changes that no event reported: names, rights, parents, execs.

        Return whether cache and sample agreed.
        """
        entry = process.entry
        if 0 < sample.exec_id < entry.exec_id:
            return False  # sampled before the exec that the cache has
        if sample.exec_id > entry.exec_id > 0:
            if behind.get(process) == sample.exec_id:
                self._reread(process, sample)  # its event has not arrived since the last sweep
            else:
                self._behind[process] = sample.exec_id
            return False
        may_have_executed = sample.comm != entry.comm or 0 != sample.image_mark != process.image_mark
        if may_have_executed and not self._engine.feed.exact:
            process.image_mark = sample.image_mark
            self._reread(process, sample)
            return False
        agreed = True
        if sample.comm != entry.comm and not (entry.kthread and entry.comm.startswith(sample.comm)):
            self._cache.amend(process, comm=sample.comm)
            agreed = False
        if sample.new_rights or 0 <= sample.uid != entry.credentials.euid:
            self._reread_rights(process)
            agreed = False
        if sample.ppid != entry.ppid and process.exited_ns is None:
            self._engine.new_parent(process, sample.ppid)
            agreed = False
        return agreed

    def _reread_rights(self, process: Process) -> None:
        """Take over credentials that changed without an exec (setuid and others)."""
        with contextlib.suppress(ProcfsError):
            seen, _ = self._procfs.entry(process.entry.pid)
            if same_start(seen.start_ns, process.entry.start_ns) and "status" not in withheld(seen):
                self._cache.amend(process, credentials=seen.credentials)

    def _reread(self, process: Process, sample: Sample) -> None:
        """Read an image that changed without an event from /proc."""
        with contextlib.suppress(ProcfsError):
            entry, usage = self._procfs.entry(process.entry.pid)
            if same_start(entry.start_ns, process.entry.start_ns):
                process = self._cache.insert(entry, Origin.PROCFS)
                process.usage = usage
                if sample.exec_id:
                    self._cache.amend(process, exec_id=sample.exec_id)

    def _meet(self, strangers: list[Sample], seen: set[Process]) -> None:
        """Add processes that the sweep saw and the cache lacks."""
        if self._engine.feed.maps is not None:
            # The iterator is a thousand times cheaper than /proc, and also fills the maps.
            self._engine.take(self._engine.feed.snapshot())
        for sample in strangers:
            process = self._cache.find(sample.pid, sample.start_ns)
            if process is None:
                process = self._meet_one(sample)
            if process is not None:
                seen.add(process)
                process.usage = sample.usage
                process.image_mark = sample.image_mark
        self._cache.adopt_orphans()

    def _meet_one(self, sample: Sample) -> Process | None:
        if not sample.kthread:
            self._resolver.resolve(sample.pid, limited=False)
            return self._cache.find(sample.pid, sample.start_ns)
        with contextlib.suppress(ProcfsError):
            entry, _ = self._procfs.entry(sample.pid)
            process = self._cache.insert(entry, Origin.PROCFS)
            process.source = Tier.PROCFS
            return process
        return None

    def _meet_hidden(self, seen: set[Process]) -> None:
        """Add processes that /proc shows and the iterator does not (pid 1 of some virtual machines).

        Known ones are checked in every sweep, new ones are searched for in every fifth: listing 10,000
        processes in /proc takes as long as a whole run of the iterator.
        """
        if not self._engine.feed.tiers.maps.on:
            return
        if self._sweeps % _LISTED == 0:
            sampled = {process.entry.pid for process in seen}
            self._hidden = [pid for pid in self._procfs.pids() if pid not in sampled]
        self._sweeps += 1
        met = False
        for pid in self._hidden:
            if self._cache.get(pid) in seen:  # it was too young for the sweep that listed it
                continue
            with contextlib.suppress(ProcfsError):
                stat = self._procfs.stat(pid)
                process = self._cache.find(pid, stat.start_ns)
                if process is None and not self._is_newborn(stat.start_ns):
                    sample = Sample(pid, stat.start_ns, 0, stat.ppid, stat.comm, -1, stat.kthread, stat.usage)
                    process = self._meet_one(sample)
                    met = True
                if process is not None:
                    seen.add(process)
                    self._use(process, stat.usage, 0)
        if met:
            self._cache.adopt_orphans()

    def _check_gone(self, process: Process, now_ns: int) -> None:
        """End a process that neither the iterator nor /proc shows any longer."""
        try:
            if same_start(self._procfs.stat(process.entry.pid).start_ns, process.entry.start_ns):
                return
        except ProcfsError:
            pass
        if process.exited_ns is None:
            self._cache.vanish(process, now_ns)
        else:  # reaped; the kernel reports it only after a grace period
            self._cache.reap(Reaped(now_ns, process.entry.pid, process.entry.start_ns))

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
        self._cache.touch(process)


def _is_settled(process: Process, sample: Sample) -> bool:
    """Return whether nothing changed since the last sweep: the identical sample, entry and usage."""
    settled = process.settled
    return (
        settled is not None
        and settled[0] is sample
        and settled[1] is process.entry
        and settled[2] is process.usage
    )


def _looks(usage: Usage) -> tuple[float | None, int, str, int]:
    """Return the visible part of a usage: a change of anything else needs no repaint."""
    percent = usage.cpu_percent
    shown = None if percent is None else round(percent, 1)
    return shown, usage.rss_bytes, usage.state, usage.threads
