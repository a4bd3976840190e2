"""A process that is stuck in the kernel with its memory locked: nobody waits for it, everybody is told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from core.feed import open_feed
from core.host import LOCAL

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 60
"""Whoever waits for the stuck process waits for ever; being killed ends it."""

Start = Callable[[str], "Stuck"]


class Stuck:
    """The stuck process of stuck_process.py."""

    def __init__(self, what: str) -> None:
        command = ["unshare", "--mount", sys.executable, str(ROOT / "tests/core/stuck_process.py"), what]
        self._owner = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._owner.stdout is not None
        line = self._owner.stdout.readline()
        if not line:
            pytest.skip("no file systems in user space here (/dev/fuse)")
        self.pid = int(line)

    def let_go(self) -> None:
        assert self._owner.stdin is not None
        self._owner.stdin.write("\n")
        self._owner.stdin.flush()

    def end(self) -> None:
        self._owner.communicate("\n\n", TIMEOUT_S)


@pytest.fixture
def stuck(as_root: None) -> Iterator[Start]:
    if not os.access("/dev/fuse", os.W_OK):
        pytest.skip("no /dev/fuse")
    started: list[Stuck] = []

    def start(what: str) -> Stuck:
        started.append(Stuck(what))
        return started[-1]

    yield start
    for one in started:
        one.end()


def asked(command: str) -> Any:
    made = subprocess.run(
        [sys.executable, "-m", "tui.cli", command, "--json"],
        cwd=ROOT, stdout=subprocess.PIPE, timeout=TIMEOUT_S, check=False,
    )  # fmt: skip
    return json.loads(made.stdout)


def run_inside(code: str, one: Stuck, answer: str) -> list[str]:
    """Run Python code in a process, which can be killed when it hangs; let go when it prints `answer`."""
    worker = subprocess.Popen(
        [sys.executable, "-c", code, str(one.pid)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert worker.stdout is not None
    lines = []
    try:
        for line in worker.stdout:
            lines.append(line.rstrip("\n"))
            if answer in line:
                one.let_go()
    finally:
        worker.kill()
        worker.wait()
    return lines


@pytest.mark.parametrize("kind", ["leader", "thread"])
def test_everything_else_is_listed_and_it_says_why_its_arguments_are_not(stuck: Start, kind: str) -> None:
    one = stuck(kind)
    rows = {row["pid"]: row for row in asked("ps")["processes"]}
    assert os.getpid() in rows
    assert rows[one.pid]["state"] == ("D" if kind == "leader" else "S")
    assert rows[one.pid]["args"] == []
    assert "stuck" in rows[one.pid]["note"]
    assert rows[one.pid]["exe"] == os.readlink(f"/proc/{one.pid}/exe")


HEALS = """
import sys, time
from pathlib import Path
from core.engine import Engine
from core.feed import open_feed
from core.host import LOCAL
pid = int(sys.argv[1])
engine = Engine(open_feed(LOCAL, probe={probe}))
engine.start()
process = engine.lineage.get(pid)
print(process.entry.problem, process.entry.cmdline, flush=True)
engine.audit.wanted = process.key
while not process.entry.cmdline:
    engine.pump()
    engine.sweep()
    engine.audit.step(0)
    time.sleep(0.01)
print(process.entry.cmdline == Path(f"/proc/{{pid}}/cmdline").read_bytes(), repr(process.entry.problem))
"""


@pytest.mark.parametrize("probe", [True, False])
def test_its_arguments_are_there_when_the_kernel_lets_go(stuck: Start, probe: bool) -> None:
    one = stuck("leader")
    before, after = run_inside(HEALS.format(probe=probe), one, "stuck")
    assert before.endswith("b''")
    assert after == "True ''"


WATCHES = """
import sys, threading
from core.host import LOCAL
from core.session import open_session
from core.view import ViewRequest
session = open_session(LOCAL, probe={probe})
told = threading.Event()
seen = threading.Event()
def look(frame):
    if frame.header.message.startswith("waiting ") and not told.is_set():
        print(frame.header.message, flush=True)
        told.set()
    elif told.is_set() and not frame.header.message and frame.window.processes:
        seen.set()
session.subscribe(look)
session.request(ViewRequest(height=5))
session.start()
seen.wait()
print("goes on", flush=True)
session.stop()
"""


@pytest.mark.parametrize("probe", [True, False])
def test_a_session_that_waits_for_it_says_so_and_goes_on(stuck: Start, probe: bool) -> None:
    """It is stuck in the last of many threads, where nobody looks before."""
    if probe:
        feed = open_feed(LOCAL)
        feed.close()
        if not feed.exact:
            pytest.skip(f"no probe here: {feed.tiers.maps.reason}")
    one = stuck("crowd")
    told, after = run_inside(WATCHES.format(probe=probe), one, "waiting")
    assert f"s for /proc/{one.pid}: " in told
    assert after == "goes on"
