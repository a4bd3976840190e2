"""The line for typing a search, which hides nothing and moves the cursor to the matches."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import BindingType

from core.model.view import SearchMatches
from tui.keymap import bindings
from tui.widgets.format import count
from tui.widgets.prompt_line import PromptInput, PromptLine


class SearchInput(PromptInput):
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("search")]
    SCOPES: ClassVar[tuple[str, ...]] = ("search",)


class SearchLine(PromptLine):
    """Open only while typing; afterwards the title line of the tree shows the search."""

    def __init__(self) -> None:
        hint = "part of a row, or src: ctr: pod: user: pid: …"
        super().__init__("search", SearchInput(compact=True, select_on_focus=True), hint)

    def show_matches(self, text: str, matches: SearchMatches) -> None:
        """Show the result of a search."""
        self.note.show(matches.problem, place(matches) if text.strip() else "")


def place(matches: SearchMatches) -> str:
    """Return the position among the matches, `3 of 17`, or `no match`."""
    return f"{count(matches.number)} of {count(matches.total)}" if matches.key is not None else "no match"
