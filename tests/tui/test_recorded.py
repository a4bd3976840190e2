"""The recording that the pictures are of: every later version reads it, and it tells of its host alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from core.model.events import Exec, Exit, Fork
from core.sources.recording.file import End, Events, Head, Named, User, read
from tests.places import ROOT, SHOP
from tests.tui.harness import lines, settle
from tests.tui.pictures import find, play
from tests.tui.recorded import SECOND, ReplayInStep
from tui.app import EbpfApp
from tui.settings import Settings


@pytest.fixture(scope="module")
def shown() -> dict[str, Any]:
    """What `ebpf-tui replay --json` says, in a time zone and a home that are not those of the recording."""
    environment = {**os.environ, "TZ": "Asia/Tokyo", "HOME": "/nonexistent", "LC_ALL": "C"}
    command = [sys.executable, "-m", "tui.cli.main", "replay", str(SHOP), "--json"]
    answer: dict[str, Any] = json.loads(subprocess.check_output(command, cwd=ROOT, env=environment))
    return answer


def processes(shown: dict[str, Any], text: str) -> list[dict[str, Any]]:
    """The processes that run at the end with `text` in their command line, the oldest first."""
    found = [one for one in shown["processes"] if text in " ".join(one["args"]) and not one.get("ended")]
    return sorted(found, key=lambda one: int(one["pid"]))


def test_it_is_of_format_1_and_whole() -> None:
    head, *messages = read(SHOP)
    assert isinstance(head, Head)
    assert (head.format, head.host.hostname, head.host.arch) == (1, "shop-1", "amd64")
    assert (head.tiers.step, head.exact) == ("events+maps", True)
    assert isinstance(messages[-1], End)
    assert 59 < (messages[-1].ts_ns - head.ts_ns) / 1e9 < 65
    kinds = {type(event) for message in messages if isinstance(message, Events) for event in message.events}
    assert kinds >= {Fork, Exec, Exit}


def test_its_processes_are_who_they_were(shown: dict[str, Any]) -> None:
    assert (shown["schema"], shown["processes"][0]["pid"]) == ("ebpf-tui/replay/1", 1)
    (gateway,) = processes(shown, "/srv/gateway/gateway")
    workers = processes(shown, "/srv/gateway/worker")
    assert [worker["ppid"] for worker in workers] == [gateway["pid"]] * 3
    assert {one["user"] for one in (gateway, *workers)} == {"www-data"}
    assert gateway["args"][-1] == "--db-password=********"
    (shell,) = processes(shown, "-bash")
    (editor,) = processes(shown, "vim main.c")
    assert (editor["ppid"], editor["user"], editor["tty"]) == (shell["pid"], "deploy", "pts/0")
    (hostile,) = processes(shown, "gpj.exe")
    assert "\x1b" not in json.dumps(hostile, ensure_ascii=False)
    assert [one["state"] for one in shown["processes"] if one["ppid"] == hostile["pid"]] == ["Z"]
    _, busy = processes(shown, "gzip -9")  # and the shell that started it
    assert busy["cpu_ns"] > 20 * SECOND


def test_its_containers_have_the_names_that_their_runtimes_gave_them() -> None:
    named = [message.container for message in read(SHOP) if isinstance(message, Named)]
    facts = {one.name: (one.runtime, one.pod, one.image) for one in named}
    image = "registry.local/shop:4.2"
    assert facts == {
        "web": ("docker", None, image),
        "thumbnails": ("docker", None, image),
        "orders": ("containerd", "orders-6c9d", image),
        "metrics": ("containerd", "orders-6c9d", image),
        "nightly-report": ("unknown", None, None),
    }


def test_nothing_of_the_machine_that_recorded_is_in_it() -> None:
    """No host's name, no user, no path of a checkout: whoever makes it anew reads more than this."""
    users = {"root", "www-data", "deploy", "orders"}
    told = b"\n".join(repr(message).encode() for message in read(SHOP))
    assert {message.name for message in read(SHOP) if isinstance(message, User)} == users
    for word in (b"hunter2", b"s3cr3t", b"/work/", b"/root", b".venv", b"pyenv", b"/tmp/ebpf"):
        assert word not in told


async def test_a_process_has_the_images_that_it_has_had() -> None:
    engine = ReplayInStep()
    app = EbpfApp(engine, Settings())
    async with app.run_test(size=(120, 40)) as pilot:
        await play(pilot, 38)
        await find(pilot, lambda row: "busybox nc" in row.text)
        await pilot.press("enter")
        await settle(pilot)
        shown = " ".join(" ".join(lines(pilot)).split())
        frame = app.frame
    assert "bash (fork) › sh (2s) › wait-for-db (2s) ›" in shown
    # How long this machine took to answer is not what the recorded host took.
    assert frame is not None
    assert frame.explanation is not None
    assert frame.explanation.resolution is not None
    assert [step.ns for step in frame.explanation.resolution.trail] == [0]
    assert frame.latency == ()
