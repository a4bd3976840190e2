"""The command palette: the commands of the registry, by name."""

from __future__ import annotations

from functools import partial

from textual.command import DiscoveryHit, Hit, Hits, Provider

from tui.keymap import Command
from tui.screens.base_screen import BaseScreen


class CommandProvider(Provider):
    """Offers the commands that are live on the screen from which the palette was opened."""

    async def discover(self) -> Hits:
        for command in self._live():
            yield DiscoveryHit(_name(command), partial(self._run, command), help=command.help)

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for command in self._live():
            score = matcher.match(_name(command))
            if score > 0:
                name = matcher.highlight(_name(command))
                yield Hit(score, name, partial(self._run, command), help=command.help)

    def _live(self) -> list[Command]:
        screen = self.screen
        if not isinstance(screen, BaseScreen):
            return []
        live = screen.app.commands(screen.live_scopes())
        return [command for command in live if command.id != "app.palette"]

    async def _run(self, command: Command) -> None:
        screen = self.screen
        home = {"everywhere": self.app, getattr(screen, "NAME", ""): screen}
        target = home.get(command.scope, self.focused)
        await self.app.run_action(command.action, target)


def _name(command: Command) -> str:
    return f"{command.title} ({command.shown_keys})"
