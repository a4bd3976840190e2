"""Lines are repainted only where they came out different."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from tests.tui.pictures import PICTURES
from tui.widgets.lines import LineWidget, difference

PARTS = st.lists(st.tuples(st.sampled_from(["a", "b ", "界", "12"]), st.booleans()), min_size=1, max_size=6)


def line(parts: list[tuple[str, bool]], width: int) -> Strip:
    segments = [Segment(text, Style(bold=bold)) for text, bold in parts]
    taken = Strip(segments).cell_length
    return Strip([*segments, Segment(" " * (width - taken))], width)


@given(PARTS, PARTS)
def test_painting_the_difference_over_the_old_line_gives_the_new_one(
    before: list[tuple[str, bool]], after: list[tuple[str, bool]]
) -> None:
    old, new = line(before, 16), line(after, 16)
    region = difference(3, old, new)
    assert (region.y, region.height) == (3, 1)
    painted = Strip.join(
        [old.crop(0, region.x), new.crop(region.x, region.right), old.crop(region.right, 16)]
    )
    assert painted.simplify() == new.simplify()


def test_of_an_older_row_only_the_age_is_painted() -> None:
    old, new = (
        line([("a", True), ("12", False), ("b ", False)], 9),
        line([("a", True), ("13", False), ("b ", False)], 9),
    )
    assert difference(0, old, new)[:3] == (2, 0, 1)


@pytest.mark.parametrize(
    "name", ["processes", "ascii", "mono", "explain", "headers", "objects-tree", "resolver"]
)
async def test_a_widget_of_lines_gives_what_textuals_own_method_would(name: str) -> None:
    picture = PICTURES[name]
    app = picture.app()
    compared = 0
    async with app.run_test(size=(100, 30)) as pilot:
        await picture.prepare(pilot)
        for widget in app.screen.query(LineWidget):
            if widget.size:
                for crop in (widget.size.region, Region(3, 0, 5, 1)):
                    ours, own = widget.render_lines(crop), Widget.render_lines(widget, crop)
                    assert [line.simplify() for line in ours] == [line.simplify() for line in own]
                    compared += 1
    assert compared > 4
