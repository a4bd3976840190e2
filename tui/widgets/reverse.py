"""Reverse video for the selected entry of Textual's own lists, where colours cannot show it."""

from __future__ import annotations

from functools import lru_cache

from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.filter import LineFilter

_REVERSE = Style(reverse=True, underline=False)


class ReverseFilter(LineFilter):
    """Turns underlined text into reverse video.

    Textual (8.2) loses `text-style: reverse` between its style sheet and the rows of a list, also in its own
    command palette. An underline is kept, and nothing else here is underlined.
    """

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        return [Segment(text, style and reverse(style), control) for text, style, control in segments]


@lru_cache(1024)
def reverse(style: Style) -> Style:
    return style + _REVERSE if style.underline else style
