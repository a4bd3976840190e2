"""The line where the filter is typed, with what is wrong with it beside it."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.message import Message
from textual.strip import Strip
from textual.widgets import Input, Label

from tui.keymap import bindings
from tui.widgets.lines import LineWidget, strip_of


class FilterInput(Input):
    """One line of text whose own keys are those of the registry."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("filter")]
    SCOPES: ClassVar[tuple[str, ...]] = ("filter",)

    class Left(Message):
        """The person is done typing; `cleared` when the filter is to go."""

        def __init__(self, cleared: bool) -> None:
            super().__init__()
            self.cleared = cleared

    def validate_value(self, value: str) -> str:
        """Let only text in: what is pasted may hold anything."""
        return "".join(char for char in value if char.isprintable())

    def action_done(self) -> None:
        self.post_message(self.Left(cleared=False))

    def action_clear(self) -> None:
        self.post_message(self.Left(cleared=True))


class FilterNote(LineWidget):
    """What is wrong with the filter, or what could be typed."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"note--problem", "note--hint"}

    def __init__(self) -> None:
        super().__init__()
        self._problem = ""

    def show(self, problem: str) -> None:
        """Show a problem; an empty text: there is none."""
        self._problem = problem
        self.redraw()

    def draw(self, width: int, height: int) -> list[Strip]:
        if self._problem:
            part = (f"! {self._problem}", self.style_of("note--problem"))
        else:
            part = ("src: ctr: pod: user: pid: state: cpu> mem> !", self.style_of("note--hint"))
        return [strip_of([part], width, self.rich_style)]


class FilterLine(Horizontal):
    """Stays as long as there is a filter, so that nobody takes a part of the host for all of it."""

    DEFAULT_CSS = """
    FilterLine {
        height: 1;
        display: none;
        background: $panel;
        & > Label { width: 8; padding: 0 1; color: $primary; text-style: bold; }
        & > FilterInput {
            width: 2fr; background: $surface;
            &:focus { background: $boost; }
        }
        & > FilterNote { width: 3fr; padding: 0 1; background: $panel;
            & > .note--problem { color: $error; text-style: bold; }
            & > .note--hint { color: $text-disabled; }
        }
    }
    """

    def compose(self) -> ComposeResult:
        yield Label("filter")
        yield FilterInput(compact=True, select_on_focus=False)
        yield FilterNote()

    @property
    def input(self) -> FilterInput:
        return self.query_one(FilterInput)

    def open(self) -> None:
        """Show the line and give it the keys at once: what is typed next belongs to it."""
        self.display = True
        self.screen.set_focus(self.input)

    def close(self) -> None:
        """Hide the line."""
        self.display = False

    def show_problem(self, problem: str) -> None:
        """Say what is wrong with the filter."""
        self.query_one(FilterNote).show(problem)
