"""In namespaces of its own the program shows what /proc there shows, from the kernel tier all the same."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import Any

import pytest

from core.sources.feed import open_feed
from core.system.host import LOCAL
from tests.needs import lacks
from tests.places import ROOT

CLI = [sys.executable, "-m", "tui.cli.main"]
OWN_PROC = ["unshare", "--pid", "--fork", "--mount-proc"]

INSIDE = r"""
import json, os, subprocess, sys, time
child = subprocess.Popen(["/bin/sleep", "60"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
try:
    while open(f"/proc/{child.pid}/comm").read() != "sleep\n":
        time.sleep(0.01)
    answer = json.loads(subprocess.run(sys.argv[1:], capture_output=True, text=True, check=True).stdout)
    seen = {}
    for name in os.listdir("/proc"):
        if name.isdigit() and os.path.exists(f"/proc/{name}/stat"):
            stat = open(f"/proc/{name}/stat").read()
            fields = stat[stat.rindex(")") + 2:].split()
            seen[name] = {"ppid": int(fields[1]), "ticks": int(fields[19])}
    print(json.dumps({"answer": answer, "seen": seen, "child": child.pid}))
finally:
    child.kill()
"""


@pytest.fixture(autouse=True)
def namespaces(as_root: None) -> None:
    if shutil.which("unshare") is None:
        lacks("unshare")
    feed = open_feed(LOCAL)
    feed.close()
    if not feed.exact:
        pytest.skip(f"no events here: {feed.tiers.maps.reason}")


def inside(constraint: list[str], *arguments: str) -> Any:
    """Run `ebpf-tui ARGUMENTS --json` in namespaces; return its answer beside what /proc in there says."""
    command = [*constraint, sys.executable, "-c", INSIDE, *CLI, *arguments, "--json"]
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    if "unshare failed" in made.stderr or "unrecognized option" in made.stderr:
        pytest.skip(made.stderr.strip())
    assert made.returncode == 0, made.stderr
    return json.loads(made.stdout)


def test_ps_in_a_child_pid_namespace_has_its_pids() -> None:
    told = inside(OWN_PROC, "ps")
    processes = {process["pid"]: process for process in told["answer"]["processes"]}
    seen = {int(pid): one for pid, one in told["seen"].items()}
    assert told["answer"]["tiers"]["step"] == "events+maps"
    assert set(seen) - set(processes) == set()
    for pid, one in seen.items():
        assert processes[pid]["ppid"] == one["ppid"]
        assert processes[pid]["origin"] == "snapshot"
    assert processes[told["child"]]["args"] == ["/bin/sleep", "60"]
    assert processes[1]["ppid"] == 0


def test_resolve_in_a_child_pid_namespace_asks_the_maps() -> None:
    answer = inside(OWN_PROC, "resolve", "1")["answer"]
    assert answer["source"] == "maps"
    assert (answer["entry"]["pid"], answer["entry"]["ppid"]) == (1, 0)


WATCHING = r"""
import json, os, subprocess, sys
watch = subprocess.Popen([*sys.argv[1:]], stdout=subprocess.PIPE, text=True)
lines = [json.loads(watch.stdout.readline())]
inner = subprocess.Popen(["/bin/true"])
inner.wait()
lines += [json.loads(line) for line in watch.stdout]
print(json.dumps({"pid": inner.pid, "own": os.getpid(), "lines": lines}))
"""


def test_events_of_a_child_pid_namespace_and_no_others() -> None:
    """While processes come and go outside, only those inside are told, by their pids in there."""
    outside = subprocess.Popen(["/bin/sh", "-c", "while :; do /bin/true; done"])
    try:
        command = [*OWN_PROC, sys.executable, "-c", WATCHING, *CLI, "watch", "--duration", "1.5", "--json"]
        made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    finally:
        outside.kill()
        outside.wait()
    told = json.loads(made.stdout)
    assert told["lines"][0]["event"] == "snapshot_done"
    mine = [line for line in told["lines"][1:] if line["pid"] == told["pid"]]
    assert [line["event"] for line in mine] == ["fork", "exec", "exit"]
    assert mine[0]["ppid"] == told["own"] == 1
    assert {line["pid"] for line in told["lines"][1:]} == {told["pid"]}


def test_a_child_pid_namespace_that_sees_the_hosts_proc() -> None:
    """/proc decides whose pids are meant: the host's, though the iterator shows only the own namespace."""
    command = ["unshare", "--pid", "--fork", *CLI, "ps", "--json"]
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    processes = {process["pid"]: process for process in json.loads(made.stdout)["processes"]}
    assert processes[os.getpid()]["ppid"] == os.getppid()
    assert all(process["source"] for process in processes.values())
    assert processes[os.getpid()]["source"] == "procfs"


@pytest.mark.parametrize("offset", ["1000000", "-50"])
def test_start_times_in_a_time_namespace_are_the_kernels(offset: str) -> None:
    told = inside(["unshare", "--time", "--boottime", offset, "--fork"], "ps")
    processes = {process["pid"]: process for process in told["answer"]["processes"]}
    compared = 0
    for pid, one in told["seen"].items():
        process = processes.get(int(pid))
        if process is not None:  # what /proc in there shows is the kernel's time and the offset
            started = process["start_ns"] // 10**7
            if one["ticks"] > 2**63 // 10**7:  # before the zero of the namespace's clock: a wrapped number
                shown = (one["ticks"] * 10**7 - 2**64) // 10**7 - int(offset) * 100
                assert abs(started - shown) <= 1
                continue
            assert started == one["ticks"] - int(offset) * 100
            compared += process["origin"] == "snapshot"
    assert compared


AGE = (
    "from core.sources.feed import open_feed\n"
    "from core.system.host import LOCAL\n"
    "print(open_feed(LOCAL).now_ns())"
)


@pytest.mark.parametrize("offset", ["1000000", "-50"])
def test_the_clock_in_a_time_namespace_is_the_kernels(offset: str) -> None:
    import time

    command = ["unshare", "--time", "--boottime", offset, "--fork", sys.executable, "-c", AGE]
    before = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if "unshare" in made.stderr:
        pytest.skip(made.stderr.strip())
    assert before < int(made.stdout) < time.clock_gettime_ns(time.CLOCK_BOOTTIME)
