"""What maps say about a process: planted in maps of a real agent, compared with /proc."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.bpf.claims import LOOK_UPS, Claims, ask
from core.bpf.evidence import Likelihood, deviations, live_and_dead, score_of_sample
from core.bpf.facts_compared import Verdict, compare
from core.bpf.process_facts import ProcessFacts, read_facts
from core.bpf.snapshot import HostBpf
from core.bpf.types import TypeNames
from core.system.host import LOCAL
from tests.core.bpf.running_agent import RunningAgent, update


@pytest.fixture
def sleeper() -> Iterator[int]:
    child = subprocess.Popen(["sleep", "60"])
    yield child.pid
    child.kill()
    child.wait()


def image(pid: int, comm: bytes, start_ns: int) -> bytes:
    return struct.pack("=I4xQ16sII3s5xQ", pid, start_ns, comm, 0, 0, b"", 0)


def claims_of(agent: RunningAgent, pid: int) -> tuple[Claims, ProcessFacts]:
    host = HostBpf(LOCAL)
    try:
        facts = read_facts(LOCAL, pid)
        return ask(LOCAL, host.snapshot(with_fill=False), facts, TypeNames()), facts
    finally:
        host.close()


def test_facts_are_those_of_proc(sleeper: int) -> None:
    while os.readlink(f"/proc/{sleeper}/exe") != os.path.realpath("/bin/sleep"):
        pass
    facts = read_facts(LOCAL, sleeper)
    assert (facts.pid, facts.ppid, facts.comm) == (sleeper, os.getpid(), b"sleep")
    assert facts.exe_inode == os.stat("/bin/sleep").st_ino
    assert facts.namespaces["net"] == os.stat(f"/proc/{sleeper}/ns/net").st_ino
    assert facts.tids == (sleeper,)
    assert facts.inner_pids[-1] == sleeper or len(facts.inner_pids) == 1
    assert facts.cgroup_ids or not os.path.exists("/sys/fs/cgroup")


def test_a_wrong_fact_in_a_map_is_found(agent: RunningAgent, sleeper: int) -> None:
    facts = read_facts(LOCAL, sleeper)
    for number in live_and_dead(LOCAL, sleeper)[0]:
        update(agent.maps["images"], struct.pack("=I", number), image(number, b"x", 0))
    update(agent.maps["images"], struct.pack("=I", sleeper), image(sleeper, b"nginx", facts.start_ns))
    answer, _ = claims_of(agent, sleeper)
    (claim,) = [claim for claim in answer.claims if claim.map_id == agent.maps["images"]]
    assert claim.likelihood is Likelihood.LIKELY
    verdicts = {one.member: one.verdict for one in claim.compared}
    assert verdicts[b"comm"] is Verdict.DIFFERS
    assert (verdicts[b"pid"], verdicts[b"start_ns"]) == (Verdict.AGREES, Verdict.AGREES)
    assert claim.compared[0].member == b"comm"
    assert answer.claims[0].map_id == claim.map_id
    assert answer.look_ups <= LOOK_UPS


def test_a_decoy_with_dense_keys_is_never_likely(agent: RunningAgent, sleeper: int) -> None:
    """Every number from the sample and between is a key, as in a map of ports or ids."""
    live, dead = live_and_dead(LOCAL, sleeper)
    for number in [*live, *dead, sleeper]:
        update(agent.maps["recent"], struct.pack("=Q", number), bytes(8))
    answer, _ = claims_of(agent, sleeper)
    decoys = [claim for claim in answer.claims if claim.map_id == agent.maps["recent"]]
    assert not [claim for claim in decoys if claim.likelihood is Likelihood.LIKELY]
    assert answer.look_ups > len(live) + len(dead)  # the map was asked


def test_a_process_that_no_map_knows(agent: RunningAgent) -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        answer, _ = claims_of(agent, child.pid)
        assert agent.maps["images"] not in [claim.map_id for claim in answer.claims]
        assert answer.asked > 0
    finally:
        child.communicate(b"\n")


def test_asking_keeps_the_order_of_an_lru_map(agent: RunningAgent, sleeper: int) -> None:
    """The map has the same keys in the same order; the agent goes on changing values."""
    from core.bpf.contents import Contents
    from core.bpf.listing import Lister

    update(agent.maps["recent"], struct.pack("=Q", sleeper), struct.pack("=Q", 1))
    found = next(found for found in Lister().maps([]) if found.id == agent.maps["recent"])
    before = [entry.key for entry in Contents(found, TypeNames()).entries(100)]
    claims_of(agent, sleeper)
    after = [entry.key for entry in Contents(found, TypeNames()).entries(100)]
    assert before == after


def facts(**changes: object) -> ProcessFacts:
    values: dict[str, object] = {
        "pid": 4121, "ppid": 1, "comm": b"nginx", "start_ns": 5_000_000_000, "monotonic_ns": 4_000_000_000,
        "tids": (4121, 4122), "inner_pids": (4121, 7), "uids": (0, 0, 0, 0), "gids": (0,) * 4,
        "namespaces": {"mnt": 4026532000, "pid": 4026532001, "net": 4026532002},
        "cgroup_ids": (70_000, 80_000),
    }  # fmt: skip
    return ProcessFacts(**(values | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "theirs", "verdict"),
    [
        (b"pid", 4121, Verdict.AGREES),
        (b"pid", 7, Verdict.AGREES),
        (b"pid", 99, Verdict.DIFFERS),
        (b"ppid", 1, Verdict.AGREES),
        (b"ppid", 0, Verdict.UNSET),
        (b"cgroup_id", 80_000, Verdict.AGREES),
        (b"cgroup_id", 90_000, Verdict.DIFFERS),
        (b"cgroup_id", 12, Verdict.UNKNOWN),
        (b"start_time", 5_000_000_001, Verdict.AGREES),
        (b"start_time", 4_000_000_000, Verdict.AGREES),
        (b"start_time", 6_000_000_000, Verdict.UNKNOWN),
        (b"start_time", 1, Verdict.DIFFERS),
        (b"comm", b"nginx", Verdict.AGREES),
        (b"comm", b"", Verdict.UNSET),
        (b"comm", 5, Verdict.UNKNOWN),
        (b"mntns_id", 4026532000, Verdict.AGREES),
        (b"mntns_id", 4026532001, Verdict.DIFFERS),
    ],
)
def test_one_member(name: bytes, theirs: int | bytes, verdict: Verdict) -> None:
    (compared,) = compare({b"inner": {name: theirs}}, facts())
    assert compared.member == b"inner." + name
    assert compared.verdict is verdict


def test_the_pid_in_a_parents_key_is_the_parent() -> None:
    (compared,) = compare({b"pkey": {b"pid": 1}}, facts())
    assert (compared.fact, compared.verdict) == ("parent", Verdict.AGREES)


@given(st.integers(0, 16), st.integers(0, 16))
def test_only_a_clear_difference_counts(live: int, dead: int) -> None:
    points, _ = score_of_sample(live, 16, dead, 16)
    assert (points > 0) == (deviations(live, 16, dead, 16) >= 3)
    assert points <= 0 or live > dead + 4


def test_dense_keys_score_against() -> None:
    assert score_of_sample(16, 16, 16, 16)[0] < 0
    assert score_of_sample(0, 16, 0, 16)[0] == 0
    assert score_of_sample(16, 16, 0, 16)[0] > 0
    assert score_of_sample(0, 0, 0, 0)[0] == 0
