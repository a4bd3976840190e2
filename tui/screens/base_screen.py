"""The base of the screens: header, tabs and footer around a body."""

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
        tabs = [command for command in self.app.commands(["everywhere"]) if command.id.startswith("screen.")]
        yield TabLine(tabs, self.NAME)
        yield from self.compose_body()
        yield FooterBar()

    def compose_body(self) -> ComposeResult:
        """Yield the widgets between the tabs and the footer."""
        raise NotImplementedError

    def show_frame(self, frame: Frame) -> None:
        """Show a new frame. Called only for the screen on display, and when it comes on display."""
        self.query_one(HeaderBar).show(frame.header)

    def live_scopes(self) -> tuple[str, ...]:
        """Return the scopes with live keys, those of the focused widget first."""
        focused: tuple[str, ...] = getattr(self.focused, "SCOPES", ())
        if isinstance(self.focused, Input):  # it receives every letter
            return focused
        return (*focused, self.NAME, "everywhere")

    def on_mount(self) -> None:
        self.watch(self, "focused", lambda _: self._show_footer())

    def _show_footer(self) -> None:
        self.query_one(FooterBar).show(self.app.commands(self.live_scopes()))

    def show_problem(self, problem: str) -> None:
        """Show in the header why live updates stopped."""
        self.query_one(HeaderBar).show_problem(problem)

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """Report a failed worker thread and continue; all of our workers have exit_on_error=False."""
        error = event.worker.error
        if event.state is WorkerState.ERROR and error is not None:
            _LOG.info("a worker failed", exc_info=error)
            reason = safe_text(str(error) or type(error).__name__)
            self.notify(f"Refresh failed: {reason}; press r to retry", severity="error", markup=False)

    def on_screen_resume(self) -> None:
        if self.app.problem:
            self.call_after_refresh(self.show_problem, self.app.problem)
        if self.app.frame is not None:
            self.call_after_refresh(self._show_latest)

    def _show_latest(self) -> None:
        if self.app.frame is not None:
            self.show_frame(self.app.frame)
