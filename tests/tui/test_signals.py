"""Signals from the screen: to real processes, and only to the ones that were meant."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator

import pytest
from textual.pilot import Pilot

from core.model.view import ProcessView
from core.sources.procfs import Procfs
from core.system.host import LOCAL
from tests.tui.fixture_engine import NOW, FixtureEngine, process
from tests.tui.harness import go_to, opened, press, text, tree, words
from tui.screens.signal_menu import SignalMenu
from tui.settings import Settings

ALLOWED = Settings(allow_signals=True)


@pytest.fixture
def sleepers() -> Iterator[list[subprocess.Popen[bytes]]]:
    started = [subprocess.Popen(["sleep", "60"]) for _ in range(3)]
    yield started
    for sleeper in started:
        sleeper.kill()
        sleeper.wait()


def view(sleeper: subprocess.Popen[bytes], off_ns: int = 0) -> ProcessView:
    """The process as it is, or with another start time."""
    start_ns = Procfs(LOCAL).stat(sleeper.pid).start_ns + off_ns
    return process(sleeper.pid, 0, "sleep 60", age=NOW - start_ns)


async def choose(pilot: Pilot[None], *keys: str) -> None:
    await press(pilot, "f9")
    assert isinstance(pilot.app.screen, SignalMenu)
    await press(pilot, *keys)


async def test_the_process_under_the_cursor_gets_it(sleepers: list[subprocess.Popen[bytes]]) -> None:
    target, bystander, _ = sleepers
    async with opened(FixtureEngine([view(s) for s in sleepers]), settings=ALLOWED, live=True) as pilot:
        await go_to(pilot, target.pid)
        await choose(pilot, "escape")
        assert target.poll() is None
        await choose(pilot, "enter")
        assert target.wait(5) == -signal.SIGTERM
        assert f"SIGTERM to {target.pid}: sent" in text(pilot)
        assert bystander.poll() is None


async def test_tagged_processes_get_it_and_those_that_are_gone_are_told(
    sleepers: list[subprocess.Popen[bytes]],
) -> None:
    gone, left, tagged = sleepers
    async with opened(FixtureEngine([view(s) for s in sleepers]), settings=ALLOWED, live=True) as pilot:
        for target in (gone, tagged):
            await go_to(pilot, target.pid)
            await press(pilot, "v")
        gone.kill()
        gone.wait()
        await go_to(pilot, left.pid)
        await press(pilot, "K")
        assert "signal to 2 tagged" in text(pilot)
        await press(pilot, "down", "down", "down", "down", "enter")
        assert tagged.wait(5) == -signal.SIGKILL
        assert left.poll() is None
        assert f"SIGKILL to {gone.pid}: not sent, the process has ended" in words(pilot)


async def test_a_pid_that_somebody_else_has_now_gets_nothing(
    sleepers: list[subprocess.Popen[bytes]],
) -> None:
    before = view(sleepers[0], off_ns=-5_000_000_000)
    async with opened(FixtureEngine([before]), settings=ALLOWED, live=True) as pilot:
        await go_to(pilot, sleepers[0].pid)
        await choose(pilot, "enter")
        assert "belongs to another process now" in words(pilot)
        assert sleepers[0].poll() is None


async def test_neither_groups_nor_recordings_get_signals(sleepers: list[subprocess.Popen[bytes]]) -> None:
    async with opened(settings=ALLOWED, live=True) as pilot:
        assert tree(pilot).cursor_row is not None
        await press(pilot, "f9")
        assert "No process selected" in text(pilot)
    async with opened(FixtureEngine([view(sleepers[0])]), settings=ALLOWED) as pilot:
        await go_to(pilot, sleepers[0].pid)
        await press(pilot, "f9")
        assert "Signals need a live host: this is a recording" in words(pilot)
