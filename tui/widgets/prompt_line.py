"""A line at the bottom for typing text, with a note next to it."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.message import Message
from textual.strip import Strip
from textual.widgets import Input, Label

from tui.widgets.lines import LineWidget, strip_of


class PromptInput(Input):
    """One line of text; the subclass adds the key bindings of its scope in the registry."""

    class Left(Message):
        """The user finished typing; `cleared`: the text is to be removed."""

        def __init__(self, prompt: PromptInput, cleared: bool) -> None:
            super().__init__()
            self.prompt = prompt
            self.cleared = cleared

        @property
        def control(self) -> PromptInput:
            return self.prompt

    def validate_value(self, value: str) -> str:
        """Drop unprintable characters: pasted text may contain anything."""
        return "".join(char for char in value if char.isprintable())

    def action_done(self) -> None:
        self.post_message(self.Left(self, cleared=False))

    def action_clear(self) -> None:
        self.post_message(self.Left(self, cleared=True))


class PromptNote(LineWidget):
    """Shows the problem with the text, its result, or a hint what to type."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"note--problem", "note--note", "note--hint"}

    def __init__(self, hint: str) -> None:
        super().__init__()
        self._hint = hint
        self._note = ""
        self._problem = ""

    def show(self, problem: str, note: str = "") -> None:
        """Show the problem, else the note, else the hint; texts are safe."""
        self._problem, self._note = problem, note
        self.redraw()

    def draw(self, width: int, height: int) -> list[Strip]:
        if self._problem:
            part = (f"! {self._problem}", self.style_of("note--problem"))
        elif self._note:
            part = (self._note, self.style_of("note--note"))
        else:
            part = (self._hint, self.style_of("note--hint"))
        return [strip_of([part], width, self.plain)]


class PromptLine(Horizontal):
    """Takes no space while closed."""

    DEFAULT_CSS = """
    PromptLine {
        height: 1;
        display: none;
        background: $panel;
        & > Label { width: 8; padding: 0 1; color: $primary; text-style: bold; }
        & > PromptInput {
            width: 2fr; background: $surface;
            &:focus { background: $boost; }
        }
        & > PromptNote { width: 3fr; padding: 0 1; background: $panel;
            & > .note--problem { color: $error; text-style: bold; }
            & > .note--note { color: $foreground; }
            & > .note--hint { color: $text-disabled; }
        }
    }
    """

    def __init__(self, title: str, prompt: PromptInput, hint: str) -> None:
        super().__init__()
        self._title = title
        self.input = prompt
        self.note = PromptNote(hint)

    def compose(self) -> ComposeResult:
        yield Label(self._title)
        yield self.input
        yield self.note

    def open(self) -> None:
        """Show the line and focus it at once, so that it receives the keys typed next."""
        self.display = True
        self.screen.set_focus(self.input)

    def close(self) -> None:
        """Hide the line."""
        self.display = False
