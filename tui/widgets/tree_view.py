"""The process tree: draws the rows of a window and asks for the next one in time."""

from __future__ import annotations

from typing import ClassVar

from rich.style import Style
from textual.binding import BindingType
from textual.message import Message
from textual.strip import Strip

from core.model import ProcessKey
from core.view import Grouping, Row, RowKey, SortKey, ViewRequest, Window
from tui.keymap import bindings
from tui.widgets import format as fmt
from tui.widgets.columns import Column, columns_for
from tui.widgets.cursor_pane import CursorPane
from tui.widgets.lines import Part, fit, strip_of, two_ends

_MOVING = (SortKey.CPU, SortKey.MEMORY)
"""Orders in which rows change places all the time: there the view stays, unless told to follow."""


class TreeView(CursorPane):
    """Holds the latest window, a page more on either side than is in sight, and draws from it.

    The cursor stays with a process (`cursor_key`), not with a line number. In stable orders the
    scroll position stays with it too; in orders that move, only with `follow`.
    """

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("tree")]
    SCOPES: ClassVar[tuple[str, ...]] = ("tree", "list")
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "tree--cache",
        "tree--maps",
        "tree--procfs",
        "tree--unknown",
        "tree--number",
        "tree--guides",
        "tree--path",
        "tree--name",
        "tree--args",
        "tree--kthread",
        "tree--dim",
        "tree--fresh",
        "tree--ended",
        "tree--group",
        "tree--group-detail",
    }
    DEFAULT_CSS = """
    TreeView {
        height: 1fr;
        & > .tree--cache { color: $source-cache; }
        & > .tree--maps { color: $source-maps; }
        & > .tree--procfs { color: $source-procfs; }
        & > .tree--unknown { color: $text-disabled; }
        & > .tree--number { color: $text-muted; }
        & > .tree--guides { color: $guides; }
        & > .tree--path { color: $text-disabled; }
        & > .tree--name { color: $foreground; text-style: bold; }
        & > .tree--args { color: $text-muted; }
        & > .tree--kthread { color: $text-disabled; }
        & > .tree--dim { color: $text-disabled; text-style: italic; }
        & > .tree--fresh { color: $success; text-style: bold; }
        & > .tree--ended { color: $text-disabled; text-style: italic; }
        & > .tree--group { color: $accent; text-style: bold; background: $surface; }
        & > .tree--group-detail { color: $text-muted; background: $surface; }
    }
    """

    class Wanted(Message):
        """The view needs this window."""

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
        self._unfold_below = False
        self._styles: dict[str, tuple[Style, Style]] = {}
        self._kept: dict[tuple[object, ...], tuple[Row, Strip]] = {}
        self._drawn: dict[tuple[object, ...], tuple[Row, Strip]] = {}

    # --- the window ----------------------------------------------------------------------------

    @property
    def row_count(self) -> int:
        return self.window.total

    def row_at(self, index: int) -> Row | None:
        """Return a row if the window holds it."""
        offset = index - self.window.top
        return self.window.rows[offset] if 0 <= offset < len(self.window.rows) else None

    @property
    def cursor_row(self) -> Row | None:
        """The row under the cursor, None while its window is on the way."""
        return self.row_at(self.cursor)

    def ask(self) -> None:
        """Ask for the window around what is in sight, unless that is what was asked for last."""
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
        )
        if request != self._asked:
            self._asked = request
            self.post_message(self.Wanted(request))

    def show(self, window: Window, now_ns: int) -> None:
        """Take a new window. One that answers an older question is not shown: the right one comes."""
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
            self._fold_answer(window.below)
        self.redraw()

    def _take(self, window: Window) -> None:
        """Put cursor and scroll where the same processes are now."""
        screen_line = self.cursor - self.top
        self.window = window
        index = self._find(self.cursor_key)
        if index is None and window.request.anchor == self.cursor_key:
            index = window.anchor_index  # hidden in a folded node, or gone
        elif index is None and self.cursor_key is not None and (self.follow or self.sort not in _MOVING):
            self._seeking = True  # perhaps it is only far away: the next window starts from it
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

    def _find(self, key: RowKey | None) -> int | None:
        if key is None:
            return None
        # The neighbourhood first: mostly nothing moved at all.
        row = self.cursor_row
        if row is not None and row.key == key:
            return self.cursor
        for offset, row in enumerate(self.window.rows):
            if row.key == key:
                return self.window.top + offset
        return None

    def _uncovered(self) -> bool:
        """Return whether a row in sight is not in the window, or soon will not be."""
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

    # --- what people do ------------------------------------------------------------------------

    def show_filter(self, text: str) -> None:
        """Filter by `text`; what is wrong with it comes with the next window."""
        self.filter = text
        self.ask()

    def set_order(self, sort: SortKey, reverse: bool) -> None:
        """Order siblings; the cursor stays with its process."""
        self.sort, self.reverse = sort, reverse
        self.ask()

    def set_grouping(self, grouping: Grouping) -> None:
        """Show containers or parents."""
        self.grouping = grouping
        self.ask()

    def action_toggle_fold(self) -> None:
        row = self.cursor_row
        if row is not None and row.folded is not None:
            self._set_folded(self.folded ^ {row.key})

    def action_fold(self) -> None:
        row = self.cursor_row
        if row is None:
            return
        if row.folded is False:
            self._set_folded(self.folded | {row.key})
            return
        for index in range(self.cursor - 1, self.window.top - 1, -1):
            above = self.row_at(index)
            if above is not None and _depth(above) < _depth(row):
                self.move_to(index)
                return

    def action_unfold(self) -> None:
        row = self.cursor_row
        if row is None:
            return
        if row.folded:
            self._set_folded(self.folded - {row.key})
        elif row.folded is False:
            self.move_to(self.cursor + 1)

    def action_unfold_subtree(self) -> None:
        self._ask_below(unfold=True)

    def action_fold_subtree(self) -> None:
        self._ask_below(unfold=False)

    def action_fold_everything(self) -> None:
        if self.folded:
            self._set_folded(frozenset())
        else:
            self._below, self._unfold_below = "", False
            self.ask()

    def action_follow(self) -> None:
        self.follow = not self.follow
        self.ask()
        self.redraw()

    def _ask_below(self, *, unfold: bool) -> None:
        row = self.cursor_row
        if row is not None and row.folded is not None:
            self._below, self._unfold_below = row.key, unfold
            self.ask()

    def _fold_answer(self, below: tuple[RowKey, ...]) -> None:
        self._below = None
        keys = frozenset(below)
        self._set_folded(self.folded - keys if self._unfold_below else self.folded | keys)

    def _set_folded(self, folded: frozenset[RowKey]) -> None:
        self.folded = folded
        self.ask()

    # --- drawing -------------------------------------------------------------------------------

    def draw(self, width: int, height: int) -> list[Strip]:
        if not self._styles:
            self._load_styles()
        self._kept, self._drawn = self._drawn, {}
        return list(super().draw(width, height))

    def draw_head(self, width: int) -> Strip:
        style = self.style_of("pane--head")
        left: list[Part] = [(" ", style)]
        for column in columns_for(width - 1, self.grouping):
            left.append((fit(column.title, column.width, column.right) + " ", style))
        left.append(("TREE", style))
        return two_ends(left, [(self._status() + " ", style)], width, style)

    def _status(self) -> str:
        words = ["container view" if self.grouping is Grouping.CONTAINERS else "parent view"]
        if self.sort is not SortKey.TREE:
            words.append(f"by {self.sort}")
        if self.reverse:
            words.append("inverted")
        if self.follow:
            words.append("follow")
        return " · ".join(words)

    def draw_row(self, index: int, width: int, thumb: bool | None) -> Strip:
        row = self.row_at(index)
        if row is None:
            return strip_of([("   …", self._styles["tree--dim"][0])], width, self.rich_style)
        age = fmt.age(self.now_ns - row.start_ns) if row.start_ns else ""
        key = (id(row), age, index == self.cursor, width, thumb, self.grouping)
        kept = self._kept.get(key)
        if kept is None or kept[0] is not row:
            kept = (row, self._draw_row(row, age, index == self.cursor, width, thumb))
        self._drawn[key] = kept
        return kept[1]

    def _draw_row(self, row: Row, age: str, selected: bool, width: int, thumb: bool | None) -> Strip:
        columns = columns_for(width - 1, self.grouping)
        parts = (self._process if row.kind == "process" else self._group)(row, age, columns, selected)
        rest = self._style("tree--group" if row.kind != "process" else "", selected)
        if thumb is None:
            return strip_of(parts, width, rest)
        bar = "tree--thumb" if thumb else "tree--track"
        line = strip_of(parts, width - 1, rest)
        return Strip([*line, *strip_of([("┃" if thumb else "│", self._style(bar, False))], 1, rest)], width)

    def _process(self, row: Row, age: str, columns: tuple[Column, ...], selected: bool) -> list[Part]:
        plain = "tree--ended" if row.ended else "tree--dim" if row.dim else ""
        number = self._style(plain or "tree--number", selected)
        source = row.source.partition("‹")[0]
        parts: list[Part] = [(_mark(row), self._style(plain or "tree--fresh", selected))]
        for position, column in enumerate(columns):
            name = f"tree--{source}" if f"tree--{source}" in self._styles else "tree--unknown"
            style = self._style(plain or name, selected) if position == 0 else number
            parts.append((fit(column.text(row, age), column.width, column.right) + " ", style))
        parts.append((row.guides, self._style("tree--guides", selected)))
        if row.folded:
            parts.append((f"▸+{row.count - 1} ", number))
        parts.extend(self._command(row, plain, selected))
        if row.detail:
            parts.append((f"  {row.detail}", self._style("tree--dim", selected)))
        return parts

    def _command(self, row: Row, plain: str, selected: bool) -> list[Part]:
        """The program's own name stands out from its path and its arguments."""
        if plain or row.text.startswith("["):
            return [(row.text, self._style(plain or "tree--kthread", selected))]
        program, blank, args = row.text.partition(" ")
        directory, slash, name = program.rpartition("/")
        return [
            (directory + slash, self._style("tree--path", selected)),
            (name, self._style("tree--fresh" if row.fresh else "tree--name", selected)),
            (blank + args, self._style("tree--args", selected)),
        ]

    def _group(self, row: Row, age: str, columns: tuple[Column, ...], selected: bool) -> list[Part]:
        name, detail = self._style("tree--group", selected), self._style("tree--group-detail", selected)
        label = f"{'▸' if row.folded else '▾'} {'⬢ ' if row.kind == 'container' else ''}{row.text}"
        count = f"{fmt.count(row.count)} process{'' if row.count == 1 else 'es'}"
        about = " · ".join(part for part in (count, row.detail) if part)
        numeric = [column for column in columns if column.numeric]
        if not numeric:
            return [(f"{label}  ", name), (about, detail)]
        first = columns.index(numeric[0])
        parts: list[Part] = [(fit(label, sum(c.width + 1 for c in columns[:first])) + " ", name)]
        for column in columns[first:]:
            text = column.text(row, age) if column.numeric else ""
            parts.append((fit(text, column.width, column.right) + " ", detail))
        parts.append((about, detail))
        return parts

    def _style(self, name: str, selected: bool) -> Style:
        return self._styles[name][selected]

    def _load_styles(self) -> None:
        over = self.cursor_style()
        base = self.rich_style
        self._styles = {"": (base, base + over)}
        for name in self.COMPONENT_CLASSES:
            style = self.style_of(name)
            self._styles[name] = (style, style + over)
        for bar in ("thumb", "track"):
            style = self.style_of(f"pane--{bar}")
            self._styles[f"tree--{bar}"] = (style, style)

    def _styles_changed(self) -> None:
        self._styles = {}
        self._kept = self._drawn = {}


def _mark(row: Row) -> str:
    """New and ended rows carry a sign, not only a colour."""
    return "×" if row.ended else "+" if row.fresh else " "


def _depth(row: Row) -> int:
    """How far a row is indented; groups stand outermost."""
    return -1 if row.kind != "process" else len(row.guides)


def process_key(row: Row | None) -> ProcessKey | None:
    """Return the process that a row shows, None for groups and for no row."""
    return row.key if row is not None and isinstance(row.key, ProcessKey) else None
