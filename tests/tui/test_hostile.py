"""Names that want to steer the terminal, hide themselves or be read as markup."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.style import Style

from core.model.entities import ContainerContext, LadderStep, Tiers, TierState
from core.model.view import Frame
from core.text.safe import safe_text
from tests.tui.fixture_engine import ALL_ON, FixtureEngine, process
from tests.tui.harness import lines, opened, press, processes, settle, text
from tui.widgets.header_bar import HeaderBar
from tui.widgets.lines import fit, strip_of, width_of

NAMES = [
    b"[kworker/0:1]",
    b"[/tmp/x]",
    b"[bold red]not bold[/]",
    b"[@click=app.quit]click[/]",
    b"\x1b]0;owned\x07",
    b"\x1b[2J\x1b[31mred",
    b"two\nlines\r\ttab",
    "\u202egnp.exe".encode(),
    "zero\u200bwidth\u2066".encode(),
    "wide 日本語 名前".encode() * 4,
    b"\xff\xfe not utf-8",
    b"x" * 5000,
    b"\x9b31m\x85",
    b"",
]
WORST = b"\x1b[2J[bold]\n\xe2\x80\xae"


def controls(shown: str) -> set[str]:
    """Return every character that a terminal would obey instead of showing it."""
    return {char for char in shown if char != "\n" and not char.isprintable()}


async def test_hostile_names_are_shown_and_do_nothing() -> None:
    views = [process(50 + number, 1, name, note=safe_text(name)) for number, name in enumerate(NAMES)]
    async with opened(FixtureEngine([process(1, 0, "/sbin/init"), *views]), size=(90, 30)) as pilot:
        await press(pilot, "down", "enter")
        for name in NAMES:
            await pilot.press("down")
            shown = text(pilot)
            assert controls(shown) == set()
            first = safe_text(name.split(b" ")[0], 20).rstrip("…")
            assert first.rpartition("/")[2] in shown
        assert all(width_of(line) == 90 for line in lines(pilot))
        await press(pilot, "t", "slash", "0", "escape")
        assert controls(text(pilot)) == set()


async def test_hostile_containers_hosts_and_reasons() -> None:
    worst = safe_text(WORST)
    container = ContainerContext(id="f" * 64, runtime="docker", name=worst, image=worst, pod=worst)
    tiers = Tiers(TierState(True), TierState(False, WORST.decode()), TierState(True), LadderStep.PROCFS)
    host = FixtureEngine([process(1, 0, "/x", container=container)], tiers=tiers, message=WORST.decode())
    async with opened(host, size=(120, 20)) as pilot:
        frame = pilot.app.frame  # type: ignore[attr-defined]
        assert isinstance(frame, Frame)
        header = msgspec.structs.replace(frame.header, hostname=WORST.decode(), kernel=WORST.decode())
        processes(pilot).query_one(HeaderBar).show(header)
        await settle(pilot)
        assert controls(text(pilot)) == set()
        assert "[bold]" in lines(pilot)[0]
        assert text(pilot).count("[bold]") >= 4


async def test_what_is_pasted_into_the_filter_is_only_text() -> None:
    from textual.events import Paste

    async with opened(size=(90, 20)) as pilot:
        await press(pilot, "slash")
        pilot.app.post_message(Paste("\x1b[2Jnginx [bold]"))
        await settle(pilot)
        await settle(pilot)
        assert controls(text(pilot)) == set()


async def test_a_failed_engine_is_told_and_the_other_screens_still_work() -> None:
    host = FixtureEngine()
    async with opened(host, size=(90, 20)) as pilot:
        assert host.failed is not None
        host.failed(RuntimeError("no [bold]memory\x1b[2J"))
        await settle(pilot)
        await settle(pilot)
        assert "[bold]memory" in text(pilot)
        assert controls(text(pilot)) == set()
        for key, name in (("5", "Resolver"), ("3", "Headers")):
            await press(pilot, key)
            assert f"[{key} {name}]" in text(pilot)
            assert "! Live updates stopped: no [bold]memory" in lines(pilot)[1]


@pytest.mark.parametrize("size", [(20, 5), (1, 1), (40, 10), (80, 24), (250, 70)])
async def test_any_size_is_drawn(size: tuple[int, int]) -> None:
    async with opened(FixtureEngine(tiers=ALL_ON), size=size) as pilot:
        await press(pilot, "down", "enter", "t", "slash", "n", "escape", "question_mark", "escape")
        for key in "2345":
            await press(pilot, key)
        assert all(width_of(line) == size[0] for line in lines(pilot))
        await pilot.resize_terminal(64, 18)
        await press(pilot, "1")
        assert "cache" in text(pilot)
        assert pilot.app.is_running


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(max_size=30).map(safe_text), st.integers(0, 20), st.booleans())
def test_fit_always_takes_the_cells_it_is_given(value: str, width: int, right: bool) -> None:
    assert width_of(fit(value, width, right)) == width


def test_what_slips_through_is_stopped_before_the_terminal() -> None:
    style = Style()
    assert controls(strip_of([("a\x1b[2J\nb", style)], 20, style).text) == set()
