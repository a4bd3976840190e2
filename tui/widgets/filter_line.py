"""The line for typing the filter, with its error next to it."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import BindingType

from tui.keymap import bindings
from tui.widgets.prompt_line import PromptInput, PromptLine


class FilterInput(PromptInput):
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("filter")]
    SCOPES: ClassVar[tuple[str, ...]] = ("filter",)


class FilterLine(PromptLine):
    """Stays open while there is a filter, as a reminder that only a part of the host is visible."""

    def __init__(self) -> None:
        hint = "src: ctr: pod: user: pid: state: cpu> mem> !"
        super().__init__("filter", FilterInput(compact=True, select_on_focus=False), hint)

    def show_problem(self, problem: str) -> None:
        """Show what is wrong with the filter."""
        self.note.show(problem)
