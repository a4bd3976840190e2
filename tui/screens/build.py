"""Screen 2: what can be built, what is being built, and what went wrong, the diagnosis first."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import ClassVar

from platformdirs import user_cache_path
from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.message import Message

from buildgen.session.board import Board, TargetRow, place_of
from buildgen.session.session import BuildMessage, BuildSession, Projects
from core.text.safe import safe_text
from tui.editor import edit
from tui.keymap import bindings
from tui.read_only import changes
from tui.reload import own_probe
from tui.screens.base_screen import BaseScreen
from tui.screens.build_rows import detail_of, target_row, tools_of
from tui.screens.confirm_project import ConfirmProject
from tui.widgets import format as fmt
from tui.widgets.list_pane import Cell, Line, ListPane, titles
from tui.widgets.progress_line import ProgressLine


class BuildScreen(BaseScreen):
    """`b` builds the target under the cursor, `B` all, `x` cancels. Shows what its build session knows."""

    NAME = "build"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("build")]
    DEFAULT_CSS = """
    BuildScreen {
        & #targets { height: 1fr; }
        & #detail { height: 1fr; }
    }
    """

    class FromSession(Message):
        """A message of the build session, for its owner: this screen."""

        def __init__(self, message: BuildMessage) -> None:
            super().__init__()
            self.message = message

    def __init__(self) -> None:
        super().__init__()
        self.targets = ListPane()
        self.progress = ProgressLine()
        self.detail = ListPane(wraps=True)
        self.session: BuildSession

    def compose_body(self) -> ComposeResult:
        self.targets.id, self.detail.id = "targets", "detail"
        yield self.targets
        yield self.progress
        yield self.detail

    def on_mount(self) -> None:
        super().on_mount()
        projects = Projects(Path(), own_probe(user_cache_path("ebpf-tui")))
        self.session = BuildSession(self.app.settings.host, projects, self._post)
        self.targets.show("targets", [[Cell("reading the projects…", "dim")]])
        self.session.read()

    def on_unmount(self) -> None:
        self.session.close()

    def _post(self, message: BuildMessage) -> None:
        """Called in the threads of the session."""
        self.post_message(self.FromSession(message))

    def on_build_screen_from_session(self, event: FromSession) -> None:
        problem = self.session.take(event.message)
        if problem:
            self.notify(problem, severity="error", timeout=10, markup=False)
        self.show_board()

    @property
    def board(self) -> Board | None:
        return self.session.board

    @property
    def building(self) -> bool:
        return self.session.building

    @property
    def watching(self) -> str:
        """Say that saves are watched; empty while they are not."""
        if not self.session.saves.is_on:
            return ""
        files = self.session.saves.watched_files
        return "looking for what to watch…" if files is None else f"watching {fmt.count(files)} files"

    # --- commands ------------------------------------------------------------------------------

    @changes("nothing is built")
    def action_build(self) -> None:
        row = self._selected()
        if row is not None:
            self._build([row])

    @changes("nothing is built")
    def action_build_all(self) -> None:
        if self.board is not None:
            self._build(self.board.targets)

    def action_cancel(self) -> None:
        self.session.cancel()

    @changes("nothing is rebuilt")
    def action_watch(self) -> None:
        """Rebuild what is saved, until the next `w` or the end."""
        self.session.watch(not self.session.saves.is_on)
        self.show_board()

    @changes("no editor is opened")
    def action_edit(self) -> None:
        """Open the editor where the diagnosis points, or at the source."""
        row = self._selected()
        if row is None:
            return
        place = place_of(row)
        if place is None:
            where = safe_text(str(row.target.source))
            self.notify(f"{where} is not there", severity="warning", markup=False)
        else:
            edit(self.app, *place)

    def action_again(self) -> None:
        """Read the projects again."""
        if not self.building:
            self.session.read()

    def _build(self, rows: list[TargetRow]) -> None:
        if self.building:
            self.notify("a build is running: x cancels it", severity="warning")
            return
        unconfirmed = self.session.first_unconfirmed(rows)
        if unconfirmed is not None:
            answered = partial(self._answered, unconfirmed, rows)
            self.app.push_screen(ConfirmProject(unconfirmed.plan), answered)
            return
        self.session.build(rows)
        self.show_board()

    def _answered(self, unconfirmed: TargetRow, rows: list[TargetRow], yes: bool | None) -> None:
        """The person has seen what a project that others can write to would run."""
        if yes:
            self.session.confirm(unconfirmed.plan, rows)
        elif others := [row for row in rows if row.plan.trust.may_build]:
            self._build(others)

    # --- showing -------------------------------------------------------------------------------

    def _selected(self) -> TargetRow | None:
        if self.board is None or not self.board.targets:
            return None
        return self.board.targets[min(self.targets.cursor, len(self.board.targets) - 1)]

    def show_board(self) -> None:
        """Draw what the session knows now."""
        board = self.board
        if board is None:
            return
        head = titles(("  OBJECT", 30), ("ARCH", 8), ("VARIANT", 10), ("STATE", 10))
        head += titles(("TIME", -7), ("SIZE", -6), ("INSNS", -12))
        rows = [target_row(row) for row in board.targets]
        self.targets.show(head, rows or [[Cell("nothing to build here", "warn")]], tools_of(board))
        self.progress.show(board, self.building, self.watching)
        self._show_detail()

    @on(ListPane.Moved, "#targets")
    def _show_detail(self) -> None:
        board, row = self.board, self._selected()
        if board is None:
            return
        lines: list[Line] = [[Cell(f"! {problem}", "bad")] for problem in board.problems]
        lines.extend([Cell(f"! {warning}", "warn")] for warning in board.warnings)
        if row is not None:
            lines.extend(detail_of(row))
        self.detail.show(f"{row.target.label}" if row is not None else "log", lines)
