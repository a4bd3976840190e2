"""Without colours, or with sixteen, what is chosen is in reverse video: lists, menus, the palette."""

from __future__ import annotations

import pytest
from rich.segment import Segment
from textual.pilot import Pilot

from tests.tui.harness import opened, press, settle
from tests.tui.pictures import PICTURES
from tui.settings import Settings
from tui.terminal.kind import COLOR_SYSTEM

HOW = {"no colour": ("NO_COLOR", "1"), "few colours": (COLOR_SYSTEM, "standard")}


def segments(pilot: Pilot[None]) -> list[Segment]:
    return [segment for strip in pilot.app.screen._compositor.render_strips() for segment in strip]


def reversed_text(pilot: Pilot[None]) -> str:
    return "".join(text for text, style, _ in segments(pilot) if style and style.reverse)


@pytest.mark.parametrize("name", ["processes", "parents", "build", "resolver", "pods", "rewind"])
@pytest.mark.parametrize("how", HOW)
async def test_the_cursor(how: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(*HOW[how])
    async with PICTURES[name].app().run_test(size=(100, 30), notifications=True) as pilot:
        await PICTURES[name].prepare(pilot)
        assert len(reversed_text(pilot)) >= 98


@pytest.mark.parametrize(
    ("keys", "chosen"),
    [
        (["s"], "birth"),
        (["C"], "pid"),
        (["C", "down"], "user"),
        (["end", "f9"], "TERM"),
        (["colon", *"quit", "down"], "Quit"),
    ],
)
@pytest.mark.parametrize("how", HOW)
async def test_the_choice_in_a_menu(
    how: str, keys: list[str], chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(*HOW[how])
    async with opened(size=(100, 30), settings=Settings(allow_signals=True), live=True) as pilot:
        await press(pilot, *keys[:1])
        was = reversed_text(pilot)
        await press(pilot, *keys[1:])
        await pilot.app.workers.wait_for_complete()
        await settle(pilot)
        assert chosen in reversed_text(pilot), was


@pytest.mark.parametrize("name", PICTURES)
async def test_no_colour_is_none(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    async with PICTURES[name].app().run_test(size=(100, 30), notifications=True) as pilot:
        await PICTURES[name].prepare(pilot)
        styles = {style for _, style, _ in segments(pilot) if style is not None}
        assert {color for style in styles for color in (style.color, style.bgcolor) if color} <= {
            color for color in (style.color for style in styles) if color and color.is_default
        }
