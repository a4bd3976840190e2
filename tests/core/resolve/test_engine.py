"""The engine's rules on a scripted feed: what a lost, late or unreported event does, without a kernel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import msgspec
import pytest

from core.containers.names import ContainerNames
from core.model.counters import Counter
from core.model.entities import LadderStep, ProcessEntry, Tiers, TierState, Usage
from core.model.events import Argv, Event, Exec, Exit, Fork, Lost, MapFill, Reaped, Sample, SnapshotRecord
from core.probe.maps import KernelMaps
from core.resolve.engine import Engine
from core.resolve.process_cache import Process
from core.sources.feed import HostFacts
from core.sources.procfs import ProcfsError, Stat
from core.system.host import LOCAL
from tests.core.resolve.entries import entry, fork


class World:
    """A feed and its /proc: `living` is what the kernel has, `ring` what was reported and not yet read."""

    maps: KernelMaps | None = None
    exact = True
    live = True
    host = HostFacts("scripted", "6.1", "amd64")
    tiers = Tiers(TierState(True), TierState(True), TierState(True), LadderStep.EVENTS_AND_MAPS)

    def __init__(self, *living: ProcessEntry) -> None:
        self.living = {one.pid: one for one in living}
        self.ring: list[Event] = []
        self.now = 1_000_000_001
        self.procfs = self
        self.names = ContainerNames(LOCAL)

    def born(self, one: ProcessEntry) -> None:
        self.living[one.pid] = one

    # The feed.
    def fileno(self) -> int:
        return -1

    def user_name(self, uid: int) -> str:
        return str(uid)

    def now_ns(self) -> int:
        self.now += 1
        return self.now

    def snapshot(self) -> list[SnapshotRecord]:
        return [SnapshotRecord(one, Usage()) for one in self.living.values()]

    def events(self) -> list[Event]:
        events, self.ring = self.ring, []
        return events

    sweep_due = False

    @property
    def sampled_ns(self) -> int:
        return self.now

    def sweep(self) -> list[Sample]:
        return [
            Sample(one.pid, one.start_ns, one.exec_id, one.ppid, one.comm, 0, one.kthread, Usage())
            for one in self.living.values()
        ]

    def settle_users(self, wait_s: float = 0.0) -> bool:
        return False

    def argvs(self, pids: Sequence[int]) -> dict[int, Argv]:
        return {}

    def map_fill(self) -> tuple[MapFill, ...]:
        return ()

    def close(self) -> None: ...

    # Its /proc.
    unreadable: ClassVar[dict[int, str]] = {}

    def pids(self) -> list[int]:
        return sorted(self.living)

    def entry(self, pid: int) -> tuple[ProcessEntry, Usage]:
        if pid not in self.living:
            raise ProcfsError(f"no process {pid}")
        return msgspec.structs.replace(self.living[pid], exec_id=0), Usage()

    def stat(self, pid: int) -> Stat:
        one = self.entry(pid)[0]
        return Stat(pid, one.comm, "S", one.ppid, 0, one.kthread, 0, 1, one.start_ns, 0)

    def ppid(self, pid: int) -> int:
        return self.entry(pid)[0].ppid


def started(*living: ProcessEntry) -> tuple[World, Engine]:
    world = World(*living)
    engine = Engine(world)
    engine.start()
    return world, engine


INIT, SHELL = entry(1, comm=b"init"), entry(10, ppid=1, comm=b"sh")


def test_a_fork_whose_parent_runs_another_image_than_is_cached_breaks_the_line() -> None:
    """The exec of the parent was lost, and it is gone before anybody could be asked."""
    world, engine = started(INIT, SHELL)
    del world.living[10]
    world.ring = [fork(11, 10, parent_inode=777)]
    engine.pump()
    child = engine.cache.get(11)
    assert child is not None
    assert child.parent is engine.cache.get(10)
    assert child.parent_missing
    assert engine.stats.get(Counter.FORK_PARENT_MISSING) == 1
    assert engine.stats.get(Counter.BROKEN_LINEAGE) == 1


def test_a_fork_whose_parents_exec_was_lost_finds_it_below() -> None:
    world, engine = started(INIT, SHELL)
    world.born(entry(10, ppid=1, comm=b"bash", inode=777, exec_id=2))
    world.ring = [fork(11, 10, parent_inode=777)]
    engine.pump()
    child = engine.cache.get(11)
    assert child is not None
    assert not child.parent_missing
    assert child.entry.inode == 777
    assert engine.stats.get(Counter.FORK_PARENT_MISSING) == 0


def test_an_exit_of_an_unknown_process_is_a_miss() -> None:
    world, engine = started(INIT)
    world.ring = [Exit(5, 99, 99, 0)]
    engine.pump()
    assert engine.stats.get(Counter.MISS) == 1


def test_what_is_replayed_after_the_snapshot_misses_and_flags_nobody() -> None:
    """Parent 10 forked and ended between attaching and the snapshot, which shows its child with init."""
    world = World(INIT, entry(11, ppid=1))
    world.ring = [fork(11, 10, parent_inode=777), Exit(5, 10, SHELL.start_ns, 0)]
    engine = Engine(world)
    engine.start()
    child = engine.cache.get(11)
    assert child is not None
    assert (child.parent, child.parent_missing) == (engine.cache.get(1), False)
    assert [name for name, _ in engine.stats.snapshot()] == ["hits cache"]


def test_nor_those_who_came_and_went_before_it() -> None:
    world = World(INIT)
    world.ring = [fork(11, 10), Exit(5, 11, 11 * 1001, 0), Reaped(6, 11, 11 * 1001)]
    engine = Engine(world)
    engine.start()
    assert engine.stats.get(Counter.BROKEN_LINEAGE) == engine.stats.get(Counter.MISS) == 0
    world.ring = [fork(12, 10)]
    engine.pump()
    assert engine.stats.get(Counter.BROKEN_LINEAGE) == 1


def test_children_that_the_exit_did_not_move_yet_are_moved_when_their_parent_is_reaped() -> None:
    child = entry(11, ppid=10)
    world, engine = started(INIT, SHELL, child)
    world.ring = [Exit(5, 10, SHELL.start_ns, 0)]
    engine.pump()
    process = engine.cache.get(11)
    assert process is not None
    assert process.entry.ppid == 10  # /proc shows the dead parent still
    del world.living[10]
    world.born(msgspec.structs.replace(child, ppid=1))
    world.ring = [Reaped(6, 10, SHELL.start_ns)]
    engine.pump()
    assert process.parent is engine.cache.get(1)
    assert engine.stats.get(Counter.REPARENT_SUCCESS) == 1


def test_an_exec_tells_of_a_new_parent_as_well() -> None:
    world, engine = started(INIT, SHELL, entry(11, ppid=10))
    image = entry(11, ppid=1, exec_id=2, comm=b"new")
    world.born(image)
    world.ring = [Exec(5, image)]
    engine.pump()
    process = engine.cache.get(11)
    assert process is not None
    assert (process.entry.ppid, process.parent) == (1, engine.cache.get(1))


def test_a_sweep_leaves_to_the_event_what_is_on_its_way() -> None:
    world, engine = started(INIT, SHELL)
    newborn = entry(11, start=world.now + 1000, ppid=10)
    world.now += 500
    world.born(newborn)
    engine.sweep()
    assert engine.cache.get(11) is None
    world.ring = [fork(11, 10, start=newborn.start_ns)]
    engine.pump()
    process = engine.cache.get(11)
    assert process is not None
    assert process.origin == "event"


def test_a_newborn_that_no_event_tells_of_is_met_by_the_next_sweep() -> None:
    world, engine = started(INIT, SHELL)
    world.born(entry(11, start=world.now + 5, ppid=10))
    engine.sweep()
    assert engine.cache.get(11) is None
    world.now += 2_000_000_000
    for _ in range(2):
        engine.sweep()
    assert engine.cache.get(11) is not None


def test_an_exec_that_no_event_tells_of_is_read_again_at_the_second_sweep() -> None:
    world, engine = started(INIT, SHELL)
    process = engine.cache.get(10)
    assert process is not None
    for number in (2, 3):  # and the next one after it as well
        world.born(entry(10, ppid=1, exec_id=number, inode=500 + number, comm=b"new"))
        engine.sweep()
        assert process.entry.inode != 500 + number
        engine.sweep()
        assert (process.entry.inode, process.entry.exec_id) == (500 + number, number)
        assert process.entry.start_ns == SHELL.start_ns


def test_a_sample_older_than_the_exec_changes_nothing() -> None:
    world, engine = started(INIT, SHELL)
    image = entry(10, ppid=1, exec_id=2, comm=b"newer")
    world.ring = [Exec(5, image)]
    engine.pump()  # while the sweep still has what was before
    engine.sweep()
    process = engine.cache.get(10)
    assert process is not None
    assert process.entry.comm == b"newer"


def test_a_loss_is_counted_and_answered_by_a_resync() -> None:
    world, engine = started(INIT, SHELL)
    del world.living[10]
    world.born(entry(12, ppid=1))
    world.ring = [Lost(5, 7)]
    engine.pump()
    assert (engine.lost, engine.stats.get(Counter.LOST), engine.stats.get(Counter.RESYNC)) == (7, 7, 1)
    assert [process.entry.pid for process in engine.cache] == [1, 12]
    assert engine.stats.get(Counter.FLUSHED_VANISHED) == 1


def test_a_repeated_fork_of_the_reaped_changes_nothing() -> None:
    world, engine = started(INIT, SHELL)
    birth = fork(11, 10)
    gone: list[Event] = [Exit(6, 11, birth.start_ns, 0), Reaped(7, 11, birth.start_ns)]
    world.ring = [birth, *gone, birth, *gone]
    engine.pump()
    assert engine.cache.get(11) is None
    assert isinstance(birth, Fork)
    assert engine.stats.get(Counter.MISS) == 0


def test_who_shows_the_same_as_at_the_last_sweep_is_not_compared_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world, engine = started(entry(1, ppid=0), entry(100))
    samples = world.sweep()
    monkeypatch.setattr(world, "sweep", lambda: samples)
    engine.sweep()
    engine.sweep()  # CPU shares need two
    compared: list[int] = []
    compare = engine._sweeper._compare

    def compare_and_note(process: Process, *more: Any) -> None:
        compared.append(process.entry.pid)
        compare(process, *more)

    monkeypatch.setattr(
        engine._sweeper,
        "_compare",
        compare_and_note,
    )
    engine.sweep()
    assert compared == []
    process = engine.cache.get(100)
    assert process is not None
    engine.cache.amend(process, comm=b"told wrongly")
    engine.sweep()
    assert compared == [100]
    assert process.entry.comm == entry(100).comm


def test_cgroups_that_came_and_went_are_forgotten() -> None:
    """Each one that is known costs something in every change of another one."""
    world, engine = started(INIT, entry(10, ppid=1, cgroup=b"/docker/" + b"a" * 64))
    names = world.names
    for first in range(1_000, 6_000, 200):
        pids = range(first, first + 200)
        world.ring = [fork(pid, 10, cgroup=b"/docker/%064x" % pid) for pid in pids]
        world.ring += [Reaped(6, pid, pid * 1001) for pid in pids]
        engine.pump()
        for process in engine.cache.changed:
            engine.view(process)
        engine.cache.changed.clear()
        world.now += 10_000_000_000  # longer than the history
        engine.sweep()
        engine.refresh_names()
    kept = (names._contexts, names._answers, names._frozen._states)
    assert max(len(one) for one in kept) < 1_500
    assert all(b"/docker/" + b"a" * 64 in one for one in (names._contexts, names._frozen._states))
