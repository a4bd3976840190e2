"""resolve(pid): the cache, then the probe's eBPF maps, then /proc, with the trail of their answers."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Protocol

import msgspec

from core.model.counters import Counter
from core.model.entities import (
    Origin,
    Outcome,
    ProcessEntry,
    Resolution,
    Tier,
    TierState,
    TrailStep,
    Usage,
    same_start,
)
from core.model.latency import Latency, TierLatency
from core.probe.maps import KernelMaps, MapsMiss
from core.resolve.metrics import Counters
from core.resolve.process_cache import Process, ProcessCache
from core.resolve.rate_limit import RateLimiter
from core.sources.procfs import ProcfsError, without_lost_path

_CACHED_BY = {origin: f"in the cache by {origin}" for origin in Origin}

MAX_DEPTH = 16
"""How many ancestors one resolution may fetch from the lower tiers."""


class ProcfsTier(Protocol):
    """What the resolver reads from /proc. Tests pass a table."""

    def entry(self, pid: int) -> tuple[ProcessEntry, Usage]: ...


class _Query(msgspec.Struct, frozen=True):
    """A pid to resolve, and which tiers below the cache may be asked."""

    pid: int
    inode: int
    use_maps: bool
    use_procfs: bool
    limited: bool
    depth: int


class Resolver:
    """The three tiers in order. One thread owns it, together with the process cache that it fills.

    Counters: `hits cache|maps|procfs`, `miss`, `limited`, `inode error procfs_mismatch`, `args truncated`,
    `path error`, and those of the process cache.
    While `snapshotted` is False only the cache is asked, and an unknown pid is not counted as a miss.
    """

    def __init__(
        self,
        cache: ProcessCache,
        stats: Counters,
        procfs: ProcfsTier,
        maps: KernelMaps | None,
        *,
        maps_state: TierState,
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._cache = cache
        self._stats = stats
        self._procfs = procfs
        self._maps = maps
        self._maps_state = maps_state
        self._clock_ns = clock_ns
        self._limiter = RateLimiter()
        self._latencies = {tier: Latency() for tier in Tier}
        self._note_cache = self._latencies[Tier.CACHE].note
        self.snapshotted = False

    @property
    def latency(self) -> tuple[TierLatency, ...]:
        """How long the answers of each tier took, in the order of the tiers."""
        return tuple(latency.summary(tier) for tier, latency in self._latencies.items())

    def resolve(
        self,
        pid: int,
        *,
        inode: int = 0,
        use_maps: bool = True,
        use_procfs: bool = True,
        limited: bool = True,
    ) -> Resolution:
        """Return the entry of a pid and the tier that answered, with the trail of every tier asked.

        `inode` other than 0 is the inode that the executable must have; 0: do not verify. `limited` is
        False for a process that a sweep has just seen: the limiter protects against pids that do not exist.
        """
        return self._resolve(_Query(pid, inode, use_maps, use_procfs, limited, MAX_DEPTH))

    def use_maps(self, maps: KernelMaps | None, state: TierState) -> None:
        """Use other maps from now on: the probe was reloaded or unloaded."""
        self._maps, self._maps_state = maps, state

    def _resolve(self, query: _Query) -> Resolution:
        pid = query.pid
        started = time.perf_counter_ns()
        process, reason = self._from_cache(pid, query.inode)
        took = time.perf_counter_ns() - started
        self._note_cache(took)
        if process is not None:
            self._stats.count(Counter.HITS_CACHE)
            step = TrailStep(Tier.CACHE, Outcome.HIT, reason, took)
            return self._answer(process, Tier.CACHE, (step,))
        trail = [TrailStep(Tier.CACHE, Outcome.MISS, reason, took)]
        if pid != 0 and not self.snapshotted:
            return Resolution(pid, None, None, None, tuple(trail))
        process = self._try_maps(trail, query)
        if process is not None:
            return self._answer(process, Tier.MAPS, tuple(trail))
        process = self._try_procfs(trail, query)
        if process is not None:
            return self._answer(process, Tier.PROCFS, tuple(trail))
        if pid != 0:
            self._stats.count(Counter.MISS)
        return Resolution(pid, None, None, None, tuple(trail))

    def _try_maps(self, trail: list[TrailStep], query: _Query) -> Process | None:
        if self._maps is None:
            trail.append(TrailStep(Tier.MAPS, Outcome.SKIPPED, self._maps_state.reason or "the probe is off"))
            return None
        if not query.use_maps:
            trail.append(TrailStep(Tier.MAPS, Outcome.SKIPPED, "not asked (--no-maps)"))
            return None
        process = self._step(trail, Tier.MAPS, self._from_maps, query)
        if process is not None:
            self._stats.count(Counter.HITS_MAPS)
        return process

    def _try_procfs(self, trail: list[TrailStep], query: _Query) -> Process | None:
        pid = query.pid
        if not query.use_procfs:
            trail.append(TrailStep(Tier.PROCFS, Outcome.SKIPPED, "not asked (--no-procfs)"))
            return None
        if pid and query.limited and not self._limiter.allow(pid, self._clock_ns()):
            self._stats.count(Counter.LIMITED)
            trail.append(TrailStep(Tier.PROCFS, Outcome.SKIPPED, "asked less than 30 s ago for this pid"))
            return None
        process = self._step(trail, Tier.PROCFS, self._from_procfs, query)
        if process is not None:
            self._stats.count(Counter.HITS_PROCFS)
        return process

    def _step(
        self,
        trail: list[TrailStep],
        tier: Tier,
        ask: Callable[[_Query], tuple[Process, str]],
        query: _Query,
    ) -> Process | None:
        """Ask one tier; add its outcome, reason and time to the trail."""
        started = time.perf_counter_ns()
        process: Process | None = None
        try:
            process, reason = ask(query)
            outcome = Outcome.HIT
        except _NoAnswer as no_answer:
            outcome, reason = Outcome.MISS, str(no_answer)
        except OSError as error:
            outcome, reason = Outcome.ERROR, error.strerror or str(error)
        took = time.perf_counter_ns() - started
        self._latencies[tier].note(took)
        trail.append(TrailStep(tier, outcome, reason, took))
        return process

    def _answer(self, process: Process, source: Tier, trail: tuple[TrailStep, ...]) -> Resolution:
        if process.source is not source:
            process.source = source
            self._cache.touch(process)
        entry = process.entry
        return Resolution(entry.pid, source, process.origin, entry, trail)

    def _from_cache(self, pid: int, inode: int) -> tuple[Process | None, str]:
        """Return the cached process and how it came in, or None and the reason.

        Unlike the other tiers it raises nothing: it is asked for every event.
        """
        process = self._cache.get(pid)
        if process is None:
            return None, f"no entry for pid {pid}" if pid else "pid 0 is the kernel's idle task"
        entry = process.entry
        if entry.kthread:
            return None, "a kernel thread has no image to resolve"
        if inode and entry.inode != inode:
            return None, f"its executable has inode {entry.inode}, not {inode}"
        self._cache.seen(pid)
        return process, _CACHED_BY[process.origin]

    def _from_maps(self, query: _Query) -> tuple[Process, str]:
        if query.pid == 0 or self._maps is None:
            raise _NoAnswer("pid 0 is not in pid_cache")
        try:
            entry = without_lost_path(self._maps.lookup(query.pid))
        except MapsMiss as miss:
            raise _NoAnswer(str(miss)) from None
        if 0 != query.inode != entry.inode != 0:
            raise _NoAnswer(f"proc_cache has inode {entry.inode}, not {query.inode}")
        if query.use_procfs:
            entry = self.completed(entry)
        if query.depth > 1 and entry.ppid and self._cache.get(entry.ppid) is None:
            # Resolved like any other pid: it is counted, and procfs may be asked after the maps.
            above = _Query(entry.ppid, 0, True, query.use_procfs, query.limited, query.depth - 1)
            self._resolve(above)
        process = self._cache.insert(entry, Origin.MAPS)
        return process, f"pid_cache → cookie 0x{entry.cookie:x} → proc_cache"

    def _from_procfs(self, query: _Query) -> tuple[Process, str]:
        pid, inode, depth = query.pid, query.inode, query.depth
        if pid == 0:
            raise _NoAnswer("/proc has no pid 0")
        try:
            entry, _ = self._procfs.entry(pid)
        except ProcfsError as error:
            raise _NoAnswer(str(error)) from None
        if entry.kthread:
            raise _NoAnswer("a kernel thread has no image to resolve")
        mismatch = 0 != inode != entry.inode != 0
        if mismatch:
            self._stats.count(Counter.PROCFS_MISMATCH)
            entry = msgspec.structs.replace(
                entry, inode=inode, problem=f"the kernel saw inode {inode}, /proc has {entry.inode}"
            )
        if depth > 1 and entry.ppid and self._cache.get(entry.ppid) is None:
            # The whole chain takes one slot of the limiter and counts as one hit. If it fails, the
            # child stays unlinked and its row shows that.
            with contextlib.suppress(_NoAnswer, OSError):
                self._from_procfs(_Query(entry.ppid, 0, True, True, query.limited, depth - 1))
        process = self._cache.insert(entry, Origin.PROCFS)
        process.source = Tier.PROCFS
        if mismatch:
            self._cache.flag(process)
        if self._maps is not None and entry.inode and not entry.problem:
            self._maps.push(process.entry)  # an incomplete entry would come back without its reason
        return process, entry.problem or f"/proc/{pid}"

    def completed(self, entry: ProcessEntry) -> ProcessEntry:
        """Return the entry completed from /proc with what did not fit into a record.

        Only while /proc still shows the same process and image; else the entry stays marked as cut.
        """
        entry = without_lost_path(entry)
        if (
            not entry.cmdline_truncated
            and not entry.problem
            and entry.cgroup
            and (entry.exe or entry.kthread)
        ):
            return entry
        if entry.cmdline_truncated and entry.cmdline:
            self._stats.count(Counter.ARGS_TRUNCATED)
        if entry.problem:
            self._stats.count(Counter.PATH_ERROR)
        try:
            seen, _ = self._procfs.entry(entry.pid)
        except ProcfsError:
            return entry
        if not same_start(seen.start_ns, entry.start_ns) or 0 != entry.inode != seen.inode != 0:
            return entry
        if not seen.cmdline.startswith(entry.cmdline.rstrip(b"\0")[:64]):
            return entry
        cut = entry.cmdline_truncated
        no_more = entry.cmdline == seen.cmdline != b""  # a file is mapped over the rest
        withheld = cut and seen.problem and not seen.cmdline
        return msgspec.structs.replace(
            entry,
            cmdline=seen.cmdline if cut else entry.cmdline,
            exe=seen.exe or entry.exe,
            cmdline_truncated=cut and (seen.cmdline_truncated or bool(withheld) or no_more),
            cgroup=entry.cgroup or seen.cgroup,
            problem=seen.problem if withheld else "" if seen.exe else entry.problem or seen.problem,
        )


class _NoAnswer(Exception):
    """A tier does not know the pid; the text is the reason in the trail."""
