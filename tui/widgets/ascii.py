"""`--ascii`: everything in the characters that every terminal and font has, each as wide as before."""

from __future__ import annotations

from functools import lru_cache

from rich.cells import cell_len
from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

EQUALS = {
    "▸": ">", "▾": "v", "⬢": "#", "●": "*", "○": "o", "×": "x", "✓": "v", "✗": "x",
    "├": "|", "└": "`", "│": "|", "─": "-", "┃": "#", "⋯": "~",
    "╭": "+", "╮": "+", "╰": "+", "╯": "+", "┌": "+", "┐": "+", "┘": "+",
    "━": "=", "▔": "-", "▎": "|", "▊": "|",
    "…": "~", "·": "-", "›": ">", "‹": "<", "–": "-", "—": "-", "→": ">", "µ": "u", "“": '"', "”": '"',
    "Δ": "d", "█": "#", "▁": "_", "▂": ".", "▃": ":", "▄": "-", "▅": "=",
    "▆": "+", "▇": "*", "▌": "|", "∅": "0", "∑": "S",
    "🔎": "/ ",
}  # fmt: skip


class AsciiFilter(LineFilter):
    """The last thing before the terminal, so that no widget has to know of it."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        return [Segment(in_ascii(text), style, control) for text, style, control in segments]


@lru_cache(4096)
def in_ascii(text: str) -> str:
    """Return `text` with its drawing in ASCII, and a ? for each cell of what has no equal there."""
    if text.isascii():
        return text
    return "".join(char if char.isascii() else EQUALS.get(char) or "?" * cell_len(char) for char in text)
