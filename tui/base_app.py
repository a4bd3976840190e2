"""The part of the app that the screens may use."""

from __future__ import annotations

from collections.abc import Iterable

from textual.app import App

from core.model.view import Frame, Past
from tui.config import Config
from tui.counter_history import History
from tui.frame_source import FrameSource
from tui.keymap import CHANGES, Command, commands
from tui.settings import Settings


class BaseApp(App[None]):
    """The state that all screens share. The app class proper opens the screens and passes frames to them."""

    def __init__(
        self, engine: FrameSource, settings: Settings, config: Config, *, ansi_color: bool | None = None
    ) -> None:
        super().__init__(ansi_color=ansi_color)
        self.engine = engine
        self.settings = settings
        self.config = config
        self.frame: Frame | None = None
        """The newest frame; None before the first one."""
        self.problem = ""
        """Why live updates stopped; empty while they have not."""
        self.history = History()

    def commands(self, scopes: Iterable[str]) -> list[Command]:
        """Return the commands of these scopes that are available, with the user's keys."""
        in_scope = commands(scopes, self.config.keys)
        return [command for command in in_scope if not (self.settings.read_only and command.id in CHANGES)]

    @property
    def is_live(self) -> bool:
        """Return whether the screens show this host, not a recording."""
        raise NotImplementedError

    @property
    def past(self) -> Past:
        """Return how far the frame on screen is behind the present."""
        return self.frame.header.past if self.frame is not None else Past()
