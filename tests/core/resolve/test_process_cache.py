"""The entry cache: links are objects, identities are exact, and the invariant holds after every step."""

from __future__ import annotations

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from core.model.counters import Counter
from core.model.entities import TICK_NS, Origin
from core.model.events import CgroupMove, Exec, Exit, Fork, Reaped
from core.resolve.metrics import Counters
from core.resolve.process_cache import MAX_ENDED, Process, ProcessCache, Validity
from tests.core.resolve.entries import entry, fork


def check(cache: ProcessCache) -> None:
    """child in parent.children <=> child.parent is parent; no circle; one live process per pid."""
    everyone = {*cache, *cache.ended}
    for process in everyone:
        for child in process.children:
            assert child.parent is process
        if process.parent is not None:
            assert process in process.parent.children
        assert process not in set(process.ancestors())
        assert process.key == process.entry.key
    pids = [process.entry.pid for process in cache]
    assert len(pids) == len(set(pids))


def new() -> ProcessCache:
    return ProcessCache(Counters())


def do_fork(cache: ProcessCache, event: Fork) -> Process:
    return cache.fork(event, cache.get(event.ppid), cache.get(event.creator))


def test_a_child_runs_its_parents_image_until_it_executes() -> None:
    cache = new()
    cache.insert(entry(10, exe=b"/bin/sh", cmdline=b"sh\0-c\0", cgroup=b"/box"), Origin.SNAPSHOT)
    child = do_fork(cache, fork(11, 10))
    assert (child.entry.exe, child.entry.args, child.entry.cgroup) == (b"/bin/sh", (b"sh", b"-c"), b"/box")
    assert child.parent is cache.get(10)
    image = entry(11, exe=b"/bin/true", exec_id=2, ppid=10)
    cache.exec(Exec(6, image))
    assert child.entry.exe == b"/bin/true"
    assert [old.exe for old in child.images] == [b"/bin/sh"]
    check(cache)


def test_a_lost_fork_is_flagged_unless_the_parent_is_known() -> None:
    cache = new()
    stranger = cache.exec(Exec(6, entry(11, ppid=10)))
    assert stranger.parent_missing
    cache.insert(entry(20), Origin.SNAPSHOT)
    assert not cache.exec(Exec(6, entry(21, ppid=20))).parent_missing
    check(cache)


def test_a_lost_exec_of_the_process_itself_is_flagged() -> None:
    cache = new()
    process = cache.insert(entry(10, inode=5), Origin.SNAPSHOT)
    cache.exec(Exec(6, entry(10, exec_id=3, inode=7), previous_inode=6))
    assert process.parent_missing
    assert cache._stats.get(Counter.EXEC_PARENT_MISSING) == 1


def test_events_are_idempotent_by_identity() -> None:
    cache = new()
    cache.insert(entry(10), Origin.SNAPSHOT)
    first = do_fork(cache, fork(11, 10))
    assert do_fork(cache, fork(11, 10)) is first
    image = Exec(6, entry(11, exec_id=2))
    cache.exec(image)
    cache.exec(image)
    assert len(first.images) == 1
    for _ in range(2):
        cache.exit(Exit(7, 11, 11 * 1001, 0))
    cache.reap(Reaped(8, 11, 11 * 1001))
    assert cache.reap(Reaped(8, 11, 11 * 1001)) is None
    check(cache)


def test_events_that_come_twice_do_not_bring_back_the_dead() -> None:
    cache = new()
    cache.insert(entry(10), Origin.SNAPSHOT)
    first = do_fork(cache, fork(11, 10))
    cache.reap(Reaped(8, 11, 11 * 1001))
    assert do_fork(cache, fork(11, 10)) is first
    assert cache.exec(Exec(6, entry(11, exec_id=2))) is first
    assert cache.get(11) is None


def test_a_zombie_stays_until_it_is_reaped() -> None:
    cache = new()
    process = cache.insert(entry(10), Origin.SNAPSHOT)
    cache.exit(Exit(7, 10, 10 * 1001, 256))
    assert cache.get(10) is process
    assert process.exited_ns == 7
    cache.reap(Reaped(9, 10, 10 * 1001))
    assert cache.get(10) is None
    assert process.ended_ns == 9


