"""Opens the app on a fixture engine and reads its screen as text."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from textual.pilot import Pilot

from core.sources.feed import Feed
from tests.tui.fixture_engine import FixtureEngine
from tui.app import EbpfApp
from tui.config import Config
from tui.screens.processes import ProcessesScreen
from tui.settings import Settings
from tui.widgets.tree_view import TreeView


@asynccontextmanager
async def opened(
    engine: FixtureEngine | None = None,
    size: tuple[int, int] = (100, 30),
    settings: Settings | None = None,
    config: Config | None = None,
    *,
    live: bool = False,
) -> AsyncIterator[Pilot[None]]:
    """Run the app without a terminal. `live`: as if it showed this host now."""
    app = EbpfApp(engine or FixtureEngine(), settings or Settings(), config, not_opened if live else None)
    async with app.run_test(size=size, notifications=True) as pilot:
        await settle(pilot)
        yield pilot


def not_opened(after: Feed) -> Feed:
    """Stands for the probe: opening it is the engine's business, and a fixture does not."""
    raise AssertionError("nobody opens a probe here")


async def settle(pilot: Pilot[None]) -> None:
    """Let what was asked for be answered, drawn and answered again."""
    await pilot.pause()


async def press(pilot: Pilot[None], *keys: str) -> None:
    """Press keys one after the other; each is taken and drawn before the next one comes."""
    await pilot.press(*keys)
    await settle(pilot)


def processes(pilot: Pilot[None]) -> ProcessesScreen:
    """The process screen, whatever lies above it."""
    screen = pilot.app._screen_stacks["processes"][0]
    assert isinstance(screen, ProcessesScreen)
    return screen


def tree(pilot: Pilot[None]) -> TreeView:
    return processes(pilot).tree


def engine(pilot: Pilot[None]) -> FixtureEngine:
    assert isinstance(pilot.app, EbpfApp)
    assert isinstance(pilot.app.engine, FixtureEngine)
    return pilot.app.engine


def lines(pilot: Pilot[None]) -> list[str]:
    """What is on the screen, line by line."""
    return [strip.text for strip in pilot.app.screen._compositor.render_strips()]


def text(pilot: Pilot[None]) -> str:
    return "\n".join(lines(pilot))


def words(pilot: Pilot[None]) -> str:
    """What is on the screen as one line of words: a toast breaks its text anywhere."""
    return " ".join(text(pilot).replace("▌", " ").split())


async def go_to(pilot: Pilot[None], pid: int) -> None:
    """Put the cursor on a process."""
    view = tree(pilot)
    for index in range(view.row_count):
        row = view.row_at(index)
        if row is not None and row.pid == pid:
            view.move_to(index)
            await settle(pilot)
            return
    raise AssertionError(f"pid {pid} is not in the window")
