"""Following events: who is applied, who is moved, and when it ends."""

from __future__ import annotations

import os
import subprocess
import time

import pytest

from core.model.events import Event, Exit, Fork
from core.model.view import ViewRequest
from core.resolve.engine import Engine
from core.resolve.follow import follow
from core.resolve.process_cache import Process
from core.session.commands import MAX_WAITING, CommandQueue, ExplainRow, ResolveAgain, ShowRows
from core.sources.feed import open_feed
from core.system.host import LOCAL

ORPHAN = "import os, time\nif os.fork() == 0:\n    time.sleep(5)\n"


@pytest.fixture
def engine() -> object:
    feed = open_feed(LOCAL)
    if not feed.exact:
        feed.close()
        pytest.skip(f"no events here: {feed.tiers.maps.reason}")
    engine = Engine(feed)
    engine.start()
    yield engine
    feed.close()


def test_children_are_moved_when_their_parent_has_exited_without_a_sweep(engine: Engine) -> None:
    seen: list[Event] = []

    def note(event: Event, _process: Process | None) -> None:
        seen.append(event)

    subprocess.run(["python3", "-c", ORPHAN], check=True)
    for _ in follow(engine, duration_s=1, on_event=note):
        pass
    exits = {event.pid for event in seen if isinstance(event, Exit)}
    orphans = [event.pid for event in seen if isinstance(event, Fork) and event.ppid in exits]
    alive = [process for pid in orphans if (process := engine.cache.get(pid)) and process.exited_ns is None]
    assert alive, "the orphan is still there"
    for process in alive:
        with open(f"/proc/{process.entry.pid}/stat", "rb") as file:
            ppid = int(file.read().rpartition(b")")[2].split()[1])
        assert process.entry.ppid == ppid


def test_who_waits_to_be_moved_is_forgotten_again(engine: Engine) -> None:
    for _ in range(5):
        subprocess.run(["/bin/sh", "-c", "/bin/sleep 0.05 & exit 0"], check=True)
    for _ in follow(engine, duration_s=0.5):
        pass
    engine.pump()
    assert engine._leaving == []


def test_it_ends_by_itself(engine: Engine) -> None:
    began = time.monotonic()
    turns = sum(1 for _ in follow(engine, duration_s=0.2))
    assert turns >= 1
    assert time.monotonic() - began >= 0.2


def test_no_command_is_lost_unseen() -> None:
    woken: list[int] = []
    queue = CommandQueue(lambda: woken.append(1))
    for pid in range(MAX_WAITING + 5):
        queue.put(ResolveAgain(pid))
    commands, refused = queue.take()
    assert [command.pid for command in commands if isinstance(command, ResolveAgain)] == list(
        range(MAX_WAITING)
    )
    assert refused == 5
    assert len(woken) == MAX_WAITING + 5
    assert queue.take() == ([], 0)


def test_only_the_latest_window_waits_and_order_is_kept() -> None:
    queue = CommandQueue(lambda: None)
    queue.put(ShowRows(ViewRequest(height=1)))
    queue.put(ShowRows(ViewRequest(height=2)))
    queue.put(ExplainRow(None))
    queue.put(ResolveAgain(os.getpid()))
    queue.put(ShowRows(ViewRequest(height=3)))
    commands, _ = queue.take()
    assert commands == [
        ShowRows(ViewRequest(height=2)),
        ExplainRow(None),
        ResolveAgain(os.getpid()),
        ShowRows(ViewRequest(height=3)),
    ]
