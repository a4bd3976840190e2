"""Rewind: the tree as it was, each second of it, in a bounded store; and back to now without a loss."""

from __future__ import annotations

import random

import msgspec
import pytest

from core.model.entities import LadderStep, Origin, ProcessEntry, ProcessKey, Tier, Tiers, TierState, Usage
from core.model.view import ProcessView, ViewRequest, Window
from core.session.timeline import HeaderFacts, Timeline
from core.tree.tree import Tree

SECOND = 1_000_000_000
ALL = ViewRequest(height=10_000)
TIERS = Tiers(TierState(True), TierState(True), TierState(True), LadderStep.EVENTS_AND_MAPS)


def view(pid: int, parent: int = 0, args: bytes = b"sleep\0", cpu: float = 0.0) -> ProcessView:
    entry = ProcessEntry(pid, pid * 1000 + 1, exec_id=2, ppid=parent, comm=b"sleep", cmdline=args)
    above = ProcessKey(parent, parent * 1000 + 1) if parent else None
    return ProcessView(entry, Tier.CACHE, Origin.EVENT, above, usage=Usage(cpu_percent=cpu))


def made(**limits: int) -> tuple[Tree, Timeline]:
    tree = Tree(str)
    return tree, Timeline(tree, HeaderFacts(TIERS), **limits)


def shown(tree: Tree) -> Window:
    return tree.window(ALL, 0)


class World:
    """Processes that come, change and go at random, all told to a timeline; what was shown when."""

    def __init__(self, seed: int, **limits: int) -> None:
        self.tree, self.line = made(**limits)
        self._random = random.Random(seed)
        self._alive: dict[int, ProcessView] = {}
        self._next = 1
        self.second = 0
        self.truth: list[tuple[tuple[object, ...], int]] = []

    def live(self, seconds: int) -> None:
        """Let seconds pass; each one ends with a look at the tree."""
        for _ in range(seconds):
            self.second += 1
            self.line.begin(self.second * SECOND, HeaderFacts(TIERS, lost=self.second))
            for _ in range(self._random.randrange(1, 12)):
                self._change()
            if not self.line.held:
                self.truth.append((shown(self.tree).rows, self.second))

    def _change(self) -> None:
        kind = self._random.random()
        if kind < 0.4 or not self._alive:
            parent = self._random.choice([0, *self._alive])
            self._put(view(self._next, parent))
            self._next += 1
        elif kind < 0.6:
            pid = self._random.choice(list(self._alive))
            self.line.drop(self._alive.pop(pid).key)
        elif kind < 0.8:
            one = self._random.choice(list(self._alive.values()))
            cpu = float(self._random.randrange(100))
            self._put(msgspec.structs.replace(one, usage=Usage(cpu_percent=cpu)))
        else:
            one = self._random.choice(list(self._alive.values()))
            entry = msgspec.structs.replace(one.entry, cmdline=b"run\0%d\0" % self._random.randrange(9))
            self._put(msgspec.structs.replace(one, entry=entry))

    def _put(self, one: ProcessView) -> None:
        self._alive[one.entry.pid] = one
        self.line.put(one)

    @property
    def now(self) -> set[ProcessView]:
        return set(self._alive.values())


@pytest.mark.parametrize("seed", range(8))
def test_each_second_is_shown_again_as_it_was_back_and_forward(seed: int) -> None:
    world = World(seed)
    world.live(40)
    line = world.line
    line.hold(world.second * SECOND)
    for rows, second in reversed(world.truth[:-1]):
        assert line.back(SECOND)
        assert shown(world.tree).rows == rows, second
        assert line.facts.lost == second
        assert line.rewound
    for rows, second in world.truth[1:]:
        assert line.forward(SECOND)
        assert (shown(world.tree).rows, line.facts.lost) == (rows, second)
    assert not line.rewound
    assert not line.forward(SECOND)


@pytest.mark.parametrize("seed", range(4))
def test_what_happens_while_it_is_held_is_gone_through_and_nothing_is_lost(seed: int) -> None:
    world = World(seed)
    world.live(10)
    line = world.line
    before = shown(world.tree).rows
    line.hold(world.second * SECOND)
    line.back(5 * SECOND)
    world.live(10)
    line.forward(5 * SECOND)
    assert shown(world.tree).rows == before
    steps = 0
    while line.forward(SECOND):
        steps += 1
    assert steps == 9  # the tenth is not over yet: that one is live
    line.release()
    assert {v for key in list(world.tree._forest.nodes) if (v := world.tree.view(key))} == world.now
    line.hold(world.second * SECOND)
    while line.back(SECOND):
        pass
    line.release()
    assert {v for key in list(world.tree._forest.nodes) if (v := world.tree.view(key))} == world.now
    world.live(1)
    assert line.at_ns == world.second * SECOND


def test_a_quiet_minute_is_stepped_over_to_what_changed() -> None:
    tree, line = made()
    for second, pid in ((1, 1), (61, 2), (62, 3)):
        line.begin(second * SECOND, HeaderFacts(TIERS))
        line.put(view(pid))
    line.hold(100 * SECOND)
    for at, count in ((62, 2), (61, 1), (1, 0)):
        line.back(SECOND)
        assert (line.at_ns + 1, shown(tree).total - bool(count)) == (at * SECOND, count)
    assert not line.back(SECOND)
    assert line.at_start


def test_the_bytes_are_counted_and_bounded_live_and_held() -> None:
    limit = 20_000
    world = World(1, limit_bytes=limit)
    world.live(400)
    assert 0.8 * limit < world.line.bytes <= limit
    world.line.hold(world.second * SECOND)
    while world.line.back(10 * SECOND):
        assert world.line.bytes <= 2 * limit
        steps = (*world.line._past, *world.line._future)
        assert world.line.bytes == sum(step.size for step in steps)
    for _ in range(400):
        if world.line.full:
            break
        world.live(1)
    assert world.line.full
    world.line.release()
    assert not world.line.full
    assert world.line.bytes <= limit


def test_minutes_are_bounded_too() -> None:
    _, line = made(span_ns=10 * SECOND)
    for second in range(1, 40):
        line.begin(second * SECOND, HeaderFacts(TIERS))
        line.put(view(second))
    line.hold(39 * SECOND)
    assert 9 <= line.at_ns // SECOND - line.reach_ns // SECOND <= 12


def test_what_fills_the_tree_at_the_start_is_no_change() -> None:
    tree, line = made()
    line.begin(SECOND, HeaderFacts(TIERS))
    line.put(view(1))
    line.begin_here()
    line.begin(5 * SECOND, HeaderFacts(TIERS))
    line.put(view(2))
    line.hold(9 * SECOND)
    assert line.back(SECOND)
    assert not line.back(SECOND)
    assert [row.pid for row in shown(tree).rows if row.pid] == [1]


def test_nothing_that_happens_costs_nothing() -> None:
    _, line = made()
    for second in range(1, 100):
        line.begin(second * SECOND, HeaderFacts(TIERS))
    line.hold(100 * SECOND)
    assert line.bytes == 0
    assert line.at_start
