"""What all screens have in common: header, tabs and footer around a body."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.screen import Screen
from textual.widgets import Input

from core.view import Frame
from tui.widgets.footer_bar import FooterBar
from tui.widgets.header_bar import HeaderBar
from tui.widgets.tab_line import TabLine

if TYPE_CHECKING:
    from tui.app import EbpfApp


class Room(Screen[None]):
    """One of the screens `1`-`5`. `NAME` is its scope in the registry and its mode in the app."""

    NAME: ClassVar[str] = ""
    VERTICAL_BREAKPOINTS = [(0, "-tiny"), (8, "-low"), (16, "-high")]  # noqa: RUF012  # as in Screen
    DEFAULT_CSS = """
    Room {
        overflow: hidden;
        &.-tiny TabLine, &.-tiny FooterBar { display: none; }
    }
    """

    app: EbpfApp

    def compose(self) -> ComposeResult:
        yield HeaderBar()
        rooms = [command for command in self.app.commands(["everywhere"]) if command.id.startswith("room.")]
        yield TabLine(rooms, self.NAME)
        yield from self.compose_body()
        yield FooterBar()

    def compose_body(self) -> ComposeResult:
        """Yield what stands between the tabs and the footer."""
        raise NotImplementedError

    def show_frame(self, frame: Frame) -> None:
        """Take a new frame. Called for the screen in sight only, and when it comes into sight."""
        self.query_one(HeaderBar).show(frame.header)

    def live_scopes(self) -> tuple[str, ...]:
        """Return the scopes whose keys work now, the focused widget's first."""
        focused: tuple[str, ...] = getattr(self.focused, "SCOPES", ())
        if isinstance(self.focused, Input):  # it takes every letter
            return focused
        return (*focused, self.NAME, "everywhere")

    def on_mount(self) -> None:
        self.watch(self, "focused", lambda _: self._show_footer())

    def _show_footer(self) -> None:
        self.query_one(FooterBar).show(self.app.commands(self.live_scopes()))

    def show_problem(self, problem: str) -> None:
        """Say in the header why no more frames come."""
        self.query_one(HeaderBar).show_problem(problem)

    def on_screen_resume(self) -> None:
        if self.app.problem:
            self.call_after_refresh(self.show_problem, self.app.problem)
        if self.app.frame is not None:
            self.call_after_refresh(self._show_latest)

    def _show_latest(self) -> None:
        if self.app.frame is not None:
            self.show_frame(self.app.frame)
