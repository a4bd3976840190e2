"""The window of the tree: which rows are loaded, and the positions of cursor and scroll in it."""

from __future__ import annotations

from abc import abstractmethod

from textual.message import Message

from core.model.view import Find, Grouping, Row, RowKey, SearchMatches, SortKey, ViewRequest, Window
from tui.widgets.cursor_pane import CursorPane

_MOVING = (SortKey.CPU, SortKey.MEMORY)
"""Orders in which rows move all the time: the scroll position stays, unless `follow` is on."""


class TreeWindow(CursorPane):
    """Holds the latest window, one page larger on either side than the screen, and requests the next in time.

    The cursor stays on a process (`cursor_key`), not on a line number. In stable orders the scroll position
    follows that process too; in moving orders only with `follow`.
    """

    class Wanted(Message):
        """The view requests this window."""

        def __init__(self, request: ViewRequest) -> None:
            super().__init__()
            self.request = request

    def __init__(self) -> None:
        super().__init__()
        self.window = Window()
        self.now_ns = 0
        self.cursor_key: RowKey | None = None
        self.grouping = Grouping.CONTAINERS
        self.sort = SortKey.TREE
        self.reverse = False
        self.filter = ""
        self.folded: frozenset[RowKey] = frozenset()
        self.follow = False
        self._asked: ViewRequest | None = None
        self._seeking = False
        self._below: RowKey | None = None
        self._find: Find | None = None

    @property
    def row_count(self) -> int:
        return self.window.total

    def row_at(self, index: int) -> Row | None:
        """Return a row if the window contains it."""
        offset = index - self.window.top
        return self.window.rows[offset] if 0 <= offset < len(self.window.rows) else None

    @property
    def cursor_row(self) -> Row | None:
        """The row under the cursor, None until its window arrives."""
        return self.row_at(self.cursor)

    def ask(self) -> None:
        """Request the window around the visible rows, unless the last request was the same."""
        anchored = self._seeking or self.follow or (self.top > 0 and self.sort not in _MOVING)
        anchor = self.cursor_key if anchored else None
        first = max(0, self.top - self.page)
        request = ViewRequest(
            top=first,
            height=self.page * 3,
            anchor=anchor,
            anchor_offset=self.cursor - first,
            grouping=self.grouping,
            sort=self.sort,
            reverse=self.reverse,
            filter=self.filter,
            folded=self.folded,
            below=self._below,
            find=self._find,
        )
        if request != self._asked:
            self._asked = request
            self.post_message(self.Wanted(request))

    def show(self, window: Window, now_ns: int) -> None:
        """Show a new window. One that answers an outdated request is dropped: the right one will follow."""
        asked = window.request
        if (asked.grouping, asked.sort, asked.reverse, asked.filter) != (
            self.grouping,
            self.sort,
            self.reverse,
            self.filter,
        ) or asked.folded != self.folded:
            return
        self.now_ns = now_ns
        if window is not self.window:
            self._take(window)
        if asked.below is not None and asked.below == self._below:
            self._below = None
            self.answer_below(window.below)
        if asked.find is not None and asked.find == self._find and window.found is not None:
            self._find = None
            self.answer_find(window.found)
        self.redraw()

    def _take(self, window: Window) -> None:
        """Move cursor and scroll to where the same processes are now."""
        screen_line = self.cursor - self.top
        self.window = window
        index = self._index_of(self.cursor_key)
        if index is None and window.request.anchor == self.cursor_key:
            index = window.anchor_index  # hidden in a folded node, or gone
        elif index is None and self.cursor_key is not None and self._stays():
            self._seeking = True  # it may only be far away: the next window is anchored at it
            self.ask()
            return
        if index is not None:
            self.cursor = index
            if self._seeking or self.follow or (self.top > 0 and self.sort not in _MOVING):
                self.top = index - screen_line
        self._seeking = False
        self.cursor = max(0, min(self.cursor, window.total - 1))
        self.top = max(0, min(self.top, window.total - self.page))
        row = self.cursor_row
        key = row.key if row is not None else None
        if key != self.cursor_key and (key is not None or index is not None):
            self.cursor_key = key
            self.post_message(self.Moved(self))
        if self._uncovered():
            self.ask()

    def _stays(self) -> bool:
        """Return whether the cursor is to stay on a process that is outside of the window now."""
        return self._seeking or self.follow or self.sort not in _MOVING

    def _index_of(self, key: RowKey | None) -> int | None:
        if key is None:
            return None
        # The same index first: in most windows nothing moved.
        row = self.cursor_row
        if row is not None and row.key == key:
            return self.cursor
        for offset, row in enumerate(self.window.rows):
            if row.key == key:
                return self.window.top + offset
        return None

    def _uncovered(self) -> bool:
        """Return whether the window lacks a visible row, or is about to."""
        margin = self.page // 2
        first = max(0, self.top - margin)
        last = min(self.window.total, self.top + self.page + margin)
        return first < self.window.top or last > self.window.top + len(self.window.rows)

    def moved(self) -> None:
        row = self.cursor_row
        self.cursor_key = row.key if row is not None else None
        if self.follow or self._uncovered():
            self.ask()
        super().moved()

    def on_resize(self) -> None:
        super().on_resize()
        self.ask()

    def show_filter(self, text: str) -> None:
        """Filter by `text`; the next window reports what is wrong with it."""
        self.filter = text
        self.ask()

    def set_order(self, sort: SortKey, reverse: bool) -> None:
        """Sort siblings; the cursor stays on its process."""
        self.sort, self.reverse = sort, reverse
        self.ask()

    def set_grouping(self, grouping: Grouping) -> None:
        """Group by container or by parent."""
        self.grouping = grouping
        self.ask()

    def ask_below(self, key: RowKey) -> None:
        """Request the nodes of this subtree that can fold; the empty text: of the whole tree."""
        self._below = key
        self.ask()

    def go_to(self, key: RowKey) -> None:
        """Move the cursor to a row that may be far away; the next window contains it."""
        index = self._index_of(key)
        if index is not None:
            self.move_to(index)
            return
        self.cursor_key = key
        self.cursor = self.top + self.page // 2  # where it will be on the screen
        self._seeking = True
        self.ask()

    def ask_find(self, text: str, step: int) -> None:
        """Request the match of `text` at `step` from the cursor."""
        self._find = Find(text, self.cursor_key, step)
        self.ask()

    @abstractmethod
    def answer_find(self, matches: SearchMatches) -> None:
        """Handle the answer to `ask_find`."""

    @abstractmethod
    def answer_below(self, keys: tuple[RowKey, ...]) -> None:
        """Handle the answer to `ask_below`."""
