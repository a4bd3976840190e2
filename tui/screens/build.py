"""Screen 2: what can be built, what is being built, and what went wrong, the diagnosis first."""

from __future__ import annotations

import contextvars
import threading
from functools import partial
from pathlib import Path
from typing import ClassVar

from platformdirs import user_cache_path
from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.message import Message

from buildgen.errors import BuildgenError
from buildgen.events import BuildEvent, Done, EdgeFinished
from buildgen.ninja.runner import BuildRun, run_build
from buildgen.plan.plan import BuildPlan, Target
from buildgen.project.trust import confirm
from buildgen.session.board import (
    Board,
    TargetRow,
    narrowed,
    place_of,
    read_board,
)
from buildgen.session.history import Built, built, remember
from core.text.safe import safe_text
from tui.editor import edit
from tui.keymap import bindings
from tui.read_only import changes
from tui.reload import own_probe
from tui.screens.build_rows import detail_of, target_row, tools_of
from tui.screens.confirm_project import ConfirmProject
from tui.screens.rebuilding import RebuildingScreen
from tui.widgets.list_pane import Cell, Line, ListPane, titles
from tui.widgets.progress_line import ProgressLine

_PATIENCE = 6.0
"""Seconds that a cancelled build may take to clean up after itself when the program ends."""


