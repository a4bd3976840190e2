"""Widgets that consist of lines and repaint only the changed parts."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

from rich.cells import cell_len, chop_cells, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual.filter import ANSIToTruecolor
from textual.geometry import Region, Size
from textual.strip import Strip
from textual.widget import Widget

from core.text.safe import safe_text

Part = tuple[str, Style]
"""Some safe text and its style. Never markup: brackets are brackets."""


class LineWidget(Widget):
    """A widget whose content is a list of strips, one per line.

    A subclass returns its lines from `draw`. Code that changes something `draw` depends on calls `redraw`,
    which repaints only the cells that differ from the screen: a frame without changes writes nothing to the
    terminal, and a frame in which only ages changed writes only the ages.
    """

    def __init__(self) -> None:
        super().__init__()
        self._strips: list[Strip] = []
        self._drawn_size = Size(0, 0)
        self._styles: dict[str, Style] = {}

    def draw(self, width: int, height: int) -> Sequence[Strip]:
        """Return the lines, at most `height`, each `width` cells wide."""
        raise NotImplementedError

    def redraw(self) -> None:
        """Draw again, and repaint what changed."""
        if not self.is_attached or not self.size:
            return
        before, size_before = self._strips, self._drawn_size
        self._draw_now()
        if size_before != self.size or len(before) != len(self._strips):
            self.refresh()
            return
        lines = [
            (y, old, new)
            for y, (old, new) in enumerate(zip(before, self._strips, strict=True))
            if old is not new and old != new
        ]
        if len(lines) > self.size.height // 2:  # another page: equal parts of it are a coincidence
            self.refresh(*(Region(0, y, self.size.width, 1) for y, _, _ in lines))
        elif lines:
            self.refresh(*(difference(*line) for line in lines))

    def style_of(self, name: str) -> Style:
        """Return the style of a component class, including the widget's background."""
        style = self._styles.get(name)
        if style is None:
            style = self._styles[name] = self._in_truecolor(self.get_component_rich_style(name))
        return style

    @property
    def plain(self) -> Style:
        """The style of the widget itself."""
        style = self._styles.get("")
        if style is None:
            style = self._styles[""] = self._in_truecolor(self.rich_style)
        return style

    def _in_truecolor(self, style: Style) -> Style:
        """Convert a style once, as Textual's filter would do for every segment of every line."""
        background = self.background_colors[1].rich_color
        for line_filter in self.get_line_filters():
            if isinstance(line_filter, ANSIToTruecolor):
                style = line_filter.truecolor_style(style, background)
        return style

    def _draw_now(self) -> None:
        self._strips = list(self.draw(self.size.width, self.size.height)[: self.size.height])
        self._drawn_size = self.size

    def render_line(self, y: int) -> Strip:
        """Return one line to Textual."""
        if self._drawn_size != self.size:
            self._draw_now()
        if y < len(self._strips):
            return self._strips[y]
        return Strip.blank(self.size.width, self.plain)

    def render_lines(self, crop: Region) -> list[Strip]:
        """Return a part of the lines to Textual, faster than its own method.

        That method handles borders, padding, hatches and links of every line, which doubles the cost.
        """
        if self.outer_size != self.size:
            return super().render_lines(crop)
        strips = [self.render_line(y) for y in crop.line_range]
        background = self.background_colors[1]
        for line_filter in self.get_line_filters():
            if not isinstance(line_filter, ANSIToTruecolor):  # the styles are converted already
                strips = [strip.apply_filter(line_filter, background) for strip in strips]
        if crop.column_span != (0, self.size.width):
            strips = [strip.crop(*crop.column_span) for strip in strips]
        return strips

    def notify_style_update(self) -> None:
        """The theme, the focus or a class changed, so every style may have changed."""
        super().notify_style_update()
        self._drawn_size = Size(0, 0)
        self._styles.clear()
        self._styles_changed()

    def _styles_changed(self) -> None:
        """Drop what a subclass cached in the old styles."""


