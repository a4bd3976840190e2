"""A process that is stuck in the kernel with its memory locked: nobody waits for it, everybody is told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.places import ROOT

TIMEOUT_S = 60
"""Whoever waits for the stuck process waits for ever; being killed ends it."""

Start = Callable[[str], "Stuck"]


class Stuck:
    """The stuck process of stuck_process.py."""

    def __init__(self, what: str) -> None:
        command = [
            "unshare",
            "--mount",
            sys.executable,
            str(ROOT / "tests/core/sources/stuck_process.py"),
            what,
        ]
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


def asked(*words: str) -> Any:
    made = subprocess.run(
        [sys.executable, "-m", "tui.cli.main", *words, "--json"],
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


@pytest.mark.parametrize("kind", ["leader", "thread", "crowd"])
@pytest.mark.parametrize("probe", [True, False])
def test_everything_else_is_listed_and_it_says_why_its_arguments_are_not(
    stuck: Start, kind: str, probe: bool
) -> None:
    """`crowd`: it is stuck in the last of many threads, where nobody looks before."""
    one = stuck(kind)
    rows = {row["pid"]: row for row in asked(*([] if probe else ["--no-probe"]), "ps")["processes"]}
    assert os.getpid() in rows
    assert rows[one.pid]["state"] == ("D" if kind == "leader" else "S")
    assert rows[one.pid]["args"] == []
    assert "stuck" in rows[one.pid]["note"]
    assert rows[one.pid]["exe"] == os.readlink(f"/proc/{one.pid}/exe")


HEALS = """
import sys, time
from pathlib import Path
from core.resolve.engine import Engine
from core.sources.feed import open_feed
from core.system.host import LOCAL
pid = int(sys.argv[1])
engine = Engine(open_feed(LOCAL, probe={probe}))
engine.start()
process = engine.cache.get(pid)
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
