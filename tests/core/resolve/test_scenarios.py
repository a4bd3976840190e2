"""Small real programs that do what breaks process trackers; the cache must equal /proc afterwards.

EBPF_TUI_RUNS=20 runs each of them 20 times. EBPF_TUI_SHORT=1 shortens the storms, for emulated kernels.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core.model.counters import Counter
from core.model.entities import LadderStep, Tiers, TierState
from core.model.events import Lost
from core.probe.loader import ProbeOptions
from core.resolve.engine import Engine
from core.resolve.process_cache import MAX_ENDED, Process, Validity
from core.sources.feed import HostSources, ProbeFeed
from core.system.host import LOCAL
from tests.loaded_probe import load_probe
from tests.world import CheckedEngine, check_links, differences, open_engine, settle

RUNS = range(int(os.environ.get("EBPF_TUI_RUNS", "1")))
SHORT = bool(os.environ.get("EBPF_TUI_SHORT"))

PROGRAMS: dict[str, list[str]] = {
    "leader_exits_first": [],
    "thread_exec": [],
    "double_fork": [],
    "subreaper": [],
    "mass_exit": [],
    "clone_parent": [],
    "zombie": [],
    "exec_twice": [],
    "pid_reuse": [],
}
STORMS = {
    "vfork": ["100" if SHORT else "3000"],
    "storm": ["500" if SHORT else "20000"],
}

Scenario = Callable[[str], Path]


@contextlib.contextmanager
def exact(kind: type[Engine]) -> Iterator[Engine]:
    made = open_engine(kind)
    try:
        if not made.feed.exact:
            pytest.skip(f"no events here: {made.feed.tiers.maps.reason}")
        yield made
        check_links(made.cache)
    finally:
        made.feed.close()


@pytest.fixture
def engine() -> Iterator[Engine]:
    """An engine that checks every link after every event."""
    with exact(CheckedEngine) as made:
        yield made


@pytest.fixture
def fast_engine() -> Iterator[Engine]:
    """An engine as people run it, for the storms."""
    with exact(Engine) as made:
        yield made


@contextlib.contextmanager
def running(engine: Engine, arguments: list[str | Path]) -> Iterator[set[int]]:
    """Run a scenario in a session of its own until it says ready; yield the pids of its session.

    Events are taken meanwhile, as a session would.
    """
    child = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
    assert child.stdout is not None
    try:
        said = b""
        while b"ready\n" not in said:
            if select.select([child.stdout], [], [], 0.02)[0]:
                chunk = os.read(child.stdout.fileno(), 4096)
                assert chunk, f"the scenario ended with {child.wait()}"
                said += chunk
            engine.pump()
        settle(engine)
        yield session_of(child.pid)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def session_of(leader: int) -> set[int]:
    pids = set()
    for name in os.listdir("/proc"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if name.isdigit():
                stat = Path(f"/proc/{name}/stat").read_text("latin-1")
                if int(stat[stat.rindex(")") + 2 :].split()[3]) == leader:
                    pids.add(int(name))
    return pids


def cached(engine: Engine, pid: int) -> Process:
    process = engine.cache.get(pid)
    assert process is not None
    return process


def is_true(engine: Engine, pids: set[int]) -> None:
    """What the cache has of these processes is what /proc has, and the line above each is whole."""
    assert pids
    assert differences(engine, pids) == []
    for pid in pids:
        assert cached(engine, pid).validity()[0] is Validity.VALID
    assert engine.lost == 0


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("name", PROGRAMS)
def test_the_cache_is_proc(engine: Engine, scenario: Scenario, name: str, run: int) -> None:
    if name == "pid_reuse" and not os.access("/proc/sys/kernel/ns_last_pid", os.W_OK):
        pytest.skip("/proc/sys/kernel/ns_last_pid cannot be written (root, CONFIG_CHECKPOINT_RESTORE)")
    with running(engine, [scenario(name), *PROGRAMS[name]]) as pids:
        is_true(engine, pids)
        if name == "pid_reuse":
            is_another_process(engine, max(pids))
    assert differences(engine, pids) == []


def is_another_process(engine: Engine, pid: int) -> None:
    """The owner of a reused pid is told from the one before, with the same program and tick."""
    process = cached(engine, pid)
    earlier = [ended for ended in engine.cache.ended if ended.entry.pid == pid]
    assert earlier
    assert all(ended.entry.start_ns < process.entry.start_ns for ended in earlier)
    assert earlier[-1].entry.start_ns // 10**7 == process.entry.start_ns // 10**7
    assert earlier[-1].exit_code == signal.SIGKILL
    assert process.exited_ns is None
    assert (process.origin, process.entry.inode) == ("event", earlier[-1].entry.inode)


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("name", STORMS)
def test_storms(fast_engine: Engine, scenario: Scenario, name: str, run: int) -> None:
    engine = fast_engine
    with running(engine, [scenario(name), *STORMS[name]]) as pids:
        is_true(engine, pids)
        assert engine.stats.get(Counter.MISS) == 0
    assert differences(engine, pids) == []


def test_exec_history_is_kept(engine: Engine, scenario: Scenario) -> None:
    with running(engine, [scenario("exec_twice")]) as pids:
        (pid,) = pids
        process = cached(engine, pid)
        names = [image.args[:1] for image in process.images]
        assert names[-1] == (os.fsencode(scenario("exec_twice")),)
        assert process.entry.args[0] == b"third"
        assert process.parent is engine.cache.get(os.getpid())


def test_a_new_process_reads_cache_event(engine: Engine, scenario: Scenario) -> None:
    with running(engine, [scenario("zombie")]) as pids:
        for pid in pids:
            view = engine.view(cached(engine, pid))
            assert (view.source, view.origin) == ("cache", "event")


def test_after_an_eviction_the_maps_answer(engine: Engine, scenario: Scenario) -> None:
    with running(engine, [scenario("exec_twice")]) as pids:
        (pid,) = pids
        answer = engine.resolve(pid, evict=True)
        assert (answer.source, answer.origin) == ("maps", "maps")
        assert differences(engine, pids) == []
        assert engine.resolve(pid).source == "cache"


def test_the_maps_follow_a_new_parent(engine: Engine, scenario: Scenario) -> None:
    with running(engine, [scenario("double_fork")]) as pids:
        (orphan,) = {pid for pid in pids if cached(engine, pid).entry.ppid not in pids} - {min(pids)}
        assert engine.feed.maps is not None
        engine.sweep()
        assert engine.feed.maps.lookup(orphan).ppid == cached(engine, orphan).entry.ppid


def test_rights_given_up_without_an_exec_show_with_the_next_sweep(engine: Engine, as_root: None) -> None:
    """As a server's workers do; no event tells of it."""
    code = (
        "import os; input(); os.setgroups([]); os.setgid(65534); os.setuid(65534);"
        "print('done', flush=True); input()"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        child.stdin.write(b"\n")
        child.stdin.flush()
        assert child.stdout.readline() == b"done\n"
        settle(engine)
        assert cached(engine, child.pid).entry.credentials.euid == 0
        engine.sweep()
        credentials = cached(engine, child.pid).entry.credentials
        assert credentials == engine.feed.procfs.entry(child.pid)[0].credentials
        assert (credentials.uid, credentials.fsgid, credentials.cap_effective) == (65534, 65534, 0)
    finally:
        child.kill()
        child.wait()


@pytest.mark.parametrize("run", RUNS)
def test_a_loss_is_counted_and_mended(scenario: Scenario, run: int) -> None:
    """A ring of 4 KB under the storm: the tree is true within a second, and nothing grows."""
    probe = load_probe(ProbeOptions(ring_bytes=4096))
    on = TierState(True)
    engine = Engine(ProbeFeed(probe, HostSources(LOCAL), Tiers(on, on, on, LadderStep.EVENTS_AND_MAPS)))
    try:
        engine.start()
        with running(engine, [scenario("storm"), "500" if SHORT else "5000"]) as pids:
            assert engine.lost > 0
            assert 0 < engine.stats.get(Counter.RESYNC) <= engine.lost
            assert differences(engine, pids) == []
        assert differences(engine, pids, sweeps=True) == []
        assert len(engine.cache.ended) <= MAX_ENDED
        assert len(engine.cache.changed) <= len(engine.cache) + MAX_ENDED
        check_links(engine.cache)
    finally:
        engine.feed.close()


def test_a_lost_process_is_there_again_at_once(scenario: Scenario) -> None:
    """Its fork and exec found no room; the answer to the loss brings it, not a later sweep."""
    probe = load_probe(ProbeOptions(ring_bytes=4096))
    on = TierState(True)
    engine = Engine(ProbeFeed(probe, HostSources(LOCAL), Tiers(on, on, on, LadderStep.EVENTS_AND_MAPS)))
    child = None
    try:
        engine.start()
        for _ in range(60):
            os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0)
        child = subprocess.Popen([scenario("exec_twice")], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        events = engine.pump()
        assert isinstance(events[-1], Lost)
        assert cached(engine, child.pid).entry.args[0] == b"third"
    finally:
        if child is not None:
            child.kill()
            child.wait()
        engine.feed.close()


@pytest.mark.parametrize("run", RUNS)
def test_start_during_forks(scenario: Scenario, run: int) -> None:
    """Attach, snapshot and replay while 500 processes a second come and go."""
    forker = subprocess.Popen([scenario("forks"), "50" if SHORT else "500"], stdout=subprocess.PIPE)
    try:
        time.sleep(0.1)
        with exact(Engine) as engine:
            settle(engine)
            forker.send_signal(signal.SIGSTOP)
            settle(engine)
            assert differences(engine, sweeps=True) == []
            assert cached(engine, forker.pid).validity()[0] is Validity.VALID
            assert engine.stats.get(Counter.BROKEN_LINEAGE) == 0
            assert engine.lost == 0
    finally:
        forker.kill()
        forker.wait()
