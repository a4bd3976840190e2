"""`--ascii`: our own drawing in the characters that every terminal and font has, each as wide as before."""

from __future__ import annotations

from rich.segment import Segment
from textual.strip import Strip

_PAIRS = {
    "▸": ">", "▾": "v", "⬢": "#", "●": "*", "○": "o", "×": "x", "✓": "v", "✗": "x",
    "├": "|", "└": "`", "│": "|", "─": "-", "┃": "#", "⋯": "~",
    "…": "~", "·": "-", "›": ">", "‹": "<", "–": "-", "—": "-", "→": ">", "µ": "u", "“": '"', "”": '"',
    "↑": "^", "↓": "v", "←": "<", "Δ": "d", "█": "#", "▁": "_", "▂": ".", "▃": ":", "▄": "-", "▅": "=",
    "▆": "+", "▇": "*", "▌": "|", "∅": "0", "∑": "S",
}  # fmt: skip
_TABLE = str.maketrans(_PAIRS)


def text_in_ascii(text: str) -> str:
    """Return `text` with its drawing replaced, as long as before. Names from outside keep their letters."""
    return text.translate(_TABLE)


def in_ascii(strip: Strip) -> Strip:
    """Return the same of a line."""
    if all(segment.text.isascii() for segment in strip):
        return strip
    return Strip([Segment(text_in_ascii(text), style) for text, style, _ in strip], strip.cell_length)
