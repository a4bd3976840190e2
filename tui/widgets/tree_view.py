"""The process tree: its commands, and the drawing of its rows."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import BindingType
from textual.message import Message
from textual.strip import Strip

from core.model.entities import ProcessKey
from core.model.view import Grouping, Row, RowKey, RowKind, SearchMatches, SortKey
from tui.keymap import bindings
from tui.widgets import format as fmt
from tui.widgets.columns import columns_for
from tui.widgets.lines import Part, fit, fit_in, strip_of, two_ends, width_of
from tui.widgets.row_painter import RowPainter, Styles
from tui.widgets.search_line import place
from tui.widgets.tree_window import TreeWindow


class TreeView(TreeWindow):
    """Draws the visible rows; folds, searches and tags them."""

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
        "tree--tag",
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
        & > .tree--tag { color: $warning; text-style: bold; }
        & > .tree--group { color: $accent; text-style: bold; background: $surface; }
        & > .tree--group-detail { color: $text-muted; background: $surface; }
    }
    """

    class Searched(Message):
        """A search was answered."""

        def __init__(self, text: str, matches: SearchMatches) -> None:
            super().__init__()
            self.text = text
            self.matches = matches

    def __init__(self) -> None:
        super().__init__()
        self.searched = ""
        self.matches = SearchMatches()
        self.tagged: frozenset[ProcessKey] = frozenset()
        self.columns: tuple[str, ...] = ()
        self._unfold_below = False
        self._painter: RowPainter | None = None
        self._kept: dict[tuple[object, ...], tuple[Row, Strip]] = {}
        self._drawn: dict[tuple[object, ...], tuple[Row, Strip]] = {}

    # --- commands ------------------------------------------------------------------------------

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
        self._fold_below(unfold=True)

    def action_fold_subtree(self) -> None:
        self._fold_below(unfold=False)

    def action_fold_everything(self) -> None:
        if self.folded:
            self._set_folded(frozenset())
        else:
            self._unfold_below = False
            self.ask_below("")

    def action_follow(self) -> None:
        self.follow = not self.follow
        self.ask()
        self.redraw()

    def search(self, text: str) -> None:
        """Go to the first row from the cursor on that contains `text`; an empty text ends the search."""
        self.searched, self.matches = text, SearchMatches()
        if text.strip():
            self.ask_find(text, 0)
        else:
            self.post_message(self.Searched(text, self.matches))
        self.redraw()

    def action_match(self, step: int) -> None:
        """Go to the next match (1) or the previous one (-1)."""
        if self.searched.strip():
            self.ask_find(self.searched, step)
        else:
            self.notify("No search: press ctrl+f to start one", timeout=3)

    def answer_find(self, matches: SearchMatches) -> None:
        """Go to the match, unfolding the rows that hide it."""
        self.matches = matches
        if matches.hidden_by:
            self._set_folded(self.folded - matches.hidden_by)
        if matches.key is not None:
            self.go_to(matches.key)
        self.post_message(self.Searched(self.searched, matches))

    def set_columns(self, columns: tuple[str, ...]) -> None:
        """Show these columns, as far as they fit; empty: all."""
        self.columns = columns
        self.redraw()

    def action_tag(self) -> None:
        """Tag or untag the process under the cursor, then move to the next row."""
        key = process_key(self.cursor_row)
        if key is not None:
            self.tagged = self.tagged ^ {key}
        self.move_to(self.cursor + 1)

    def action_untag_all(self) -> None:
        self.tagged = frozenset()
        self.redraw()

    def chosen(self) -> tuple[ProcessKey, ...]:
        """Return the tagged processes, else the one under the cursor, else none."""
        if self.tagged:
            return tuple(sorted(self.tagged))
        key = process_key(self.cursor_row)
        return () if key is None else (key,)

    def _fold_below(self, *, unfold: bool) -> None:
        row = self.cursor_row
        if row is not None and row.folded is not None:
            self._unfold_below = unfold
            self.ask_below(row.key)

    def answer_below(self, keys: tuple[RowKey, ...]) -> None:
        """Fold or unfold the nodes of the requested subtree."""
        below = frozenset(keys)
        self._set_folded(self.folded - below if self._unfold_below else self.folded | below)

    def _set_folded(self, folded: frozenset[RowKey]) -> None:
        self.folded = folded
        self.ask()

    # --- drawing -------------------------------------------------------------------------------

    def draw(self, width: int, height: int) -> list[Strip]:
        if self._painter is None:
            self._painter = self._load_styles()
        self._kept, self._drawn = self._drawn, {}
        return list(super().draw(width, height))

    def draw_head(self, width: int) -> Strip:
        style = self.style_of("pane--head")
        left: list[Part] = [(" ", style)]
        for column in columns_for(width - 1, self.grouping, self.columns):
            left.append((fit(column.title, column.width, column.right) + " ", style))
        left.append(("TREE", style))
        words = self._status()
        room = width - sum(width_of(text) for text, _ in left) - 2
        while words and width_of(" · ".join(words)) > room:
            del words[0]
        return two_ends(left, [(" · ".join(words) + " ", style)], width, style)

    def _status(self) -> list[str]:
        """Return the settings that differ from the default, the least important first."""
        words = ["container view" if self.grouping is Grouping.CONTAINERS else "parent view"]
        if self.sort is not SortKey.TREE:
            words.append(f"by {self.sort}")
        if self.reverse:
            words.append("inverted")
        if self.follow:
            words.append("follow")
        if self.tagged:
            words.append(f"{len(self.tagged)} tagged")
        if self.searched.strip() and not self.matches.problem:
            words.append(f"“{fit_in(self.searched, 24)}” {place(self.matches)}")
        return words

    def draw_row(self, index: int, width: int, thumb: bool | None) -> Strip:
        row = self.row_at(index)
        if row is None:
            return strip_of([("   …", self.style_of("tree--dim"))], width, self.plain)
        age = fmt.age(self.now_ns - row.start_ns) if row.start_ns else ""
        look = (self.grouping, self.columns, width, thumb)
        key = (id(row), age, index == self.cursor, row.key in self.tagged, look)
        kept = self._kept.get(key)
        if kept is None or kept[0] is not row:
            kept = (row, self._draw_row(row, age, index == self.cursor, width, thumb))
        self._drawn[key] = kept
        return kept[1]

    def _draw_row(self, row: Row, age: str, selected: bool, width: int, thumb: bool | None) -> Strip:
        paint = self._painter
        assert paint is not None
        parts = paint.parts(row, age, columns_for(width - 1, self.grouping, self.columns), selected)
        if row.key in self.tagged:
            parts[0] = ("*", paint.style("tree--tag", selected))
        return strip_of(parts, width, paint.rest(row, selected), self.bar(thumb))

    def _load_styles(self) -> RowPainter:
        over = self.cursor_style()
        base = self.plain
        styles: Styles = {"": (base, base + over)}
        for name in self.COMPONENT_CLASSES:
            style = self.style_of(name)
            styles[name] = (style, style + over)
        return RowPainter(styles)

    def _styles_changed(self) -> None:
        self._painter = None
        self._kept = self._drawn = {}


def _depth(row: Row) -> int:
    """Return how far a row is indented; every group is outside of every process."""
    return len(row.guides) - (0 if row.kind is RowKind.PROCESS else 1000)


def process_key(row: Row | None) -> ProcessKey | None:
    """Return the process of a row; None for a group or no row."""
    return row.key if row is not None and isinstance(row.key, ProcessKey) else None
