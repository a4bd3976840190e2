"""The column menu: each choice takes effect at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from rich.text import Text
from textual.binding import BindingType
from textual.widgets import OptionList

from tui.config import COLUMNS
from tui.screens.menu import Menu

_NONE = ("source",)
"""The column that is always shown. Requested alone when all others are off: an empty choice means all."""


class ColumnMenu(Menu):
    """Calls `changed` with the chosen columns; empty: all that fit."""

    BINDINGS: ClassVar[list[BindingType]] = [
        ("space", "turn", "Toggle"),
        ("C", "dismiss(None)", "Close"),
    ]

    def __init__(self, wanted: tuple[str, ...], changed: Callable[[tuple[str, ...]], None]) -> None:
        self._wanted = set(wanted or COLUMNS)
        self._changed = changed
        super().__init__(
            "columns, as far as they fit", {name: self._words_of(name) for name in COLUMNS}, COLUMNS[0]
        )

    def _words_of(self, name: str) -> str:
        return f"[{'x' if name in self._wanted else ' '}] {name}"

    def action_turn(self) -> None:
        self.query_one(OptionList).action_select()

    def choose(self, name: str) -> None:
        """Turn a column on or off; the menu stays open."""
        self._wanted ^= {name}
        self.query_one(OptionList).replace_option_prompt(name, Text(self._words_of(name)))
        wanted = tuple(column for column in COLUMNS if column in self._wanted)
        self._changed(() if wanted == COLUMNS else wanted or _NONE)
