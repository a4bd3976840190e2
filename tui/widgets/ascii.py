"""`--ascii`: draw only with ASCII characters, each replacement as wide as the original."""

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
    """The last filter before the terminal, so that no widget depends on it."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        return [Segment(in_ascii(text), style, control) for text, style, control in segments]


@lru_cache(4096)
def in_ascii(text: str) -> str:
    """Return `text` in ASCII, with a ? for each cell of a character that has no replacement."""
    if text.isascii():
        return text
    return "".join(char if char.isascii() else EQUALS.get(char) or "?" * cell_len(char) for char in text)
