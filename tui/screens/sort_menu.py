"""The sort menu: one line per order, chosen with enter or by its letter."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.screen import ModalScreen
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from core.view import SortKey

WORDS = {
    SortKey.TREE: "birth       the stable order",
    SortKey.CPU: "cpu       P busiest subtree first",
    SortKey.MEMORY: "memory    M largest subtree first",
    SortKey.AGE: "age       T youngest first",
    SortKey.PID: "pid         smallest first",
    SortKey.NAME: "name        from a to z",
}


class SortMenu(ModalScreen[SortKey | None]):
    """Returns the order that was chosen, None when it was closed."""

    BINDINGS: ClassVar[list[BindingType]] = [("escape,q,s", "dismiss(None)", "Close")]
    DEFAULT_CSS = """
    SortMenu {
        align: center middle;
        & > OptionList {
            width: 40; height: auto; max-height: 90%;
            border: round $primary; border-title-color: $primary; background: $surface;
            &:focus { border: round $primary; }
        }
    }
    """

    def __init__(self, chosen: SortKey) -> None:
        super().__init__()
        self._chosen = chosen

    def compose(self) -> ComposeResult:
        options = OptionList(*(Option(Text(words), id=str(sort)) for sort, words in WORDS.items()))
        options.border_title = "order of siblings"
        options.highlighted = list(WORDS).index(self._chosen)
        yield options

    @on(OptionList.OptionSelected)
    def _choose(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(SortKey(str(event.option_id)))
