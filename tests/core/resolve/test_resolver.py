"""resolve(): the order of the tiers, what counts as a hit or a miss, and what the trail says."""

from __future__ import annotations

import msgspec

from core.model.counters import Counter
from core.model.entities import Origin, Outcome, ProcessEntry, Tier, TierState, Usage
from core.probe.layout import EXE_CUT
from core.probe.maps import MapsMiss
from core.resolve.metrics import Counters
from core.resolve.process_cache import ProcessCache
from core.resolve.rate_limit import LIMIT_PIDS, RateLimiter
from core.resolve.resolver import Resolver
from core.sources.procfs import ProcfsError

SECOND = 1_000_000_000


class Table:
    """A tier made of a dict: what /proc and the kernel maps say is passed in, as the contract is."""

    def __init__(self, *entries: ProcessEntry) -> None:
        self.entries = {entry.pid: entry for entry in entries}
        self.asked: list[int] = []
        self.pushed: list[int] = []

    def lookup(self, pid: int) -> ProcessEntry:
        self.asked.append(pid)
        if pid not in self.entries:
            raise MapsMiss("no entry in pid_cache")
        return self.entries[pid]

    def push(self, entry: ProcessEntry) -> None:
        self.pushed.append(entry.pid)

    def entry(self, pid: int) -> tuple[ProcessEntry, Usage]:
        self.asked.append(pid)
        if pid not in self.entries:
            raise ProcfsError(f"no process {pid}")
        return self.entries[pid], Usage()

    def ppid(self, pid: int) -> int:
        return self.entry(pid)[0].ppid


def process(pid: int, ppid: int = 0, **facts: object) -> ProcessEntry:
    made = ProcessEntry(pid, pid * 1001, ppid=ppid, inode=pid, cookie=0x5F, cgroup=b"/", exe=b"/bin/x")
    return msgspec.structs.replace(made, **facts)


class World:
    def __init__(self, maps: Table | None, procfs: Table) -> None:
        self.stats = Counters()
        self.cache = ProcessCache(self.stats)
        self.now = 0
        self.resolver = Resolver(
            self.cache,
            self.stats,
            procfs,
            maps,
            maps_state=TierState(maps is not None, "no CAP_BPF"),
            clock_ns=lambda: self.now,
        )
        self.resolver.snapshotted = True

    def counts(self) -> dict[str, int]:
        return {name: n for name, n in self.stats.snapshot() if name.startswith(("hits", "miss", "limited"))}


def test_the_order_is_cache_maps_procfs() -> None:
    maps, procfs = Table(process(5)), Table(process(5), process(6))
    world = World(maps, procfs)
    first = world.resolver.resolve(5)
    assert [(s.tier, s.outcome) for s in first.trail] == [
        (Tier.CACHE, Outcome.MISS),
        (Tier.MAPS, Outcome.HIT),
    ]
    assert first.trail[1].reason == "pid_cache → cookie 0x5f → proc_cache"
    again = world.resolver.resolve(5)
    assert (again.source, again.origin) == (Tier.CACHE, Origin.MAPS)
    assert world.resolver.resolve(6).source == Tier.PROCFS
    assert world.counts() == {"hits cache": 1, "hits maps": 1, "hits procfs": 1}
    assert procfs.asked == [6]
    assert maps.pushed == [6]


def test_nobody_knows() -> None:
    world = World(Table(), Table())
    answer = world.resolver.resolve(5)
    assert answer.source is None
    assert [step.outcome for step in answer.trail] == [Outcome.MISS] * 3
    assert world.counts() == {"miss": 1}


def test_pid_0_is_a_miss_that_does_not_count() -> None:
    world = World(Table(), Table())
    assert world.resolver.resolve(0).source is None
    assert world.counts() == {}


def test_a_kernel_thread_is_a_miss_with_a_reason() -> None:
    thread = process(2, kthread=True)
    world = World(Table(), Table(thread))
    world.cache.insert(thread, Origin.SNAPSHOT)
    answer = world.resolver.resolve(2)
    assert answer.source is None
    assert "kernel thread" in answer.trail[0].reason
    assert "kernel thread" in answer.trail[2].reason


def test_before_the_snapshot_only_the_cache_answers_and_nothing_is_missed() -> None:
    world = World(Table(process(5)), Table(process(5)))
    world.resolver.snapshotted = False
    answer = world.resolver.resolve(5)
    assert [step.tier for step in answer.trail] == [Tier.CACHE]
    assert world.counts() == {}


def test_inode_0_means_do_not_verify_and_another_one_must_match() -> None:
    world = World(Table(process(5, inode=70)), Table(process(5, inode=71)))
    world.cache.insert(process(5, inode=70), Origin.SNAPSHOT)
    assert world.resolver.resolve(5, inode=0).source == Tier.CACHE
    assert world.resolver.resolve(5, inode=70).source == Tier.CACHE
    other = world.resolver.resolve(5, inode=71)
    assert other.source == Tier.PROCFS
    assert "inode 70, not 71" in other.trail[0].reason


