"""The last line: the keys that work here, most wanted first."""

from __future__ import annotations

from typing import ClassVar

from textual.strip import Strip

from tui.keymap import footer
from tui.widgets.lines import LineWidget, Part, strip_of, width_of


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
        self._scopes: tuple[str, ...] = ()

    def show(self, scopes: tuple[str, ...]) -> None:
        """Show the keys of these scopes."""
        if scopes != self._scopes:
            self._scopes = scopes
            self.redraw()

    def draw(self, width: int, height: int) -> list[Strip]:
        key, title = self.style_of("footer--key"), self.style_of("footer--title")
        parts: list[Part] = [(" ", title)]
        left = width - 1
        for command in footer(self._scopes):
            shown = command.shown_keys.split(" ")[0]
            needs = width_of(shown) + width_of(command.title) + 3
            if needs <= left:
                parts.extend([(shown, key), (f" {command.title}  ", title)])
                left -= needs
        return [strip_of(parts, width, self.rich_style)]
