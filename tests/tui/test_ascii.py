"""`--ascii`: whatever is on the screen, it is ASCII, and no line is shorter or longer for it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from textual.pilot import Pilot

from tests.tui.fixture_engine import FixtureEngine, process
from tests.tui.harness import lines, opened, press, settle, text
from tests.tui.pictures import PICTURES
from tui.app import EbpfApp
from tui.config import Config
from tui.settings import Settings
from tui.widgets.ascii import EQUALS, in_ascii
from tui.widgets.lines import width_of


async def shown(name: str, config: Config, size: tuple[int, int] = (100, 30)) -> list[str]:
    picture = replace(PICTURES[name], config=config)
    async with picture.app().run_test(size=size, notifications=True) as pilot:
        await picture.prepare(pilot)
        return lines(pilot)


@pytest.mark.parametrize("name", [name for name in PICTURES if name != "ascii"])
async def test_every_picture_in_ascii(name: str) -> None:
    config = PICTURES[name].config
    drawn = "".join(await shown(name, config))
    assert {char for char in drawn if not char.isascii()} <= set(EQUALS)
    found = await shown(name, replace(config, ascii=True))
    assert [line for line in found if not line.isascii()] == []
    assert {len(line) for line in found} == {100}


@pytest.mark.parametrize("keys", [["colon"], ["L"], ["slash", *"src:x"], ["n"], ["ctrl+f", *"zzz"]])
async def test_palette_toasts_and_prompts(keys: list[str]) -> None:
    async with opened(size=(100, 30), settings=Settings(ascii=True)) as pilot:
        await press(pilot, *keys)
        await pilot.app.workers.wait_for_complete()
        await settle(pilot)
        assert text(pilot).isascii(), [line for line in lines(pilot) if not line.isascii()]


async def test_letters_from_outside_become_a_question_mark_for_each_cell() -> None:
    host = FixtureEngine([process(1, 0, "/bin/\u65e5\u672c"), process(2, 1, "/bin/caf\u00e9 e\u0301")])

    async def names(pilot: Pilot[None]) -> list[str]:
        await settle(pilot)
        assert {width_of(line) for line in lines(pilot)} == {100}
        return lines(pilot)

    async with opened(host) as pilot:
        assert "\u65e5\u672c" in "".join(await names(pilot))
    async with opened(host, settings=Settings(ascii=True)) as pilot:
        found = "".join(await names(pilot))
        assert found.isascii()
        assert "????" in found
        assert "caf?" in found


def test_every_equal_is_as_wide() -> None:
    assert all(width_of(char) == len(to) and to.isascii() for char, to in EQUALS.items())
    assert in_ascii("e\u0301x") == "ex"


async def test_only_who_asks_for_ascii_pays_for_it() -> None:
    async with opened() as pilot:
        assert isinstance(pilot.app, EbpfApp)
        assert list(pilot.app.get_line_filters()) == list(super(EbpfApp, pilot.app).get_line_filters())
