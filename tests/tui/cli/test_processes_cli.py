"""`ps`, `resolve` and `watch` as other programs see them: JSON compared with /proc read by hand."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.sources.feed import open_feed
from core.system.host import LOCAL
from tests.places import ROOT
from tests.world import look, look_at_all

MANY = 2000


def run(*arguments: str, check: bool = True, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tui.cli.main", *arguments]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=check, timeout=60, **options
    )


def as_json(*arguments: str, check: bool = True) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(run(*arguments, check=check).stdout)
    return answer


@pytest.fixture(scope="module")
def maps_on() -> bool:
    feed = open_feed(LOCAL)
    try:
        return feed.tiers.maps.on
    finally:
        feed.close()


@pytest.fixture
def needs_maps(maps_on: bool) -> None:
    if not maps_on:
        pytest.skip("the probe cannot be loaded here")


@pytest.fixture(scope="module")
def many() -> Iterator[set[int]]:
    """2,000 more processes, with arguments that are hard to get right."""
    code = (
        "import os, sys\nos.setsid()\nfor n in range(int(sys.argv[1])):\n"
        "  if os.fork() == 0: os.execv('/bin/sleep', [b'sle\\xffep %d' % n, b'300', b'0', b'0.%d' % n])\n"
        "print('ready', flush=True)\nsys.stdin.read()"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code, str(MANY)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert parent.stdout is not None
    parent.stdout.readline()
    children = [pid for pid, seen in look_at_all().items() if seen.ppid == parent.pid]
    while not all((seen := look(pid)) and seen.comm == b"sleep" for pid in children):
        time.sleep(0.1)
    assert len(children) == MANY
    yield set(children)
    os.killpg(parent.pid, signal.SIGKILL)
    parent.wait()


def exact(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


@pytest.mark.parametrize("options", [[], ["--no-probe"]], ids=["best tier", "procfs"])
def test_ps_is_proc_with_2000_more_processes(many: set[int], options: list[str]) -> None:
    before = look_at_all()
    answer = as_json(*options, "ps", "--json")
    after = look_at_all()
    listed = {process["pid"]: process for process in answer["processes"]}
    stable = {pid for pid in before if before[pid] == after.get(pid)}
    assert many <= stable
    assert stable <= listed.keys()
    for pid in stable:
        process, seen = listed[pid], before[pid]
        assert process["ppid"] == seen.ppid, pid
        if seen.state == "Z":
            continue
        if not seen.comm.startswith(b"kworker"):  # renamed with every piece of work
            assert exact(process["comm"]) == seen.comm, pid
        assert exact(process["exe"]) == seen.exe, pid
        args = seen.cmdline.removesuffix(b"\0").split(b"\0") if seen.cmdline else []
        assert [exact(arg) for arg in process["args"]] == args, pid


def test_ps_tells_host_tiers_and_statistics(maps_on: bool) -> None:
    answer = as_json("ps", "--json")
    assert answer["schema"] == "ebpf-tui/ps/1"
    assert answer["host"]["kernel"] == os.uname().release
    assert answer["tiers"]["maps"]["on"] is maps_on
    assert answer["tiers"]["procfs"]["on"]
    assert set(answer["stats"]["hits"]) == {"cache", "maps", "procfs"}
    assert {process["source"] for process in answer["processes"]} <= {"cache", "maps", "procfs"}
    mine = next(process for process in answer["processes"] if process["pid"] == os.getpid())
    assert mine["source"] == ("cache" if maps_on else "procfs")
    assert mine["origin"] == ("snapshot" if maps_on else "procfs")


def test_without_the_probe_the_reason_is_told() -> None:
    answer = as_json("--no-probe", "ps", "--json")
    assert answer["tiers"]["maps"] == {"on": False, "reason": "switched off (--no-probe)"}
    assert answer["tiers"]["step"].startswith("procfs")


def test_resolve_asks_the_maps_first(needs_maps: None) -> None:
    answer = as_json("resolve", str(os.getpid()), "--json")
    assert answer["source"] == "maps"
    assert [(step["tier"], step["outcome"]) for step in answer["trail"]] == [
        ("cache", "miss"),
        ("maps", "hit"),
    ]
    assert exact(answer["entry"]["exe"]) == os.fsencode(os.readlink("/proc/self/exe"))
    assert answer["entry"]["ppid"] == os.getppid()


def test_resolve_without_maps_asks_proc() -> None:
    answer = as_json("resolve", str(os.getpid()), "--no-maps", "--json")
    assert answer["source"] == "procfs"
    assert [step["outcome"] for step in answer["trail"]] == ["miss", "skipped", "hit"]
    assert answer["trail"][-1]["ns"] > 0


def test_resolve_from_the_cache_alone_is_a_miss_that_says_so() -> None:
    done = run("resolve", str(os.getpid()), "--no-maps", "--no-procfs", "--json", check=False)
    assert done.returncode == 1
    answer = json.loads(done.stdout)
    assert (answer["source"], answer["entry"]) == (None, None)
    assert [step["outcome"] for step in answer["trail"]] == ["miss", "skipped", "skipped"]


@pytest.mark.parametrize("pid", ["0", "2", "4194304"])
def test_resolve_misses_have_reasons(pid: str) -> None:
    if pid == "2" and not Path("/proc/2").exists():
        pytest.skip("no kernel threads in this pid namespace")
    done = run("resolve", pid, "--json", check=False)
    assert done.returncode == 1
    answer = json.loads(done.stdout)
    assert answer["source"] is None
    assert all(step["reason"] for step in answer["trail"])


def test_resolve_refuses_what_is_no_pid() -> None:
    assert run("resolve", "one", check=False).returncode == 2


def test_watch_tells_the_life_of_a_process(needs_maps: None) -> None:
    watcher = subprocess.Popen(
        [sys.executable, "-m", "tui.cli.main", "watch", "--json", "--duration", "20"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert watcher.stdout is not None
    try:
        assert json.loads(watcher.stdout.readline())["event"] == "snapshot_done"
        child = subprocess.Popen(["/bin/sh", "-c", "exit 3", "\udcff"])
        child.wait()
        told = []
        for line in watcher.stdout:
            event = json.loads(line)
            if event.get("pid") == child.pid:
                told.append(event)
                if event["event"] == "exit":
                    break
    finally:
        watcher.terminate()
        assert watcher.wait() == 143
    assert [event["event"] for event in told] == ["fork", "exec", "exit"]
    assert all(event["schema"] == "ebpf-tui/watch/1" for event in told)
    assert told[0]["ppid"] == os.getpid()
    assert [exact(arg) for arg in told[1]["args"]] == [b"/bin/sh", b"-c", b"exit 3", b"\xff"]
    assert told[2]["args"] == told[1]["args"]
    assert len({event["start_ns"] for event in told}) == 1


def test_watch_without_the_probe_is_not_permitted() -> None:
    done = run("--no-probe", "watch", "--duration", "1", check=False)
    assert done.returncode == 3
    assert "`watch` needs the probe" in done.stderr
    assert done.stdout == ""


def test_the_table_is_plain_text() -> None:
    lines = run("ps").stdout.splitlines()
    assert lines[0].split() == ["SOURCE", "PID", "PPID", "USER", "S", "CONTAINER", "COMMAND"]
    assert any(line.split()[1] == str(os.getpid()) for line in lines[1:])


@pytest.mark.parametrize("arguments", [["ps"], ["audit"], ["record", "file"]])
def test_a_root_without_proc_is_one_line(tmp_path: Path, arguments: list[str]) -> None:
    words = [str(tmp_path / word) if word == "file" else word for word in arguments]
    done = run("--host-root", str(tmp_path), *words, check=False)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "cannot read processes" in done.stderr
