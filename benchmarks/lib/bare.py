"""A minimal Textual program: the peer for first paint (`label`) and keys (`lines`).

Run: `python bare.py label|lines`.
"""

from __future__ import annotations

import sys

from rich.segment import Segment
from rich.style import Style
from textual.app import App, ComposeResult
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.widgets import Label

COUNT = 10_000


class Lines(ScrollView, can_focus=True):
    """Scrollable lines of plain text."""

    def on_mount(self) -> None:
        self.virtual_size = Size(110, COUNT)

    def render_line(self, y: int) -> Strip:
        line = f"{y + self.scroll_offset.y:>8} /usr/bin/worker --config /etc/worker.toml".ljust(
            self.size.width
        )
        return Strip([Segment(line, Style(bgcolor="black"))], self.size.width)


class Bare(App[None]):
    def compose(self) -> ComposeResult:
        yield Lines() if sys.argv[1] == "lines" else Label("[1 Processes]", markup=False)

    def on_mount(self) -> None:
        self.animation_level = "none"


if __name__ == "__main__":
    Bare().run()
