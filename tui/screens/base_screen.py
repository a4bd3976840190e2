"""What all screens have in common: header, tabs and footer around a body."""

from __future__ import annotations

import logging
from typing import ClassVar

from textual.app import ComposeResult
from textual.screen import Screen
from textual.widgets import Input
from textual.worker import Worker, WorkerState

from core.model.view import Frame
from core.text.safe import safe_text
from tui.base_app import BaseApp
from tui.widgets.footer_bar import FooterBar
from tui.widgets.header_bar import HeaderBar
from tui.widgets.tab_line import TabLine

_LOG = logging.getLogger(__name__)


class BaseScreen(Screen[None]):
    """One of the screens `1`-`5`. `NAME` is its scope in the registry and its mode in the app."""

    NAME: ClassVar[str] = ""
    VERTICAL_BREAKPOINTS = [(0, "-tiny"), (8, "-low"), (16, "-high")]  # noqa: RUF012  # as in Screen
    DEFAULT_CSS = """
    BaseScreen {
        overflow: hidden;
        &.-tiny TabLine, &.-tiny FooterBar { display: none; }
    }
    """

    app: BaseApp

    def compose(self) -> ComposeResult:
        yield HeaderBar()
        rooms = [command for command in self.app.commands(["everywhere"]) if command.id.startswith("screen.")]
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

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """A thread that failed (all of ours have exit_on_error=False) is told, and the session goes on."""
        error = event.worker.error
        if event.state is WorkerState.ERROR and error is not None:
            _LOG.info("a worker failed", exc_info=error)
            what = safe_text(str(error) or type(error).__name__)
            self.notify(f"looking failed: {what}; r looks again", severity="error", markup=False)

    def on_screen_resume(self) -> None:
        if self.app.problem:
            self.call_after_refresh(self.show_problem, self.app.problem)
        if self.app.frame is not None:
            self.call_after_refresh(self._show_latest)

    def _show_latest(self) -> None:
        if self.app.frame is not None:
            self.show_frame(self.app.frame)
