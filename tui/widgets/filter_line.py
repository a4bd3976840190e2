"""The line where the filter is typed, with what is wrong with it beside it."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import BindingType

from tui.keymap import bindings
from tui.widgets.prompt_line import PromptInput, PromptLine


class FilterInput(PromptInput):
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("filter")]
    SCOPES: ClassVar[tuple[str, ...]] = ("filter",)


class FilterLine(PromptLine):
    """Stays as long as there is a filter, so that nobody takes a part of the host for all of it."""

    def __init__(self) -> None:
        hint = "src: ctr: pod: user: pid: state: cpu> mem> !"
        super().__init__("filter", FilterInput(compact=True, select_on_focus=False), hint)

    def show_problem(self, problem: str) -> None:
        """Say what is wrong with the filter."""
        self.note.show(problem)
