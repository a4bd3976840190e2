"""Signals go to the process that was meant, or nowhere."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.model.entities import TICK_NS, ProcessKey
from core.signals import Delivery, send_signal
from core.sources.procfs import Procfs
from core.system.host import LOCAL, Host

TERM = signal.SIGTERM
LAST_PID = Path("/proc/sys/kernel/ns_last_pid")


def start() -> subprocess.Popen[bytes]:
    return subprocess.Popen(["sleep", "60"], stdin=subprocess.DEVNULL)


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = start()
    yield process
    process.kill()
    process.wait()


def key_of(pid: int) -> ProcessKey:
    return ProcessKey(pid, Procfs(LOCAL).stat(pid).start_ns)


def test_the_process_gets_it(sleeper: subprocess.Popen[bytes]) -> None:
    result = send_signal(LOCAL, key_of(sleeper.pid), TERM)
    assert result.sent
    assert sleeper.wait(10) == -TERM


def test_nanoseconds_of_the_kernel_match_ticks_of_proc(sleeper: subprocess.Popen[bytes]) -> None:
    pid, start_ns = key_of(sleeper.pid)
    assert send_signal(LOCAL, ProcessKey(pid, start_ns + TICK_NS - 1), TERM).sent


def test_another_start_time_is_another_process(sleeper: subprocess.Popen[bytes]) -> None:
    pid, start_ns = key_of(sleeper.pid)
    result = send_signal(LOCAL, ProcessKey(pid, start_ns - TICK_NS), signal.SIGKILL)
    assert result.delivery is Delivery.OTHER_PROCESS
    time.sleep(0.05)
    assert sleeper.poll() is None


def test_a_reused_pid_is_left_alone() -> None:
    """The real thing: the pid of an ended process is given to a new one."""
    first = start()
    key = key_of(first.pid)
    first.kill()
    first.wait()
    time.sleep(3 * TICK_NS / 1e9)
    for _ in range(50):
        try:
            LAST_PID.write_text(str(key.tgid - 1))
        except OSError as error:
            pytest.skip(f"cannot choose the next pid: {error}")
        second = start()
        try:
            if second.pid == key.tgid:
                result = send_signal(LOCAL, key, signal.SIGKILL)
                assert result.delivery is Delivery.OTHER_PROCESS
                assert second.poll() is None
                return
        finally:
            second.kill()
            second.wait()
    pytest.skip("somebody else took the pid, fifty times")


def test_an_ended_process_is_gone() -> None:
    process = start()
    key = key_of(process.pid)
    process.kill()
    process.wait()
    assert send_signal(LOCAL, key, TERM).delivery is Delivery.GONE


def test_a_zombie_is_gone(sleeper: subprocess.Popen[bytes]) -> None:
    key = key_of(sleeper.pid)
    sleeper.kill()
    while Procfs(LOCAL).stat(sleeper.pid).state != "Z":
        time.sleep(0.01)
    assert send_signal(LOCAL, key, TERM).delivery is Delivery.GONE


def test_another_users_process_is_not_permitted(sleeper: subprocess.Popen[bytes]) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root, to become somebody else")
    key = key_of(sleeper.pid)
    os.setresuid(65534, 65534, 0)
    try:
        result = send_signal(LOCAL, key, TERM)
    finally:
        os.setresuid(0, 0, 0)
    assert result.delivery is Delivery.NOT_PERMITTED
    assert sleeper.poll() is None


def test_a_host_that_is_only_looked_at_gets_none(sleeper: subprocess.Popen[bytes], tmp_path: Path) -> None:
    assert send_signal(Host(tmp_path), key_of(sleeper.pid), TERM).delivery is Delivery.NOT_VERIFIED
    assert sleeper.poll() is None


@pytest.mark.parametrize("pid", [0, -1, 2**31 - 1])
def test_no_pid_reaches_a_group_or_everybody(pid: int) -> None:
    assert not send_signal(LOCAL, ProcessKey(pid, 0), TERM).sent
