"""A small list above the screen, from which the user chooses one entry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.screen import ModalScreen
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from tui.widgets.lines import fit_in, width_of

_BORDER = 4


class Menu(ModalScreen[str | None]):
    """Returns the key of the chosen entry, None if closed. `words` maps keys to safe texts."""

    BINDINGS: ClassVar[list[BindingType]] = [("escape,q", "dismiss(None)", "Close")]
    DEFAULT_CSS = """
    Menu {
        align: center middle;
        & > OptionList {
            width: 40; max-width: 100%; height: auto; max-height: 90%;
            border: round $primary; border-title-color: $primary; background: $surface;
            &:focus { border: round $primary; }
        }
    }
    """

    def __init__(self, title: str, words: Mapping[str, str], chosen: str) -> None:
        super().__init__()
        self._title = title
        self._words = words
        self._chosen = chosen

    def compose(self) -> ComposeResult:
        options = OptionList(*(Option(Text(words), id=key) for key, words in self._words.items()))
        width = max(36, *(width_of(words) for words in self._words.values()))
        options.styles.width = width + _BORDER
        options.border_title = Text(fit_in(self._title, width - 2))
        options.highlighted = list(self._words).index(self._chosen)
        yield options

    @on(OptionList.OptionSelected)
    def _choose(self, event: OptionList.OptionSelected) -> None:
        self.choose(str(event.option_id))

    def choose(self, key: str) -> None:
        """Return the chosen key to the screen below."""
        self.dismiss(key)
