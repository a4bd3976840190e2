"""Small real programs that do what breaks process trackers; the cache must equal /proc afterwards."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core.engine import Engine
from core.probe.loader import ProbeOptions
from tests.conftest import load_probe
from tests.world import differences, open_engine, settle

PROGRAMS = {
    "leader_exits_first": [],
    "thread_exec": [],
    "double_fork": [],
    "subreaper": [],
    "mass_exit": [],
    "clone_parent": [],
    "zombie": [],
    "exec_twice": [],
    "vfork": ["300"],
    "storm": ["3000"],
}


@pytest.fixture
def engine() -> Iterator[Engine]:
    made = open_engine()
    if not made.feed.exact:
        made.feed.close()
        pytest.skip(f"no events here: {made.feed.tiers.maps.reason}")
    yield made
    made.feed.close()


@contextlib.contextmanager
def running(engine: Engine, arguments: list[str | Path]) -> Iterator[set[int]]:
    """Run a scenario in a session of its own until it says ready; yield the pids of its session."""
    child = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
    assert child.stdout is not None
    try:
        while child.stdout.readline() not in (b"ready\n", b""):
            pass
        settle(engine)
        yield session_of(child.pid)
    finally:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def session_of(leader: int) -> set[int]:
    pids = set()
    for name in os.listdir("/proc"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if name.isdigit():
                stat = Path(f"/proc/{name}/stat").read_text()
                if int(stat[stat.rindex(")") + 2 :].split()[3]) == leader:
                    pids.add(int(name))
    return pids


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_cache_is_proc(engine: Engine, scenario: Callable[[str], Path], name: str) -> None:
    with running(engine, [scenario(name), *PROGRAMS[name]]) as pids:
        assert pids
        assert differences(engine, pids) == []
        assert engine.lost == 0
    assert differences(engine, pids) == []


def test_exec_history_is_kept(engine: Engine, scenario: Callable[[str], Path]) -> None:
    with running(engine, [scenario("exec_twice")]) as pids:
        (pid,) = pids
        process = engine.lineage.get(pid)
        assert process is not None
        names = [image.args[:1] for image in process.images]
        assert names[-1] == (os.fsencode(scenario("exec_twice")),)
        assert process.entry.args[0] == b"third"
        assert process.parent is engine.lineage.get(os.getpid())


def test_a_new_process_reads_cache_event(engine: Engine, scenario: Callable[[str], Path]) -> None:
    with running(engine, [scenario("zombie")]) as pids:
        for pid in pids:
            view = engine.view(engine.lineage.get(pid))  # type: ignore[arg-type]
            assert (view.source, view.origin) == ("cache", "event")


def test_after_an_eviction_the_maps_answer(engine: Engine, scenario: Callable[[str], Path]) -> None:
    with running(engine, [scenario("exec_twice")]) as pids:
        (pid,) = pids
        answer = engine.resolve(pid, evict=True)
        assert (answer.source, answer.origin) == ("maps", "maps")
        assert differences(engine, pids) == []
        assert engine.resolve(pid).source == "cache"


def test_a_loss_is_answered_by_a_resync(scenario: Callable[[str], Path]) -> None:
    from core.feed import ProbeFeed
    from core.host import LOCAL
    from core.model import Tiers, TierState

    probe = load_probe(ProbeOptions(ring_bytes=4096))
    on = TierState(True)
    engine = Engine(ProbeFeed(probe, LOCAL, Tiers(on, on, on, "events+maps")), LOCAL)
    try:
        engine.start()
        with running(engine, [scenario("storm"), "3000"]) as pids:
            assert engine.lost > 0
            assert engine.stats.get("resync") > 0
            assert differences(engine, pids) == []
    finally:
        engine.feed.close()


def test_start_during_forks(scenario: Callable[[str], Path]) -> None:
    """Attach, snapshot and replay while processes come and go all the time."""
    code = "while :; do /bin/true; done"
    forker = subprocess.Popen(["/bin/sh", "-c", code])
    try:
        for _ in range(3):
            engine = open_engine()
            try:
                settle(engine)
                forker.send_signal(signal.SIGSTOP)
                settle(engine)
                assert differences(engine) == []
            finally:
                forker.send_signal(signal.SIGCONT)
                engine.feed.close()
    finally:
        forker.kill()
        forker.wait()
