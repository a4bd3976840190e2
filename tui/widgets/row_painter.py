"""Turns one Row of the tree into the styled parts of a line."""

from __future__ import annotations

from rich.style import Style

from core.model.view import Row, RowKind
from tui.widgets import format as fmt
from tui.widgets.columns import Column
from tui.widgets.lines import Part, fit

Styles = dict[str, tuple[Style, Style]]
"""The style of each component class, without and with the cursor on the row."""


class RowPainter:
    """Draws rows in one set of styles."""

    def __init__(self, styles: Styles) -> None:
        self._styles = styles

    def style(self, name: str, selected: bool) -> Style:
        """Return the style of a component class."""
        return self._styles[name][selected]

    def parts(self, row: Row, age: str, columns: tuple[Column, ...], selected: bool) -> list[Part]:
        """Return the line of a row; the remaining width is filled with the style of `rest`."""
        draw = self._process if row.kind is RowKind.PROCESS else self._group
        return draw(row, age, columns, selected)

    def rest(self, row: Row, selected: bool) -> Style:
        """Return the style of the cells to the right of the text."""
        return self.style("tree--group" if row.kind is not RowKind.PROCESS else "", selected)

    def _process(self, row: Row, age: str, columns: tuple[Column, ...], selected: bool) -> list[Part]:
        plain = "tree--ended" if row.ended else "tree--dim" if row.dim else ""
        number = self.style(plain or "tree--number", selected)
        source = f"tree--{row.source.partition('‹')[0]}"
        style = self.style(plain or (source if source in self._styles else "tree--unknown"), selected)
        parts: list[Part] = [(_mark(row), self.style(plain or "tree--fresh", selected))]
        fields = [fit(column.text(row, age), column.width, column.right) + " " for column in columns]
        if fields:
            parts.append((fields[0], style))  # coloured by source
            parts.append(("".join(fields[1:]), number))
        parts.append((row.guides, self.style("tree--guides", selected)))
        if row.folded:
            parts.append((f"▸+{row.count - 1} ", number))
        parts.extend(self._command(row, plain, selected))
        if row.detail:
            parts.append((f"  {row.detail}", self.style("tree--dim", selected)))
        return parts

    def _command(self, row: Row, plain: str, selected: bool) -> list[Part]:
        """Return the command, with the program's name emphasised over its path and arguments."""
        if plain or row.text.startswith("["):
            return [(row.text, self.style(plain or "tree--kthread", selected))]
        program, blank, args = row.text.partition(" ")
        directory, slash, name = program.rpartition("/")
        return [
            (directory + slash, self.style("tree--path", selected)),
            (name, self.style("tree--fresh" if row.fresh else "tree--name", selected)),
            (blank + args, self.style("tree--args", selected)),
        ]

    def _group(self, row: Row, age: str, columns: tuple[Column, ...], selected: bool) -> list[Part]:
        name, detail = self.style("tree--group", selected), self.style("tree--group-detail", selected)
        sign = "" if row.kind is RowKind.HOST else "⬢ "
        label = f"{row.guides}{'▸' if row.folded else '▾'} {sign}{row.text}"
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


def _mark(row: Row) -> str:
    """Return the sign of new and ended rows: colour is never the only sign."""
    return "×" if row.ended else "+" if row.fresh else " "
