"""The line with the names of the screens, with the current one marked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import events
from textual.strip import Strip

from tui.keymap import Command
from tui.widgets.lines import LineWidget, Part, strip_of, width_of


class TabLine(LineWidget):
    """`1 Processes  2 Build …`, from the registry; a click opens the screen."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"tab--active", "tab--other", "tab--key"}
    DEFAULT_CSS = """
    TabLine {
        height: 1;
        background: $panel;
        & > .tab--active { color: $background; background: $primary; text-style: bold; }
        & > .tab--other { color: $text-muted; }
        & > .tab--key { color: $foreground; text-style: bold; }
    }
    """

    def __init__(self, tabs: Sequence[Command], active: str) -> None:
        super().__init__()
        self._tabs = tabs
        self._active = active

    def draw(self, width: int, height: int) -> list[Strip]:
        parts: list[Part] = []
        for tab in self._tabs:
            if tab.id == f"screen.{self._active}":
                # Brackets mark the active tab without colours too.
                parts.append((f"[{tab.first_key} {tab.title}]", self.style_of("tab--active")))
            else:
                parts.append((f" {tab.first_key}", self.style_of("tab--key")))
                parts.append((f" {tab.title} ", self.style_of("tab--other")))
        return [strip_of(parts, width, self.plain)]

    async def on_click(self, event: events.Click) -> None:
        right = 0
        for tab in self._tabs:
            right += width_of(f" {tab.first_key} {tab.title} ")
            if event.x < right:
                await self.app.run_action(tab.action)
                return
