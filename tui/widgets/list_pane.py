"""A pane with all its rows in memory: tables of targets, candidates, flags, log lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

from rich.style import Style
from textual.strip import Strip

from tui.widgets.cursor_pane import CursorPane
from tui.widgets.lines import Part, fit, strip_of, two_ends, width_of


class Cell(NamedTuple):
    """Some safe text and its kind: empty (plain), good, bad, warn, dim, title or key."""

    text: str
    kind: str = ""


Line = Sequence[Cell]


class ListPane(CursorPane):
    """Shows lines of cells. With `wraps` a long line continues on the next row, indented."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "list--good",
        "list--bad",
        "list--warn",
        "list--dim",
        "list--title",
        "list--key",
    }
    DEFAULT_CSS = """
    ListPane {
        height: 1fr;
        & > .list--good { color: $success; }
        & > .list--bad { color: $error; text-style: bold; }
        & > .list--warn { color: $warning; }
        & > .list--dim { color: $text-muted; }
        & > .list--title { color: $accent; text-style: bold; }
        & > .list--key { color: $primary; }
    }
    """

    def __init__(self, *, wraps: bool = False) -> None:
        super().__init__()
        self._wraps = wraps
        self._title: tuple[str, str] = ("", "")
        self._given: Sequence[Line] = ()
        self._lines: list[Line] = []
        self._origins: list[int] = []
        self._wrapped_at = 0

    @property
    def row_count(self) -> int:
        return len(self._lines)

    @property
    def given(self) -> int:
        """The index of the cursor's line as passed to `show`: a long line takes several rows."""
        return self._origins[self.cursor] if self.cursor < len(self._origins) else 0

    def show(self, title: str, lines: Sequence[Line], note: str = "") -> None:
        """Show these lines below `title`; the cursor stays on its line number."""
        self._title = (title, note)
        self._given = lines
        self._arrange()
        self.cursor = max(0, min(self.cursor, self.row_count - 1))
        self.top = max(0, min(self.top, self.row_count - self.page))
        self.redraw()

    def line_at(self, index: int) -> Line:
        """Return the line of a row; called only for visible rows."""
        return self._lines[index]

    def _arrange(self) -> None:
        if self._wraps and self.size.width > 2:
            width = self.size.width - 2
            parts = [(part, at) for at, line in enumerate(self._given) for part in _wrapped(line, width)]
            self._lines = [part for part, _ in parts]
            self._origins = [at for _, at in parts]
        else:
            self._lines = list(self._given)
            self._origins = list(range(len(self._lines)))

    def on_resize(self) -> None:
        self._arrange()
        super().on_resize()

    def draw_head(self, width: int) -> Strip:
        style = self.style_of("pane--head")
        title, note = self._title
        # Besides the colour of the cursor, this sign marks the pane with the focus.
        sign = "▸" if self.has_focus else " "
        return two_ends([(f"{sign}{title}", style)], [(f"{note} ", style)] if note else [], width, style)

    def draw_row(self, index: int, width: int, thumb: bool | None) -> Strip:
        # A pane of text shows its cursor only while it has the focus.
        selected = index == self.cursor and self.can_focus and (self.has_focus or not self._wraps)
        over = self.cursor_style() if selected else Style.null()
        base = self.plain + over
        parts: list[Part] = [(" ", base)]
        for cell in self.line_at(index):
            parts.append((cell.text, self.style_of(f"list--{cell.kind}") + over if cell.kind else base))
        return strip_of(parts, width, base, self.bar(thumb))


def cells(*texts: tuple[str, int] | tuple[str, int, str]) -> list[Cell]:
    """Return a table row of (text, width) or (text, width, kind); a negative width aligns right."""
    row = []
    for text, width, *kind in texts:
        row.append(Cell(fit(text, abs(width), width < 0) + " ", kind[0] if kind else ""))
    return row


def titles(*texts: tuple[str, int]) -> str:
    """Return column titles with the same widths as in `cells`."""
    return "".join(cell.text for cell in cells(*texts))


def _wrapped(line: Line, width: int) -> list[Line]:
    """Break a line that is wider than `width`, at blanks where possible; continuations are indented."""
    if sum(width_of(cell.text) for cell in line) <= width:
        return [line]
    done: list[Line] = []
    row: list[Cell] = []
    left = width
    for cell in line:
        for word in _words(cell.text):
            rest = word
            if width_of(rest) > left and row and width_of(rest.strip()) <= width - 4:
                done.append(row)
                row, left, rest = [Cell("    ")], width - 4, rest.lstrip()
            while width_of(rest) > left:
                cut = max(1, left)
                row.append(Cell(rest[:cut], cell.kind))
                done.append(row)
                row, left, rest = [Cell("    ")], max(1, width - 4), rest[cut:]
            row.append(Cell(rest, cell.kind))
            left -= width_of(rest)
    return [*done, row]


def _words(text: str) -> list[str]:
    """Split a text into words, each with its leading blanks."""
    words: list[str] = []
    start = 0
    for position in range(1, len(text)):
        if text[position] == " " and text[position - 1] != " ":
            words.append(text[start:position])
            start = position
    return [*words, text[start:]] if text else []
