"""The sort menu: one line per order, with the key that selects it without the menu."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import BindingType

from core.model.view import SortKey
from tui.screens.menu import Menu

WORDS = {
    SortKey.TREE: "birth       oldest first; stable",
    SortKey.CPU: "cpu       P busiest subtree first",
    SortKey.MEMORY: "memory    M largest subtree first",
    SortKey.AGE: "age       T youngest first",
    SortKey.PID: "pid         smallest first",
    SortKey.NAME: "name        A to Z",
}


class SortMenu(Menu):
    """Returns the chosen order, None if closed."""

    BINDINGS: ClassVar[list[BindingType]] = [("s", "dismiss(None)", "Close")]

    def __init__(self, chosen: SortKey) -> None:
        super().__init__("sort siblings by", {str(sort): words for sort, words in WORDS.items()}, chosen)
