"""The session on this host: frames come when something changes, and only then."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.model.entities import ProcessKey
from core.model.view import Find, Frame, ViewRequest
from core.probe.loader import ProbeOptions
from core.resolve.engine import Engine
from core.session.scheduler import ANSWER_NS
from core.session.session import Session, open_replay
from core.sources.feed import Feed, open_feed
from core.system.host import LOCAL
from core.text.units import age, percent
from core.tree import filter as filter_module
from tests.core.session.listener import Listener, row_of
from tests.places import SHOP


def story(frame: Frame) -> dict[str, str]:
    """What is explained, by label."""
    return {} if frame.explanation is None else dict(frame.explanation.story)


@pytest.fixture(params=[True, False], ids=["best tier", "procfs"])
def listener(request: pytest.FixtureRequest) -> Iterator[Listener]:
    made = Listener(probe=request.param)
    made.session.request(ViewRequest(height=100_000))
    made.session.start()
    made.wait(lambda frame: row_of(frame, os.getpid()) is not None)
    yield made
    made.session.stop()
    assert made.errors == []


def test_starting_and_stopping_shows(listener: Listener) -> None:
    child = subprocess.Popen(["/bin/sleep", "60"])
    started = listener.wait(lambda frame: "sleep 60" in getattr(row_of(frame, child.pid), "text", ""))
    row = row_of(started, child.pid)
    assert row is not None
    assert row.source == ("cache‹event" if listener.feed.exact else "procfs")
    assert row.ppid == os.getpid()
    child.kill()
    child.wait()
    listener.wait(lambda frame: (row := row_of(frame, child.pid)) is None or row.ended)


def test_a_process_is_explained_resolved_again_and_evicted(listener: Listener) -> None:
    row = row_of(listener.frames[-1], os.getpid())
    assert row is not None
    assert isinstance(row.key, ProcessKey)
    listener.session.explain(row.key)
    frame = listener.wait(lambda frame: frame.explanation is not None)
    assert frame.explanation is not None
    assert frame.explanation.resolution is not None
    assert frame.explanation.resolution.source == "cache"
    listener.wait(lambda frame: "none, checked" in story(frame).get("drift", ""))
    if not listener.feed.tiers.maps.on:
        return  # /proc was asked less than 30 s ago
    listener.session.resolve(os.getpid(), evict=True)
    frame = listener.wait(lambda frame: getattr(row_of(frame, os.getpid()), "source", "") == "maps")
    assert frame.explanation is not None
    assert frame.explanation.resolution is not None
    assert [step.tier for step in frame.explanation.resolution.trail] == ["cache", "maps"]
    listener.session.resolve(os.getpid())
    listener.wait(lambda frame: getattr(row_of(frame, os.getpid()), "source", "") == "cache‹maps")


def test_the_host_is_explained_with_what_it_uses(listener: Listener) -> None:
    listener.session.explain("host")
    listener.wait(lambda frame: frame.explanation is not None and any(frame.explanation.cpu_history))
    frame = listener.frames[-1]
    assert frame.explanation is not None
    assert frame.explanation.resolution is None
    host = next(row for row in frame.window.rows if row.key == "host")
    assert story(frame)["processes"] == str(host.count)
    assert story(frame)["cpu"].startswith(f"{percent(host.cpu_percent)} % now, ")
    assert len(frame.explanation.cpu_history) == 60
    listener.session.explain("no such container")
    listener.wait(lambda frame: frame.explanation is None)


def test_exec_and_fork_are_as_old_as_they_are(listener: Listener) -> None:
    child = subprocess.Popen(["/bin/sh", "-c", "read x; exec /bin/sleep 60"], stdin=subprocess.PIPE)
    frame = listener.wait(lambda frame: "exec /bin" in getattr(row_of(frame, child.pid), "text", ""))
    row = row_of(frame, child.pid)
    assert row is not None
    listener.session.explain(row.key)
    listener.wait(lambda frame: frame.header.now_ns > row.start_ns + 2_000_000_000)
    assert child.stdin is not None
    child.stdin.write(b"\n")
    child.stdin.close()
    frame = listener.wait(lambda frame: "execs" in story(frame))
    ago = age(frame.header.now_ns - row.start_ns)
    times = story(frame)["times"]
    assert times.startswith(f"forked {ago} ago, exec ")
    if listener.feed.exact:
        assert story(frame)["execs"].startswith("python")
        assert " › sh (2s) › sleep (" in story(frame)["execs"] or " › sh (" in story(frame)["execs"]
    else:
        assert times.endswith("exec time not known")
    child.kill()
    child.wait()


def test_a_pause_keeps_the_tree_and_loses_nothing(listener: Listener) -> None:
    listener.session.pause(True)
    listener.wait(lambda frame: frame.header.paused)
    child = subprocess.Popen(["/bin/sleep", "60"])
    time.sleep(1.5)
    listener.session.request(ViewRequest(height=99_999))
    assert row_of(listener.wait(lambda frame: True), child.pid) is None
    listener.session.pause(False)
    listener.wait(lambda frame: row_of(frame, child.pid) is not None)
    child.kill()
    child.wait()


def test_frames_are_no_more_than_ten_a_second_and_answers_come_at_once(listener: Listener) -> None:
    before = len(listener.frames)
    until = time.monotonic() + 1
    while time.monotonic() < until:
        subprocess.run(["/bin/true"], check=True)
    assert len(listener.frames) - before <= 12
    before = len(listener.frames)
    until = time.monotonic() + 1
    while time.monotonic() < until:
        listener.session.request(ViewRequest(height=10))
        time.sleep(0.001)
    assert 12 < len(listener.frames) - before <= 1_000_000_000 // ANSWER_NS + 2


def test_a_dead_collector_is_told() -> None:
    errors: list[BaseException] = []
    told = threading.Event()

    def fails() -> Engine:
        raise RuntimeError("no engine")

    session = Session(fails)

    def note(error: BaseException) -> None:
        errors.append(error)
        told.set()

    session.subscribe(lambda frame: None, note)
    session.start()
    assert told.wait(5)
    assert str(errors[0]) == "no engine"
    session.stop()


def test_a_reload_keeps_the_tree(tmp_path: Path) -> None:
    listener = Listener()
    listener.session.request(ViewRequest(height=100_000))
    listener.session.start()
    try:
        listener.wait(lambda frame: row_of(frame, os.getpid()) is not None)
        if not listener.feed.tiers.maps.on:
            pytest.skip("the probe cannot be loaded here")
        child = subprocess.Popen(["/bin/sleep", "60"])
        listener.wait(lambda frame: "sleep 60" in getattr(row_of(frame, child.pid), "text", ""))
        before = listener.feed
        after: list[Feed] = []

        def opener(running: Feed) -> Feed:
            assert running is before
            after.append(open_feed(LOCAL, need_maps=True, after=running))
            return after[0]

        listener.session.reload(opener)
        frame = listener.wait(lambda frame: "reloaded" in frame.header.message)
        row = row_of(frame, child.pid)
        assert row is not None
        assert row.source == "cache‹event"
        # What is known of the host goes on: the engine's own /proc and names, not others made for nothing.
        assert (after[0].procfs, after[0].names) == (before.procfs, before.names)
        assert after[0].maps is not before.maps
        child.kill()
        child.wait()
        listener.wait(lambda frame: (row := row_of(frame, child.pid)) is None or row.ended)
        broken = tmp_path / "broken.o"
        broken.write_bytes(b"not an object")
        options = ProbeOptions(object_file=broken)
        listener.session.reload(lambda _: open_feed(LOCAL, need_maps=True, options=options))
        frame = listener.wait(lambda frame: "not reloaded" in frame.header.message)
        assert frame.header.tiers.maps.on
    finally:
        listener.session.stop()
    assert listener.errors == []


def test_a_process_that_ended_is_there_again_in_the_past(listener: Listener) -> None:
    session = listener.session
    child = subprocess.Popen(["/bin/sleep", "77"])
    frame = listener.wait(lambda frame: "sleep 77" in getattr(row_of(frame, child.pid), "text", ""))
    row = row_of(frame, child.pid)
    assert row is not None
    listener.wait(lambda frame: frame.header.now_ns > row.start_ns + 2_500_000_000)  # more than a step
    child.kill()
    child.wait()
    gone = listener.wait(lambda frame: row_of(frame, child.pid) is None)  # history is over, too
    session.explain(row.key if isinstance(row.key, ProcessKey) else None)
    for _ in range(40):
        session.step(-1_000_000_000)
        gone = frame = listener.wait(
            lambda frame, last=gone: frame.revision > last.revision and frame.header.past.rewound  # type: ignore[misc]
        )
        again = row_of(frame, child.pid)
        if again is not None and not again.ended and "sleep 77" in again.text:
            break
    else:
        raise AssertionError("it did not come back")
    assert again.key == row.key
    assert frame.header.paused
    assert frame.header.now_ns < listener.feed.now_ns() - 4_000_000_000
    assert frame.header.past.behind_ns > 4_000_000_000
    assert 0 < frame.header.past.kept_bytes < frame.header.past.limit_bytes
    assert frame.explanation is not None
    assert frame.explanation.key == row.key
    ago = age(frame.header.now_ns - row.start_ns)  # as of that moment, like the AGE column
    assert dict(frame.explanation.story)["times"].startswith(f"forked {ago} ago, ")
    assert "exited" not in dict(frame.explanation.story)["times"]
    assert ("args", "/bin/sleep 77") in frame.explanation.facts
    later = subprocess.Popen(["/bin/sleep", "78"])
    for _ in range(100):  # through everything that has happened meanwhile, to live
        session.step(1_000_000_000)
        frame = listener.wait(lambda frame, last=frame: frame.revision > last.revision)  # type: ignore[misc]
        if not frame.header.paused:
            break
    assert not frame.header.paused
    listener.wait(lambda frame: "sleep 78" in getattr(row_of(frame, later.pid), "text", ""))
    assert row_of(listener.frames[-1], child.pid) is None
    later.kill()
    later.wait()


@pytest.mark.parametrize(
    "text", ["!" * 1000 + "x", "!" * 5000, "pid:" + "9" * 100_000, '"' * 999, "²" * 2000]
)
def test_no_filter_ends_the_collector(text: str) -> None:
    shown = Listener.on(open_replay(SHOP, 100.0))
    shown.session.request(ViewRequest(height=10))
    shown.session.start()
    try:
        shown.wait(lambda frame: bool(frame.window.rows))
        shown.session.request(ViewRequest(height=10, filter=text, find=Find(text)))
        shown.wait(lambda frame: frame.window.request.filter == text)
    finally:
        shown.session.stop()
    assert shown.errors == []


def test_a_view_that_cannot_be_made_costs_only_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """No filter is known that does: so a word of the language is broken here."""

    def broken(value: str) -> object:
        raise RecursionError(value)

    monkeypatch.setitem(filter_module._FIELDS, "pod", broken)
    shown = Listener.on(open_replay(SHOP, 100.0))
    shown.session.request(ViewRequest(height=10, filter="pod:x"))
    shown.session.start()
    try:
        refused = shown.wait(lambda frame: "this view failed" in frame.window.problem)
        assert refused.window.request.filter == "pod:x"
        shown.session.request(ViewRequest(height=10))
        shown.wait(lambda frame: frame.window.request.filter == "" and not frame.window.problem)
    finally:
        shown.session.stop()
    assert shown.errors == []