def test_procfs_with_another_inode_keeps_the_kernels_word_and_says_so() -> None:
    world = World(None, Table(process(5, inode=71)))
    answer = world.resolver.resolve(5, inode=99)
    assert answer.entry is not None
    assert answer.entry.inode == 99
    assert "the kernel saw inode 99" in answer.entry.problem
    assert world.stats.get(Counter.PROCFS_MISMATCH) == 1


def test_procfs_is_asked_once_per_pid_and_30_seconds() -> None:
    procfs = Table()
    world = World(None, procfs)
    for now in (0, 1, 29):
        world.now = now * SECOND
        world.resolver.resolve(5)
    assert procfs.asked == [5]
    assert world.counts() == {"miss": 3, "limited": 2}
    world.now = 30 * SECOND
    world.resolver.resolve(5)
    assert procfs.asked == [5, 5]


def test_the_limiter_forgets_the_pid_that_was_used_least_recently() -> None:
    limiter = RateLimiter()
    for pid in range(1, LIMIT_PIDS + 1):
        assert limiter.allow(pid, 0)
    assert not limiter.allow(1, 1)
    assert limiter.allow(1000, 1)  # 2 makes room
    assert not limiter.allow(1, 2)
    assert limiter.allow(2, 2)


def test_a_process_that_a_sweep_has_seen_is_not_limited() -> None:
    world = World(None, Table(process(5)))
    world.resolver.resolve(5)
    world.cache.evict(5)
    assert world.resolver.resolve(5).source is None
    assert world.resolver.resolve(5, limited=False).source == Tier.PROCFS
    assert world.counts() == {"hits procfs": 2, "limited": 1, "miss": 1}


def test_what_is_not_whole_is_not_pushed_to_the_maps() -> None:
    maps = Table()
    world = World(maps, Table(process(5, problem="exe not permitted"), process(6, inode=0), process(7)))
    for pid in (5, 6, 7):
        world.resolver.resolve(pid)
    assert maps.pushed == [7]


def test_a_cut_path_and_an_unknown_cgroup_are_read_from_proc() -> None:
    cut = process(5, exe=b"/end", problem=EXE_CUT, cgroup=b"")
    world = World(Table(cut), Table(process(5, exe=b"/the/whole/end", cgroup=b"/box")))
    entry = world.resolver.resolve(5).entry
    assert entry is not None
    assert (entry.exe, entry.cgroup, entry.problem) == (b"/the/whole/end", b"/box", "")
    assert world.stats.get(Counter.PATH_ERROR) == 1
    entry = World(Table(cut), Table()).resolver.resolve(5).entry
    assert entry is not None
    assert entry.problem == EXE_CUT


def test_a_mismatch_in_proc_breaks_the_line() -> None:
    world = World(None, Table(process(5, inode=71)))
    world.resolver.resolve(5, inode=99)
    found = world.cache.get(5)
    assert found is not None
    assert found.parent_missing
    assert world.stats.get(Counter.BROKEN_LINEAGE) == 1


def test_switched_off_tiers_say_why() -> None:
    world = World(None, Table(process(5)))
    answer = world.resolver.resolve(5, use_procfs=False)
    assert [(s.outcome, s.reason) for s in answer.trail[1:]] == [
        (Outcome.SKIPPED, "no CAP_BPF"),
        (Outcome.SKIPPED, "not asked (--no-procfs)"),
    ]
    world = World(Table(process(5)), Table(process(5)))
    assert world.resolver.resolve(5, use_maps=False).source == Tier.PROCFS


def test_parents_come_along_as_objects_up_to_the_depth_limit() -> None:
    chain = [process(pid, ppid=pid + 1) for pid in range(1, 40)]
    world = World(None, Table(*chain))
    world.resolver.resolve(1)
    found = world.cache.get(1)
    assert found is not None
    assert [ancestor.entry.pid for ancestor in found.ancestors()] == list(range(2, 17))
    assert world.counts() == {"hits procfs": 1}


def test_a_truncated_argv_is_completed_from_proc_only_while_it_is_the_same() -> None:
    whole = b"prog\0" + b"x" * 900 + b"\0"
    cut = process(5, cmdline=whole[:512], cmdline_truncated=True, exe=b"/p")
    same = World(Table(cut), Table(process(5, cmdline=whole, exe=b"/p"))).resolver.resolve(5).entry
    assert same is not None
    assert (same.cmdline, same.cmdline_truncated) == (whole, False)
    other = World(Table(cut), Table(process(5, cmdline=b"different\0"))).resolver.resolve(5).entry
    assert other is not None
    assert other.cmdline_truncated
