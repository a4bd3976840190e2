"""The Build screen in a project of a good and a bad source, and waiting for what its workers do."""

from __future__ import annotations

from collections.abc import Callable

from textual.pilot import Pilot

from tests.tui.harness import lines, settle, text
from tui.screens.build import BuildScreen

GOOD = """\
__attribute__((section("license"), used)) char _license[] = "GPL";
__attribute__((section("socket"), used)) int good(void *context) { return EXTRA; }
"""
BAD = "int broken(void) { return missing_name; }\n"


async def until(pilot: Pilot[None], wanted: Callable[[], bool], seconds: float = 30) -> None:
    """Wait for a worker; fails with what is on the screen."""
    for _ in range(int(seconds / 0.05)):
        if wanted():
            await settle(pilot)
            return
        await pilot.pause(0.05)
    raise AssertionError(text(pilot))


def screen(pilot: Pilot[None]) -> BuildScreen:
    assert isinstance(pilot.app.screen, BuildScreen)
    return pilot.app.screen


def row(pilot: Pilot[None], name: str) -> str:
    return next(line for line in lines(pilot) if f" {name} " in line)