def test_an_exit_of_an_older_process_does_not_end_the_new_one() -> None:
    cache = new()
    older = cache.insert(entry(10, start=1_000_001), Origin.SNAPSHOT)
    reused = do_fork(cache, fork(10, 1, start=2_000_001))
    assert cache.exit(Exit(9, 10, 1_000_001, 0)) is older
    assert reused.exited_ns is None
    assert cache.get(10) is reused
    check(cache)


def test_the_same_binary_under_a_reused_pid_is_another_process() -> None:
    cache = new()
    old = cache.insert(entry(10, start=1_000_001), Origin.SNAPSHOT)
    new_one = cache.insert(entry(10, start=1_000_002), Origin.SNAPSHOT)
    assert old is not new_one
    assert old.ended_ns is not None


def test_a_time_from_proc_matches_the_exact_one_of_the_kernel() -> None:
    cache = new()
    from_proc = cache.insert(entry(10, start=5 * TICK_NS), Origin.PROCFS)
    assert cache.insert(entry(10, start=5 * TICK_NS + 123), Origin.SNAPSHOT) is from_proc


def test_children_of_an_ended_parent_keep_it_as_ancestor_until_they_are_reparented() -> None:
    cache = new()
    init = cache.insert(entry(1), Origin.SNAPSHOT)
    parent = cache.insert(entry(10, ppid=1), Origin.SNAPSHOT)
    child = do_fork(cache, fork(11, 10))
    cache.exit(Exit(7, 10, 10 * 1001, 0))
    cache.reap(Reaped(8, 10, 10 * 1001))
    assert child.parent is parent
    cache.reparent(child, init, 1)
    assert child.parent is init
    assert child not in parent.children
    check(cache)


def test_history_is_bounded_by_time() -> None:
    cache = new()
    for pid in range(2, 12):
        cache.insert(entry(pid), Origin.SNAPSHOT)
        cache.exit(Exit(pid, pid, pid * 1001, 0))
        cache.reap(Reaped(pid, pid, pid * 1001))
    gone = cache.expire(before_ns=7)
    assert [process.entry.pid for process in gone] == [2, 3, 4, 5, 6]
    assert all(process.forgotten for process in gone)


def test_the_cache_is_bounded_and_flushes_what_was_asked_for_least() -> None:
    cache = ProcessCache(Counters(), limit=3)
    for pid in (2, 3, 4):
        cache.insert(entry(pid), Origin.SNAPSHOT)
    cache.seen(2)
    cache.insert(entry(5), Origin.SNAPSHOT)
    assert [process.entry.pid for process in cache] == [4, 2, 5]


def test_a_move_changes_the_cgroup_only() -> None:
    cache = new()
    process = cache.insert(entry(10, cgroup=b"/a", exe=b"/x"), Origin.SNAPSHOT)
    cache.move(CgroupMove(6, 10, 10 * 1001, 9, b"/b"))
    assert (process.entry.cgroup, process.entry.exe) == (b"/b", b"/x")
    assert cache.move(CgroupMove(7, 10, 10 * 1001, 9, b"/b")) is None


def test_an_evicted_process_is_adopted_back() -> None:
    cache = new()
    cache.insert(entry(10), Origin.SNAPSHOT)
    child = do_fork(cache, fork(11, 10))
    cache.evict(10)
    assert child.parent is None
    back = cache.insert(entry(10), Origin.MAPS)
    cache.adopt_orphans()
    assert child.parent is back
    check(cache)


def test_what_is_told_too_late_goes_into_the_history() -> None:
    """The snapshot has the pid's next owner already when the ring tells of the one before."""
    cache = new()
    owner = cache.insert(entry(10, start=2_000_001), Origin.SNAPSHOT)
    forked = do_fork(cache, fork(10, 1, start=1_000_001))
    executed = cache.exec(Exec(6, entry(10, start=1_500_001, exec_id=2)))
    assert cache.get(10) is owner
    assert forked.ended_ns == executed.ended_ns == 2_000_001
    cache.reap(Reaped(8, 10, 1_000_001))
    assert cache.get(10) is owner
    check(cache)