def difference(y: int, old: Strip, new: Strip) -> Region:
    """Return the cells of line `y` from the first to the last that differs; both strips are equally wide.

    Segments with wide characters are included as a whole if they differ.
    """
    were, are = list(old), list(new)
    shorter = min(len(were), len(are))
    left = right = first = last = 0
    while first < shorter and were[first] == are[first]:
        left += are[first].cell_length
        first += 1
    while last < shorter - first and were[-1 - last] == are[-1 - last]:
        last += 1
        right += are[-last].cell_length
    if first + last < shorter:
        left += _same_cells(were[first], are[first])
        if first + last < shorter - 1:
            right += _same_cells(were[-1 - last], are[-1 - last], from_end=True)
    return Region(left, y, new.cell_length - left - right, 1)


def _same_cells(old: Segment, new: Segment, *, from_end: bool = False) -> int:
    """Return how many cells at one end of two segments are equal, as far as that is cheap to determine."""
    if old.style != new.style or not (old.text.isascii() and new.text.isascii()):
        return 0
    pairs = zip(old.text, new.text, strict=False)
    if from_end:
        pairs = zip(reversed(old.text), reversed(new.text), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def width_of(text: str) -> int:
    """Return the width of `text` in cells."""
    return len(text) if text.isascii() else cell_len(text)


def fit(text: str, width: int, right: bool = False) -> str:
    """Return `text` padded, or cut with an ellipsis, to exactly `width` cells."""
    if width <= 0:
        return ""
    taken = width_of(text)
    if taken == width:
        return text
    if taken < width:
        pad = " " * (width - taken)
        return pad + text if right else text + pad
    if width == 1:
        return "…"
    return (text[: width - 1] if text.isascii() else set_cell_size(text, width - 1)) + "…"


def fit_in(text: str, width: int) -> str:
    """Return `text`, cut with an ellipsis if it is wider than `width` cells."""
    return text if width_of(text) <= width else fit(text, width)


def wrap(text: str, width: int, limit: int) -> list[str]:
    """Break `text` into at most `limit` lines of at most `width` cells, at blanks where possible."""
    lines: list[str] = []
    for word in text.split(" "):
        if lines and width_of(lines[-1]) + 1 + width_of(word) <= width:
            lines[-1] += f" {word}"
        else:
            lines += chop_cells(word, width) or [""]
        if len(lines) > limit:
            return [*lines[: limit - 1], fit(f"{lines[limit - 1]} ", width - 1).rstrip() + "…"]
    return lines


def strip_of(parts: Sequence[Part], width: int, rest: Style, end: Part | None = None) -> Strip:
    """Return one line of exactly `width` cells: the parts, cut or padded in the style `rest`.

    `end` is one cell at the right edge that the parts never cover, for a scroll bar. Texts are expected to
    be safe already; as the last step before the terminal this replaces what is not printable anyway.
    """
    segments: list[Segment] = []
    left = width if end is None else width - 1
    for text, style in parts:
        if not text:
            continue
        if not text.isprintable():
            text = safe_text(text)  # noqa: PLW2901
        taken = width_of(text)
        if taken >= left:
            segments.append(Segment(fit(text, left), style))
            left = 0
            break
        segments.append(Segment(text, style))
        left -= taken
    if left > 0:
        segments.append(Segment(" " * left, rest))
    if end is not None:
        segments.append(Segment(*end))
    return Strip(segments, width)


def two_ends(left: Sequence[Part], right: Sequence[Part], width: int, rest: Style) -> Strip:
    """Return one line with `left` and `right` at its ends; `right` is dropped if both do not fit."""
    used = sum(width_of(text) for text, _ in left)
    wanted = sum(width_of(text) for text, _ in right)
    if used + wanted + 1 > width:
        return strip_of(left, width, rest)
    return strip_of([*left, (" " * (width - used - wanted), rest), *right], width, rest)