class BuildScreen(RebuildingScreen):
    """`b` builds the target under the cursor, `B` all, `x` cancels. One build at a time."""

    NAME = "build"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("build")]
    DEFAULT_CSS = """
    BuildScreen {
        & #targets { height: 1fr; }
        & #detail { height: 1fr; }
    }
    """

    class Read(Message):
        """The projects were planned."""

        def __init__(self, board: Board, saved: set[str] | None = None) -> None:
            """`saved`: the files whose saves made us look, when it was that."""
            super().__init__()
            self.board = board
            self.saved = saved

    class Confirmed(Message):
        """The person confirmed a project, for these targets; `problem`: it could not be kept."""

        def __init__(self, rows: list[TargetRow], problem: str = "") -> None:
            super().__init__()
            self.rows = rows
            self.problem = problem

    class Begun(Message):
        """The build of a part of a project starts."""

        def __init__(self, plan: BuildPlan) -> None:
            super().__init__()
            self.plan = plan

    class News(Message):
        """A build said something; `event` None: it could not be started, `problem` says why."""

        def __init__(
            self,
            plan: BuildPlan,
            event: BuildEvent | None,
            *,
            built: Built | None = None,
            problem: str = "",
        ) -> None:
            super().__init__()
            self.plan = plan
            self.event = event
            self.built = built
            self.problem = problem

    def __init__(self) -> None:
        super().__init__()
        self.targets = ListPane()
        self.progress = ProgressLine()
        self.detail = ListPane(wraps=True)
        self._run: BuildRun | None = None
        self._busy = False
        self._stop = threading.Event()
        """Cancels also a build that has not begun."""
        self._thread: threading.Thread | None = None
        self._confirmed: set[tuple[Path, str]] = set()
        """The targets to build when the projects have been read again."""
        self._queue: list[tuple[BuildPlan, list[TargetRow]]] = []

    def compose_body(self) -> ComposeResult:
        self.targets.id, self.detail.id = "targets", "detail"
        yield self.targets
        yield self.progress
        yield self.detail

    def on_mount(self) -> None:
        super().on_mount()
        self.targets.show("targets", [[Cell("reading the projects…", "dim")]])
        self._read()

    def on_unmount(self) -> None:
        self.action_cancel()
        self.end_watching()
        if self._thread is not None:
            self._thread.join(timeout=_PATIENCE)  # what ninja runs is ended before we are

    @property
    def building(self) -> bool:
        return self._busy

    def read_again(self, saved: set[str]) -> None:
        self._read(saved)

    @work(thread=True, exclusive=True, group="plan", exit_on_error=False)
    def _read(self, saved: set[str] | None = None) -> None:
        projects: list[tuple[Path, Path | None]] = [
            (Path(), None),
            own_probe(user_cache_path("ebpf-tui")),
        ]
        self.post_message(self.Read(read_board(self.app.settings.host, projects), saved))

    def on_build_screen_read(self, event: Read) -> None:
        if not (event.saved and self.building):  # that build's events are for the board that it began with
            if event.saved and self.board is not None:
                event.board.keep(self.board)
            self.board = event.board
        rows = self.made_stale(event.saved)
        if self._confirmed and not event.saved:
            rows = [row for row in event.board.targets if _key(row) in self._confirmed]
            self._confirmed.clear()
        if rows:
            self._start(rows)
        else:
            self.at_rest()
        self.show_board()

    # --- building ------------------------------------------------------------------------------

    @changes("nothing is built")
    def action_build(self) -> None:
        row = self._selected()
        if row is not None:
            self._start([row])

    @changes("nothing is built")
    def action_build_all(self) -> None:
        if self.board is not None:
            self._start(self.board.targets)

    def action_cancel(self) -> None:
        self._queue.clear()
        self._stop.set()
        if self._run is not None:
            self._run.cancel()

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
        """Look at the projects anew."""
        if not self.building:
            self._read()

    def _start(self, rows: list[TargetRow]) -> None:
        if self.building:
            self.notify("a build is running: x cancels it", severity="warning")
            return
        strange = next((row for row in rows if not row.plan.trust.may_build), None)
        if strange is not None:
            self.app.push_screen(ConfirmProject(strange.plan), partial(self._answered, strange, rows))
            return
        by_plan: dict[Path, tuple[BuildPlan, list[TargetRow]]] = {}
        for row in rows:
            by_plan.setdefault(row.plan.out, (row.plan, []))[1].append(row)
        self._queue = list(by_plan.values())
        self._stop.clear()
        if self.board is not None:
            self.board.begin()
        self._next()

    def _next(self) -> None:
        """Start the build of the next project that waits."""
        if self.board is None:
            return
        if not self._queue:
            self.board.end()
            self.at_rest()
            return
        made, rows = self._queue.pop(0)
        self._busy = True
        # A thread that Textual does not wait for when it quits; it needs Textual's context to post.
        context = contextvars.copy_context()
        self._thread = threading.Thread(
            target=context.run,
            args=(self._follow, made, [row.target for row in rows]),
            name="build",
            daemon=True,
        )
        self._thread.start()
        self.show_board()

    def _answered(self, strange: TargetRow, rows: list[TargetRow], yes: bool | None) -> None:
        """The person has seen what a project that others can write to would run."""
        if yes:
            self._confirm(strange.plan, rows)
        elif others := [row for row in rows if row.plan.trust.may_build]:
            self._start(others)

    @work(thread=True, exit_on_error=False)
    def _confirm(self, plan: BuildPlan, rows: list[TargetRow]) -> None:
        try:
            confirm(plan.trust.directory)
            self.post_message(self.Confirmed(rows))
        except BuildgenError as error:
            self.post_message(self.Confirmed([], str(error)))

    def on_build_screen_confirmed(self, event: Confirmed) -> None:
        if event.problem:
            self.notify(event.problem, severity="error", timeout=10, markup=False)
            return
        self._confirmed = {_key(row) for row in event.rows}
        self._read()

    def _follow(self, made: BuildPlan, targets: list[Target]) -> None:
        """Runs in a thread of its own: build, pass on what the build says, and always that it ended."""
        ended = False
        took: dict[str, float] = {}
        objects: dict[str, Built] = {}
        try:
            ours = made.project.root == own_probe(user_cache_path("ebpf-tui"))[0]
            part = narrowed(made, targets, self.app.settings.host, made.trust if ours else None)
            self._run = run = run_build(part, keep_going=True)
            if self._stop.is_set():
                run.cancel()
            self.post_message(self.Begun(part))
            for event in run:
                ended = isinstance(event, Done)
                new = _built(part, event, took)
                if new is not None and isinstance(event, EdgeFinished):
                    objects[str(part.out / event.output)] = new
                if ended:
                    remember(objects)
                self.post_message(self.News(part, event, built=new))
        except Exception as error:  # the worker's boundary: the screen reports it to the person
            self.post_message(self.News(made, None, problem=safe_text(str(error) or type(error).__name__)))
            ended = True
        if not ended:
            self.post_message(self.News(made, None, problem="the build ended and did not say how"))

    def on_build_screen_begun(self, event: Begun) -> None:
        assert self.board is not None
        self.board.begin_project(event.plan)
        self.show_board()

    def on_build_screen_news(self, news: News) -> None:
        assert self.board is not None
        if news.event is None:
            self._run, self._busy = None, False
            self._queue.clear()
            self.board.end(news.problem)
            self.at_rest()
        else:
            self.board.apply(news.plan, news.event)
            if news.built is not None and isinstance(news.event, EdgeFinished):
                self.board.made(news.plan, news.event.output, news.built)
            if isinstance(news.event, Done):
                self._run, self._busy = None, False
                self._next()
        self.show_board()

    # --- showing -------------------------------------------------------------------------------

    def _selected(self) -> TargetRow | None:
        if self.board is None or not self.board.targets:
            return None
        return self.board.targets[min(self.targets.cursor, len(self.board.targets) - 1)]

    def show_board(self) -> None:
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


def _key(row: TargetRow) -> tuple[Path, str]:
    return row.plan.out, row.target.label


def _built(plan: BuildPlan, event: BuildEvent, took: dict[str, float]) -> Built | None:
    """Look at the object that an event finished. `took`: how long the edges of this build took, so far."""
    if not isinstance(event, EdgeFinished):
        return None
    took[event.output] = event.seconds
    if not event.ok or not event.output.endswith(".o"):
        return None
    bitcode = took.get(event.output.removesuffix(".o") + ".bc", 0.0)
    return built(plan.out / event.output, bitcode + event.seconds)
