"""A line that was painted is freed when nothing shows it any more, not when the collector comes by."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest
from rich.segment import Segment
from textual.strip import Strip

from tests.tui.fixture_engine import FixtureEngine, large_host
from tests.tui.harness import opened, press
from tui.terminal.strips import release_strips


@pytest.fixture
def uncollected() -> Iterator[None]:
    """What is left here is left by reference counting alone."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def strips() -> int:
    return sum(type(one) is Strip for one in gc.get_objects())


def test_what_stays_whole_is_freed(uncollected: None) -> None:
    release_strips()
    before = strips()
    for number in range(100):
        line = Strip([Segment(f"{number:03} nginx")])
        assert line.divide([9]) == [line]
        assert line.divide([9, 20]) == [line]  # a cut beyond the end
    assert strips() - before == 1  # the last one


@pytest.mark.parametrize("cuts", [[], [2], [2, 5], [2, 5, 9], [2, 9, 20], [20]])
def test_what_is_cut_is_cut_as_before(cuts: list[int]) -> None:
    release_strips()
    line = Strip([Segment("nginx"), Segment(": ok")])
    parts = line.divide(cut for cut in cuts)
    ends = [cut for cut in cuts if cut <= 9]
    assert [part.text for part in parts] == [
        "nginx: ok"[start:end] for start, end in zip([0, *ends], ends, strict=False)
    ]
    assert all(part.cell_length == len(part.text) for part in parts)


async def test_paging_through_a_host_leaves_no_lines_behind(uncollected: None) -> None:
    async with opened(FixtureEngine(large_host(2_000)), (100, 30)) as pilot:
        await press(pilot, *["pagedown", "pageup"] * 5)
        before = strips()
        await press(pilot, *["pagedown"] * 20)  # 560 lines that were not shown before
        assert strips() - before < 100
