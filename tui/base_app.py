"""What the screens may ask of the app that shows them."""

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
    """The state that all screens share. The app itself opens the screens and feeds them frames."""

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
        """Why no more frames come, or empty."""
        self.history = History()

    def commands(self, scopes: Iterable[str]) -> list[Command]:
        """Return the commands of these scopes that can be used here, with the keys that they have."""
        known = commands(scopes, self.config.keys)
        return [command for command in known if not (self.settings.read_only and command.id in CHANGES)]

    @property
    def is_live(self) -> bool:
        """Return whether what is shown is this host now, not a recording."""
        raise NotImplementedError

    @property
    def past(self) -> Past:
        """Return how far what is shown is behind the present."""
        return self.frame.header.past if self.frame is not None else Past()
