"""`--read-only`: what would change the host is refused with a word, and offered nowhere."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.places import ROOT
from tests.tui.harness import engine, lines, opened, press, words
from tui import read_only
from tui.app import EbpfApp
from tui.keymap import CHANGES, COMMANDS, Command
from tui.screens.build import BuildScreen
from tui.screens.headers import HeadersScreen
from tui.screens.objects import ObjectsScreen
from tui.screens.processes import ProcessesScreen
from tui.settings import Settings
from tui.widgets.cursor_pane import CursorPane
from tui.widgets.filter_line import FilterInput
from tui.widgets.search_line import SearchInput
from tui.widgets.tree_view import TreeView

ROOMS = {"everywhere": "1", "processes": "1", "build": "2", "objects": "4"}


@pytest.mark.parametrize("name", sorted(CHANGES))
async def test_a_command_that_changes_something_is_refused(name: str) -> None:
    (command,) = [one for one in COMMANDS if one.id == name]
    settings = Settings(read_only=True, allow_signals=True)
    async with opened(settings=settings, live=True, size=(160, 40)) as pilot:
        await press(pilot, ROOMS[command.scope])
        await pilot.app.workers.wait_for_complete()
        await press(pilot, command.keys.split(",")[0])
        assert "Read-only: " in words(pilot)
        assert len(pilot.app.screen_stack) == 1
        assert engine(pilot).reloads == 0
        assert f" {command.first_key} {command.title} " not in lines(pilot)[-1]


async def test_without_it_the_same_keys_work() -> None:
    async with opened(live=True, size=(160, 40)) as pilot:
        await press(pilot, "L")
        assert engine(pilot).reloads == 1
        await press(pilot, "2")
        assert " B Build all " in lines(pilot)[-1]


@pytest.mark.parametrize(
    "args", [["--allow-signals"], ["build"], ["verify", "x.o"], ["record", "x"], ["probe", "reload"]]
)
def test_what_contradicts_it_is_one_line(args: list[str], tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "tui.cli.main", "--read-only", *args],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
        cwd=ROOT,
    )  # fmt: skip
    assert ran.returncode == 2
    assert "--read-only cannot be combined with " in ran.stderr
    assert len(ran.stderr.splitlines()) == 1


PLACES = {
    "everywhere": EbpfApp,
    "list": CursorPane,
    "tree": TreeView,
    "processes": ProcessesScreen,
    "build": BuildScreen,
    "headers": HeadersScreen,
    "objects": ObjectsScreen,
    "filter": FilterInput,
    "search": SearchInput,
}


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.id)
def test_the_registry_says_of_every_command_whether_it_changes_something(command: Command) -> None:
    """What the registry says and what the action does: refused there, and guarded here, or neither."""
    action = getattr(PLACES[command.scope], "action_" + command.action.partition("(")[0])
    is_guarded = action.__code__.co_filename == read_only.__file__
    assert is_guarded is (command.effect == "changes")
    assert (command.id in CHANGES) is is_guarded
