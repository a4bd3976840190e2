"""When and how processes begin and end, as the probe says it, compared with the boot clock and wait(2)."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from core.model.events import Exec, Exit, Fork
from core.probe.loader import Probe
from core.probe.maps import MapsMiss, ProbeMaps
from core.sources.feed import ProbeFeed, open_feed
from core.sources.procfs import Procfs
from core.system.host import LOCAL
from tests.core.probe.events import events_of


def test_times_are_those_of_the_boot_clock(probe: Probe) -> None:
    def now() -> int:
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME)

    moments = [now()]
    child = subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE)
    fork, execution = events_of(probe, child.pid, Exec)
    moments.append(now())
    in_maps = ProbeMaps(probe).lookup(child.pid)
    child.communicate()
    moments.append(now())
    end, *_ = events_of(probe, child.pid, Exit)  # who is reaped may be told already
    assert isinstance(fork, Fork)
    assert isinstance(execution, Exec)
    assert isinstance(end, Exit)
    assert moments[0] < fork.start_ns <= fork.ts_ns < execution.ts_ns < moments[1] < end.ts_ns < moments[2]
    assert in_maps.start_ns == execution.entry.start_ns == fork.start_ns
    assert (in_maps.fork_ns, in_maps.exec_ns) == (fork.ts_ns, execution.ts_ns)


CODES = {
    "exits with 0": ["sh", "-c", "exit 0"],
    "exits with 3": ["sh", "-c", "exit 3"],
    "exits with 255": ["sh", "-c", "exit 255"],
    "is killed": ["sh", "-c", "kill -KILL $$"],
    "is terminated": ["sh", "-c", "kill -TERM $$"],
    "dies with a core": ["sh", "-c", "ulimit -c unlimited; cd /; kill -ABRT $$"],
    "first thread 5, whole process 0": ["exit_codes", "group"],
    "first thread 5, last thread 7": ["exit_codes", "alone"],
    "was stopped before": ["exit_codes", "stopped"],
}


@pytest.mark.parametrize("name", CODES)
def test_exit_codes_are_those_of_wait(probe: Probe, scenario: Callable[[str], Path], name: str) -> None:
    program, *arguments = CODES[name]
    if program == "exit_codes":
        program = str(scenario(program))
    child = subprocess.Popen([program, *arguments])
    if name == "was stopped before":
        assert os.WIFSTOPPED(os.waitpid(child.pid, os.WUNTRACED)[1])
        child.send_signal(signal.SIGCONT)
    _, code = os.waitpid(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(code)
    (end,) = [event for event in events_of(probe, child.pid, Exit) if isinstance(event, Exit)]
    assert end.exit_code == code


def test_a_zombie_older_than_the_probe_is_no_answer_of_the_maps() -> None:
    """Nobody would tell the maps when it is reaped."""
    child = subprocess.Popen(["/bin/true"])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    feed = open_feed(LOCAL)
    try:
        if not isinstance(feed, ProbeFeed):
            pytest.skip(f"no probe here: {feed.tiers.maps.reason}")
        (found,) = [found for found in feed.snapshot() if found.entry.pid == child.pid]
        assert found.usage.state == "Z"
        assert feed.maps is not None
        with pytest.raises(MapsMiss):
            feed.maps.lookup(child.pid)
    finally:
        feed.close()
        child.wait()


@pytest.mark.parametrize("reaped", [True, False])
def test_a_process_that_ends_while_it_is_pushed_is_no_answer_of_the_maps(probe: Probe, reaped: bool) -> None:
    """It was alive when /proc was read; its exit found nothing in the maps that it could mark."""
    child = subprocess.Popen(["/bin/sleep", "600"])
    entry, _ = Procfs(LOCAL).entry(child.pid)
    maps, key = ProbeMaps(probe), ctypes.c_uint32(child.pid)
    forget = partial(
        ctypes.CDLL("libbpf.so.1").bpf_map_delete_elem, probe.map_fd("pid_cache"), ctypes.byref(key)
    )
    events_of(probe, child.pid, Exec)
    forget()
    maps.push(entry)
    assert maps.lookup(child.pid).start_ns == entry.start_ns
    forget()
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    if reaped:
        child.wait()
    maps.push(entry)
    with pytest.raises(MapsMiss, match="no entry"):
        maps.lookup(child.pid)
    child.wait()