def test_a_look_at_proc_makes_the_identity_no_vaguer() -> None:
    cache = new()
    exact = entry(10, start=5 * TICK_NS + 123, exec_id=3, cookie=9, script=b"/s", parent_start_ns=7)
    process = cache.insert(exact, Origin.SNAPSHOT)
    seen = entry(10, start=5 * TICK_NS, exec_id=0, cmdline=b"title\0")
    assert cache.insert(seen, Origin.PROCFS) is process
    assert process.key == exact.key
    assert (process.entry.exec_id, process.entry.cookie, process.entry.script) == (3, 9, b"/s")
    assert process.entry.cmdline == b"title\0"


def test_a_birth_told_late_keeps_the_process_and_its_children() -> None:
    cache = new()
    known = cache.insert(entry(10, start=5 * TICK_NS, exec_id=0), Origin.PROCFS)
    child = do_fork(cache, fork(11, 10))
    assert do_fork(cache, fork(10, 0, start=5 * TICK_NS + 123)) is known
    assert known.entry.start_ns == 5 * TICK_NS + 123
    assert child.parent is known
    check(cache)


def test_a_zombie_known_by_its_tick_gives_its_pid_away() -> None:
    cache = new()
    zombie = cache.insert(entry(10, start=5 * TICK_NS, exec_id=0), Origin.PROCFS)
    cache.exit(Exit(7, 10, 5 * TICK_NS + 1, 0))
    reused = do_fork(cache, fork(10, 0, start=5 * TICK_NS + 123))
    assert reused is not zombie
    assert zombie.ended_ns is not None
    check(cache)


def test_an_exec_that_changes_nothing_is_merged() -> None:
    cache = new()
    process = cache.insert(entry(10, exec_id=1, cmdline=b"a\0", exec_ns=1), Origin.SNAPSHOT)
    cache.exec(Exec(6, entry(10, exec_id=2, cmdline=b"a\0", exec_ns=6)))
    assert not process.images
    assert (process.entry.exec_id, process.entry.exec_ns) == (2, 6)
    cache.exec(Exec(7, entry(10, exec_id=3, cmdline=b"b\0")))
    assert [image.cmdline for image in process.images] == [b"a\0"]
    assert cache._stats.get(Counter.MERGED_EXEC) == 1


def test_a_reused_pid_is_not_taken_for_the_parent() -> None:
    cache = new()
    cache.insert(entry(10, start=9_000_001), Origin.SNAPSHOT)
    child = cache.insert(entry(11, ppid=10, parent_start_ns=1_000_001), Origin.MAPS)
    assert child.parent is None


def test_a_storm_does_not_grow_history_and_changes() -> None:
    cache = new()
    parent = cache.insert(entry(1), Origin.SNAPSHOT)
    for pid in range(2, MAX_ENDED + 500):
        do_fork(cache, fork(pid, 1))
        cache.reap(Reaped(pid, pid, pid * 1001))
    assert len(cache.ended) == MAX_ENDED
    assert len(cache.changed) <= MAX_ENDED + 1
    assert len(parent.children) == MAX_ENDED
    check(cache)


def test_validity_of_a_lineage() -> None:
    cache = new()
    init = cache.insert(entry(1), Origin.SNAPSHOT)
    shell = cache.insert(entry(10, ppid=1), Origin.SNAPSHOT)
    child = do_fork(cache, fork(11, 10))
    assert child.validity() == (Validity.VALID, init)
    stray = cache.insert(entry(20, ppid=19), Origin.SNAPSHOT)
    assert do_fork(cache, fork(21, 20)).validity() == (Validity.INCOMPLETE, stray)
    cache.flag(shell)
    assert child.validity() == (Validity.MISSING_PARENT, shell)
    cache.insert(entry(10, ppid=1), Origin.SNAPSHOT)  # the kernel's word heals it
    assert child.validity() == (Validity.VALID, init)
    cache.reparent(init, stray, 20)
    assert child.validity() == (Validity.WRONG_PARENT, init)
    assert cache._stats.get(Counter.BROKEN_LINEAGE) == 1


PIDS = st.integers(min_value=1, max_value=6)
STARTS = st.integers(min_value=1, max_value=3).map(lambda n: n * 1_000_003)


