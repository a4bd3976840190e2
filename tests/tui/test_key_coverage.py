"""Every command of the registry, pressed by each of its keys on each screen where it is live."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from textual.app import App
from textual.pilot import Pilot

from tests.needs import lacks
from tests.tui.fixture_engine import FixtureEngine
from tests.tui.harness import opened, press, settle, text
from tui.app import EbpfApp
from tui.keymap import COMMANDS, SCOPES, Command
from tui.screens.base_screen import BaseScreen
from tui.screens.help import HelpScreen

ENDS = ("app.quit", "app.interrupt")
PLACES = {
    "processes": (),
    "build": ("2",),
    "headers": ("3",),
    "objects": ("4",),
    "resolver": ("5",),
    "filter": ("slash",),
    "search": ("ctrl+f",),
}
"""Where keys go, and the keys that lead there from the first screen."""


class Pressed:
    """Which actions the app was asked to run, and whether it knew them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.actions: list[tuple[str, bool]] = []
        run_action = App.run_action

        async def noted(app: App[None], action: str, *args: object, **kwargs: object) -> bool:
            known = await run_action(app, action, *args, **kwargs)  # type: ignore[arg-type]
            self.actions.append((str(action), known))
            return known

        monkeypatch.setattr(App, "run_action", noted)


@pytest.fixture
def pressed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Pressed:
    """In an empty directory, so that a build has only the program's own probe to build."""
    if shutil.which("clang") is None:
        lacks("clang")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return Pressed(monkeypatch)


async def go(pilot: Pilot[None], place: str) -> None:
    """Go there as if nothing had been pressed before."""
    while len(pilot.app.screen_stack) > 1:
        pilot.app.pop_screen()
    pilot.app.clear_notifications()
    await settle(pilot)
    await press(pilot, "escape", "1", *PLACES[place])


def live(pilot: Pilot[None]) -> list[Command]:
    assert isinstance(pilot.app, EbpfApp)
    assert isinstance(pilot.app.screen, BaseScreen)
    return pilot.app.commands(pilot.app.screen.live_scopes())


@pytest.mark.parametrize("place", PLACES)
async def test_every_command_on_every_screen_where_it_is_live(place: str, pressed: Pressed) -> None:
    async with opened(FixtureEngine(), size=(100, 24), live=True) as pilot:  # a handler's error is raised
        await go(pilot, place)
        for command in live(pilot):
            for key in command.keys.split(",") if command.id not in ENDS else ():
                await go(pilot, place)
                pressed.actions.clear()
                await press(pilot, key)
                assert (command.action, True) in pressed.actions, (command.id, key, pressed.actions)


@pytest.mark.parametrize("place", PLACES)
async def test_the_commands_that_end_it_everywhere(place: str, pressed: Pressed) -> None:
    for command in COMMANDS:
        if command.id in ENDS and (command.priority or place not in ("filter", "search")):
            async with opened(FixtureEngine(), size=(100, 24), live=True) as pilot:
                await go(pilot, place)
                pressed.actions.clear()
                await pilot.press(command.keys)
                await pilot.pause()
                assert (command.action, True) in pressed.actions


async def test_no_command_is_live_nowhere(pressed: Pressed) -> None:
    found = set()
    async with opened(FixtureEngine(), size=(100, 24), live=True) as pilot:
        for place in PLACES:
            await go(pilot, place)
            found |= {command.id for command in live(pilot)}
    assert found == {command.id for command in COMMANDS}


@pytest.mark.parametrize("place", ["processes", "build", "headers", "objects", "resolver"])
async def test_help_lists_the_live_keys_those_of_the_focused_widget_first(place: str) -> None:
    async with opened(size=(100, 100)) as pilot:
        await go(pilot, place)
        room = pilot.app.screen
        assert isinstance(room, BaseScreen)
        focused = getattr(room.focused, "SCOPES", ())
        assert focused
        assert room.live_scopes()[: len(focused)] == focused
        commands = live(pilot)
        await press(pilot, "question_mark")
        assert isinstance(pilot.app.screen, HelpScreen)
        shown = text(pilot)
        headings = [SCOPES[scope] for scope in dict.fromkeys(command.scope for command in commands)]
        places = [shown.index(f"  {heading} ") for heading in headings]
        assert places == sorted(places)
        assert not [command.id for command in commands if command.help not in shown]
        dead = [command.help for command in COMMANDS if command not in commands]
        assert not [words for words in dead if words in shown and words not in str(commands)]


async def test_what_a_handler_raises_fails_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """The coverage above rests on it."""

    def broken(self: EbpfApp) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(EbpfApp, "action_reload", broken)
    with pytest.raises(ZeroDivisionError):
        async with opened(live=True) as pilot:
            await press(pilot, "L")
