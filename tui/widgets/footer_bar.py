"""The last line: the keys that work here, most wanted first."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual.strip import Strip

from tui.keymap import Command
from tui.widgets.lines import LineWidget, Part, strip_of, width_of

_ALWAYS = 90
"""From this rank on a command is shown before all others: how to get help, how to get out."""


class FooterBar(LineWidget):
    """Made from the registry for the scopes that are live; what does not fit is in the help."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"footer--key", "footer--title"}
    DEFAULT_CSS = """
    FooterBar {
        height: 1;
        background: $panel;
        & > .footer--key { color: $primary; text-style: bold; }
        & > .footer--title { color: $text-muted; }
    }
    """

    def __init__(self) -> None:
        super().__init__()
        self._commands: list[Command] = []

    def show(self, live: Iterable[Command]) -> None:
        """Show the keys of these commands, as far as they belong here."""
        wanted = sorted((command for command in live if command.footer), key=lambda command: command.footer)
        if wanted != self._commands:
            self._commands = wanted
            self.redraw()

    def draw(self, width: int, height: int) -> list[Strip]:
        key, title = self.style_of("footer--key"), self.style_of("footer--title")
        wanted = self._commands
        chosen = set()
        left = width - 1
        for command in sorted(wanted, key=lambda command: command.footer < _ALWAYS):
            needs = width_of(command.first_key) + width_of(command.title) + 3
            if needs <= left:
                chosen.add(command.id)
                left -= needs
        parts: list[Part] = [(" ", title)]
        for command in wanted:
            if command.id in chosen:
                parts.extend([(command.first_key, key), (f" {command.title}  ", title)])
        return [strip_of(parts, width, self.plain)]
