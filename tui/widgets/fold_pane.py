"""A pane of lines that fold: the contents of an object."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from textual.message import Message

from tui.widgets.list_pane import Cell, Line, ListPane


@dataclass(slots=True, eq=False)
class FoldNode:
    """One line and its children. `lazy` is not None: unfolding it posts `FoldPane.Wanted` to load them."""

    line: Line
    children: Sequence[FoldNode] = ()
    is_open: bool = False
    lazy: object = None
    what: object = None
    """The thing that the line represents, for the caller."""
    mark: Cell | None = None
    notes: Sequence[Cell] = ()
    """Added later: a sign before the line, cells after it."""

    @property
    def folds(self) -> bool:
        return bool(self.children) or self.lazy is not None


_Row = tuple[int, FoldNode]
"""(depth, node). A plain tuple for speed: a program of 100,000 instructions unfolds at once."""


class FoldPane(ListPane):
    """Shows a tree with `show_tree`, or plain lines with `show`. Draws only the visible rows."""

    class Wanted(Message):
        """A lazy node was unfolded for the first time: pass its children to `fill`."""

        def __init__(self, node: FoldNode) -> None:
            super().__init__()
            self.node = node

    def __init__(self) -> None:
        super().__init__(wraps=True)
        self._rows: list[_Row] | None = None

    @property
    def row_count(self) -> int:
        return len(self._rows) if self._rows is not None else super().row_count

    @property
    def node(self) -> FoldNode | None:
        """The node under the cursor."""
        rows = self._rows
        return rows[self.cursor][1] if rows is not None and self.cursor < len(rows) else None

    def show(self, title: str, lines: Sequence[Line], note: str = "") -> None:
        self._rows = None
        super().show(title, lines, note)

    def show_tree(self, title: str, nodes: Sequence[FoldNode], note: str = "") -> None:
        """Show these nodes below `title`; the cursor stays on its line number."""
        self._rows = _open_rows(nodes, 0)
        super().show(title, (), note)

    def line_at(self, index: int) -> Line:
        if self._rows is None:
            return super().line_at(index)
        depth, node = self._rows[index]
        sign = ("▾ " if node.is_open else "▸ ") if node.folds else "  "
        mark = [node.mark] if node.mark is not None else []
        return [Cell("  " * depth), Cell(sign, "dim"), *mark, *node.line, *node.notes]

    def toggle(self) -> None:
        if (node := self.node) is not None:
            self._set(self.cursor, not node.is_open)

    def fold(self) -> None:
        """Fold the node; if it is folded already, go to its parent."""
        node = self.node
        if node is None or self._rows is None:
            return
        if node.is_open:
            self._set(self.cursor, False)
            return
        depth = self._rows[self.cursor][0]
        above = range(self.cursor - 1, -1, -1)
        self.move_to(next((at for at in above if self._rows[at][0] < depth), self.cursor))

    def unfold(self) -> None:
        """Unfold the node; if it is open already, go to its first child."""
        node = self.node
        if node is None or not node.folds:
            return
        if not node.is_open:
            self._set(self.cursor, True)
        elif node.children:
            self.move_to(self.cursor + 1)

    def fill(self, node: FoldNode, children: Sequence[FoldNode]) -> None:
        """Set the children of a lazy node; they are shown if it is open and in the tree."""
        at = next((at for at, row in enumerate(self._rows or ()) if row[1] is node), None)
        was_open = node.is_open
        if at is not None and was_open:
            self._set(at, False)
        node.children, node.lazy = children, None
        if at is not None and was_open:
            self._set(at, True)

    def _set(self, at: int, is_open: bool) -> None:
        """Fold or unfold the row `at`. The cursor stays on its row, or moves to the node that hides it."""
        assert self._rows is not None
        depth, node = self._rows[at]
        if not node.folds or node.is_open is is_open:
            return
        below = _open_rows(node.children, depth + 1)
        node.is_open = is_open
        if is_open:
            self._rows[at + 1 : at + 1] = below
            moved = len(below)
        else:
            del self._rows[at + 1 : at + 1 + len(below)]
            moved = -len(below)
        if self.cursor > at:
            self.cursor = max(at, self.cursor + moved)
        if is_open and node.lazy is not None and not node.children:
            self.post_message(self.Wanted(node))
        self.top = max(0, min(self.top, self.row_count - self.page))
        self.move_to(self.cursor)


def _open_rows(nodes: Sequence[FoldNode], depth: int) -> list[_Row]:
    """Return the rows of these nodes and of all their descendants that are not folded away."""
    rows: list[_Row] = []
    for node in nodes:
        rows.append((depth, node))
        if node.is_open:
            rows += _open_rows(node.children, depth + 1)
    return rows
