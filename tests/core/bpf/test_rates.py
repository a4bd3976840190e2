"""Run times and fill, on the real kernel."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.bpf import fill, syscall
from core.bpf.listing import Lister
from core.bpf.rates import Counters, counting, measure, rates, read_counters
from core.bpf.records import Map
from core.bpf.snapshot import HostBpf
from core.system.host import LOCAL
from tests.core.bpf.running_agent import RunningAgent, bpftool

BUSY = "on_sys_enter_with_a_name_longer_than_15"


def maps_by_name(agent: RunningAgent, maps: tuple[Map, ...]) -> dict[str, Map]:
    by_id = {found.id: found for found in maps}
    return {name: by_id[number] for name, number in agent.maps.items()}


def test_a_busy_program_has_a_rate(agent: RunningAgent) -> None:
    programs = Lister().programs([])
    answer = measure(programs, 0.3)
    busy, idle = answer[agent.programs[BUSY]], answer[agent.programs["pass_frames"]]
    assert busy.runs > 0
    assert busy.run_ns > 0
    assert busy.ns_per_run == busy.run_ns / busy.runs
    assert 0 < busy.cpu < (os.cpu_count() or 1)
    assert (idle.runs, idle.ns_per_run, idle.cpu) == (0, None, 0)


def test_every_run_of_the_program_is_counted(agent: RunningAgent) -> None:
    number = agent.programs[BUSY]
    with counting():
        before = read_counters([number])
        for _ in range(1000):
            os.getppid()
        after = read_counters([number])
    assert rates(before, after)[number].runs >= 1000


def test_counting_ends_with_the_question(agent: RunningAgent) -> None:
    measure(Lister().programs([]), 0.05)
    assert not [fd for fd in os.listdir("/proc/self/fd") if "bpf-stats" in _target(fd)]
    if _others_count():
        pytest.skip("somebody else counts")
    number = agent.programs[BUSY]
    before = read_counters([number]).programs[number]
    for _ in range(100):
        os.getppid()
    assert read_counters([number]).programs[number] == before


def _target(fd: str) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        return ""


def _others_count() -> bool:
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if any("bpf-stats" in os.readlink(fd) for fd in (process / "fd").iterdir()):
                return True
        except OSError:
            continue
    return False


def test_rates_are_between_two_readings() -> None:
    before = Counters(0, {1: (10, 1000, 0), 2: (5, 5, 5), 3: (0, 0, 0)})
    after = Counters(2_000_000_000, {1: (30, 3000, 4), 2: (1, 1, 1), 4: (1, 1, 1)})
    answer = rates(before, after)
    assert answer.keys() == {1, 2}
    assert (answer[1].runs_per_second, answer[1].ns_per_run, answer[1].misses) == (10, 100, 4)
    assert answer[1].cpu == pytest.approx(1e-6)
    assert (answer[2].runs, answer[2].run_ns, answer[2].misses) == (0, 0, 0)


def fill_images(agent: RunningAgent, count: int) -> None:
    """Write with bpftool; our own descriptors cannot."""
    import ctypes
    import struct

    with syscall.opened("map", agent.maps["images"]) as fd:
        key = ctypes.create_string_buffer(4)
        value = ctypes.create_string_buffer(80)
        call = struct.pack("=IIQQQ", fd, 0, ctypes.addressof(key), ctypes.addressof(value), 0)
        with pytest.raises(PermissionError):
            syscall.bpf(2, call)  # our descriptors are read-only: the kernel refuses
    for number in range(count):
        key_words = list(map(str, struct.pack("=I", number)))
        size = next(m for m in Lister().maps([]) if m.id == agent.maps["images"]).value_size
        value_words = ["0"] * size
        bpftool_update(agent.maps["images"], key_words, value_words)


def bpftool_update(number: int, key: list[str], value: list[str]) -> None:
    import shutil
    import subprocess

    if not shutil.which("bpftool"):
        pytest.skip("no bpftool")
    subprocess.run(["bpftool", "map", "update", "id", str(number), "key", *key, "value", *value], check=True)


def test_fill_is_what_a_walk_counts(agent: RunningAgent) -> None:
    fill_images(agent, 7)
    host = HostBpf(LOCAL)
    try:
        counted = maps_by_name(agent, host.snapshot(holds=False).maps)
        walked = maps_by_name(agent, fill.fill(host.lister.maps([]), None))
    finally:
        host.close()
    dumped = bpftool("map", "dump", "id", str(agent.maps["images"]))
    assert isinstance(dumped, list)
    assert walked["images"].entries == len(dumped) == 7
    assert counted["images"].entries in (7, None)
    if "counts" not in (host.iterators.missing if host.iterators else {}):
        assert counted["images"].entries == 7
        assert counted["recent"].entries == walked["recent"].entries == 0
    assert counted["counters"].entries == 2
    assert counted["of_tasks"].entries is None


def test_a_ring_shows_what_waits_in_it(agent: RunningAgent, host: HostBpf) -> None:
    assert maps_by_name(agent, host.snapshot(holds=False).maps)["ring"].entries == 0
    import ctypes
    import struct

    packet = ctypes.create_string_buffer(64)
    with syscall.opened("program", agent.programs["allow_egress"]) as fd:
        call = bytearray(144)
        struct.pack_into("=IIIIQQII", call, 0, fd, 0, 64, 0, ctypes.addressof(packet), 0, 3, 0)
        syscall.bpf(10, bytes(call))  # BPF_PROG_TEST_RUN, three times
    waiting = maps_by_name(agent, host.snapshot(holds=False).maps)["ring"].entries
    assert waiting == 3 * 16  # a record of 8 bytes behind a header of 8


def test_a_walk_has_a_limit(agent: RunningAgent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fill, "_MOST_KEYS", 3)
    fill_images(agent, 4)
    walked = maps_by_name(agent, fill.fill(Lister().maps([]), None))
    assert walked["images"].entries is None


def test_looking_changes_nothing(agent: RunningAgent, host: HostBpf) -> None:
    """No program has run because it was looked at."""
    number = agent.programs["pass_frames"]
    with counting():
        before = read_counters([number])
        host.snapshot()
        after = read_counters([number])
    assert after.programs[number] == before.programs[number]


@pytest.fixture
def host(agent: RunningAgent) -> Iterator[HostBpf]:
    loaded = HostBpf(LOCAL)
    yield loaded
    loaded.close()


def test_a_snapshot_leaves_nothing_behind(agent: RunningAgent) -> None:
    before = sorted(os.listdir("/proc/self/fd"))
    host = HostBpf(LOCAL)
    own = {program.id for program in host.snapshot().programs if program.ours}
    host.close()
    assert sorted(os.listdir("/proc/self/fd")) == before
    deadline = time.monotonic() + 30
    while own & set(syscall.ids("program")) and time.monotonic() < deadline:
        time.sleep(0.05)  # the kernel frees after a grace period
    assert not own & set(syscall.ids("program"))
