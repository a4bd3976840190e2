"""A scrolling pane of lines with a cursor: the base of the tree and of the tables."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from rich.style import Style
from textual import events
from textual.binding import BindingType
from textual.message import Message
from textual.strip import Strip

from tui.keymap import bindings
from tui.widgets.lines import LineWidget, Part

_WHEEL = 3


class CursorPane(LineWidget, can_focus=True):
    """Draws only the visible rows, scrolls itself, and keeps the cursor visible when it moves.

    `cursor` and `top` are indices into all rows. The title line at the top does not scroll.
    """

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("list")]
    SCOPES: ClassVar[tuple[str, ...]] = ("list",)
    COMPONENT_CLASSES: ClassVar[set[str]] = {"pane--head", "pane--cursor", "pane--thumb", "pane--track"}
    DEFAULT_CSS = """
    CursorPane {
        background: $background;
        color: $foreground;
        & > .pane--head { color: $text-muted; background: $surface; text-style: bold; }
        & > .pane--cursor { background: $primary 22%; }
        &:focus > .pane--cursor { background: $primary 38%; }
        & > .pane--thumb { color: $primary; }
        & > .pane--track { color: $panel-lighten-1; }
    }
    """

    class Moved(Message):
        """The cursor moved to another row, or the row under it is now another one."""

        def __init__(self, pane: CursorPane) -> None:
            super().__init__()
            self.pane = pane

        @property
        def control(self) -> CursorPane:
            return self.pane

    def __init__(self) -> None:
        super().__init__()
        self.cursor = 0
        self.top = 0

    @property
    @abstractmethod
    def row_count(self) -> int:
        """The number of rows, visible or not."""

    @abstractmethod
    def draw_head(self, width: int) -> Strip:
        """Return the title line."""

    @abstractmethod
    def draw_row(self, index: int, width: int, thumb: bool | None) -> Strip:
        """Return one row; `thumb` None: no scroll bar, else whether its thumb covers this row."""

    @property
    def page(self) -> int:
        """The number of visible rows."""
        return max(1, self.size.height - 1)

    def draw(self, width: int, height: int) -> Sequence[Strip]:
        """The titles, then the rows from `top` on."""
        last = min(self.row_count, self.top + height - 1)
        thumb = self._thumb(height - 1)
        rows = [
            self.draw_row(index, width, None if thumb is None else index - self.top in thumb)
            for index in range(self.top, last)
        ]
        return [self.draw_head(width), *rows]

    def _thumb(self, height: int) -> range | None:
        """Return the lines that the scroll bar's thumb covers, None when all rows fit."""
        total = self.row_count
        if total <= height or height < 2:
            return None
        length = max(1, height * height // total)
        start = round((height - length) * self.top / max(1, total - height))
        return range(start, start + length)

    def bar(self, thumb: bool | None) -> Part | None:
        """Return the scroll bar's cell in one line, as its thumb or its track; None without a scroll bar."""
        if thumb is None:
            return None
        return ("┃", self.style_of("pane--thumb")) if thumb else ("│", self.style_of("pane--track"))

    def move_to(self, index: int) -> None:
        """Move the cursor to a row and scroll just enough to make it visible."""
        self.cursor = max(0, min(index, self.row_count - 1))
        if self.cursor < self.top:
            self.top = self.cursor
        elif self.cursor >= self.top + self.page:
            self.top = self.cursor - self.page + 1
        self.moved()
        self.redraw()

    def scroll_by(self, rows: int) -> None:
        """Scroll; the cursor moves only as far as needed to stay visible."""
        self.top = max(0, min(self.top + rows, self.row_count - self.page))
        self.move_to(max(self.top, min(self.cursor, self.top + self.page - 1)))

    def moved(self) -> None:
        """Called when the cursor or the top changed."""
        self.post_message(self.Moved(self))

    def cursor_style(self) -> Style:
        """Return the style of the cursor's row: a background, or reverse video with few colours or none."""
        if self.app.has_class("-reverse"):
            return Style(reverse=True)
        return Style(bgcolor=self.style_of("pane--cursor").bgcolor)

    def action_up(self) -> None:
        self.move_to(self.cursor - 1)

    def action_down(self) -> None:
        self.move_to(self.cursor + 1)

    def action_page_up(self) -> None:
        self.top = max(0, self.top - self.page)
        self.move_to(self.cursor - self.page)

    def action_page_down(self) -> None:
        self.top = max(0, min(self.top + self.page, self.row_count - self.page))
        self.move_to(self.cursor + self.page)

    def action_first(self) -> None:
        self.move_to(0)

    def action_last(self) -> None:
        self.move_to(self.row_count - 1)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.scroll_by(_WHEEL)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.scroll_by(-_WHEEL)

    def on_click(self, event: events.Click) -> None:
        index = self.top + event.y - 1
        if event.y >= 1 and index < self.row_count:
            self.move_to(index)

    def on_resize(self) -> None:
        self.top = max(0, min(self.top, self.row_count - self.page))
        self.move_to(self.cursor)