class AnyOrder(RuleBasedStateMachine):
    """Events in any order, with reused pids, lost forks and circles: the invariant holds."""

    def __init__(self) -> None:
        super().__init__()
        self.cache = ProcessCache(Counters(), limit=5)
        self.now = 0

    @rule(pid=PIDS, start=STARTS, ppid=PIDS)
    def insert(self, pid: int, start: int, ppid: int) -> None:
        self.cache.insert(entry(pid, start, ppid=ppid), Origin.SNAPSHOT)

    @rule(pid=PIDS, start=STARTS, ppid=PIDS)
    def forked(self, pid: int, start: int, ppid: int) -> None:
        self.now += 1
        do_fork(self.cache, fork(pid, ppid, ts=self.now, start=start))

    @rule(pid=PIDS, start=STARTS, ppid=PIDS, number=st.integers(1, 4))
    def executed(self, pid: int, start: int, ppid: int, number: int) -> None:
        self.cache.exec(Exec(self.now, entry(pid, start, ppid=ppid, exec_id=number)))

    @rule(pid=PIDS, start=STARTS)
    def exited(self, pid: int, start: int) -> None:
        self.now += 1
        self.cache.exit(Exit(self.now, pid, start, 0))

    @rule(pid=PIDS, start=STARTS)
    def reaped(self, pid: int, start: int) -> None:
        self.now += 1
        self.cache.reap(Reaped(self.now, pid, start))

    @rule(pid=PIDS, ppid=PIDS)
    def reparented(self, pid: int, ppid: int) -> None:
        process = self.cache.get(pid)
        if process is not None:
            self.cache.reparent(process, self.cache.get(ppid), ppid)

    @rule(pid=PIDS, ticks=st.integers(0, 1), ppid=PIDS)
    def looked_up(self, pid: int, ticks: int, ppid: int) -> None:
        self.cache.insert(entry(pid, ticks * TICK_NS or 1, ppid=ppid, exec_id=0), Origin.PROCFS)
        self.cache.adopt_orphans()

    @rule(pid=PIDS)
    def evicted(self, pid: int) -> None:
        self.cache.evict(pid)

    @rule(age=st.integers(0, 10))
    def expired(self, age: int) -> None:
        self.cache.expire(self.now - age)

    @invariant()
    def holds(self) -> None:
        check(self.cache)


AnyOrder.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestAnyOrder = AnyOrder.TestCase


def test_what_was_polled_during_a_slow_exec_does_not_outrank_its_event() -> None:
    """A sweep or a snapshot may come while the kernel still reads the new image: it has no argv then."""
    for origin in (Origin.PROCFS, Origin.SNAPSHOT):
        cache = new()
        cache.insert(entry(9), Origin.SNAPSHOT)
        cache.insert(entry(10, ppid=9, exe=b"/bin/sh", cmdline=b"sh\0", inode=1), Origin.EVENT)
        half = entry(10, ppid=9, exe=b"/bin/slow", cmdline=b"", inode=2, exec_id=2)
        process = cache.insert(half, origin)
        event = Exec(6, msgspec.structs.replace(half, cmdline=b"slow\x001\0", script=b"/s"), previous_inode=1)
        assert cache.exec(event) is process
        assert (process.entry.args, process.entry.script) == ((b"slow", b"1"), b"/s")
        assert process.origin is Origin.EVENT
        assert [image.exe for image in process.images] == [b"/bin/sh"]
        assert not process.parent_missing
        later = msgspec.structs.replace(process.entry, cmdline=b"a title\0")
        process.entry = later
        cache.exec(event)  # reported twice: a probe was loaded anew
        assert process.entry is later
        check(cache)


def test_the_same_id_in_another_hierarchy_is_another_cgroup() -> None:
    cache = new()
    cache.insert(entry(10, cgroup=b"/a", cgroup_id=5, cgroup_hierarchy=0), Origin.SNAPSHOT)
    assert cache.move(CgroupMove(6, 10, 10 * 1001, 5, b"/a", 0)) is None
    moved = cache.move(CgroupMove(6, 10, 10 * 1001, 5, b"/b", 9))
    assert moved is not None
    assert (moved.entry.cgroup, moved.entry.cgroup_hierarchy) == (b"/b", 9)
    unknown = cache.move(CgroupMove(6, 10, 10 * 1001, 0, b"", 0))
    assert unknown is not None
    assert unknown.entry.cgroup == b""  # for /proc to complete
