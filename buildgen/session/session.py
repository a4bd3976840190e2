"""A build session: the projects in view, the queue of what is to be built, and the build that runs.

It belongs to one thread, the screen's. What takes time runs in threads of its own, which hand messages to
`post`; the owner gives each of them to `take`, on its own thread, and shows the board then.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from buildgen.errors import BuildgenError
from buildgen.events import Done, EdgeFinished
from buildgen.ninja.runner import BuildRun, run_build
from buildgen.plan.plan import BuildPlan, Target
from buildgen.project.trust import confirm
from buildgen.session.board import Board, TargetRow, narrowed, read_board
from buildgen.session.builder import Progress, progress_of
from buildgen.session.rebuild import RebuildOnSave, WatchFailed, WatchMessage
from core.system.host import Host
from core.text.safe import safe_text

_END_S = 6.0
"""Seconds that a cancelled build may take to clean up after itself when the session ends."""


@dataclass(frozen=True, slots=True)
class Projects:
    """The projects in view. `own`: this program's probe and where its objects go; anybody may build it."""

    directory: Path
    own: tuple[Path, Path]


@dataclass(frozen=True, slots=True)
class BoardRead:
    """The projects were planned. `saved`: the files that were saved, when that was the reason."""

    board: Board
    saved: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The person confirmed a project, for these targets. `problem`: it could not be written down."""

    rows: tuple[TargetRow, ...]
    problem: str = ""


@dataclass(frozen=True, slots=True)
class BuildBegun:
    """The build of a part of a project starts."""

    plan: BuildPlan


@dataclass(frozen=True, slots=True)
class BuildProgress:
    """Something happened in the build of `plan`."""

    plan: BuildPlan
    progress: Progress


@dataclass(frozen=True, slots=True)
class BuildFailed:
    """The build could not be started, or ended without a result; `problem` is one safe line."""

    problem: str


@dataclass(frozen=True, slots=True)
class ReadFailed:
    """The projects could not be read for a reason that nobody foresaw; `problem` is one safe line."""

    problem: str


BuildMessage = BoardRead | ReadFailed | Confirmed | BuildBegun | BuildProgress | BuildFailed | WatchMessage


class BuildSession:
    """Builds one project after another, one at a time, and rebuilds on save while it watches."""

    def __init__(self, host: Host, projects: Projects, post: Callable[[BuildMessage], object]) -> None:
        """`post` is called in threads of the session; nothing happens before `read`."""
        self._host = host
        self._projects = projects
        self._post = post
        self.board: Board | None = None
        self.building = False
        self._run: BuildRun | None = None
        self._cancelled = threading.Event()
        """Also cancels a build that has not begun."""
        self._threads: list[threading.Thread] = []
        self._confirmed: set[tuple[Path, str]] = set()
        """The targets to build when the projects have been read again."""
        self._queue: list[tuple[BuildPlan, list[TargetRow]]] = []
        self.saves = RebuildOnSave(post)

    # --- what a person asks for ----------------------------------------------------------------

    def read(self, saved: frozenset[str] | None = None) -> None:
        """Read and plan the projects again; a BoardRead follows."""
        self._start("plan", self._read, saved)

    def first_unconfirmed(self, rows: Sequence[TargetRow]) -> TargetRow | None:
        """Return the first row of a project that others can change and the person has not confirmed."""
        return next((row for row in rows if not row.plan.trust.may_build), None)

    def build(self, rows: Sequence[TargetRow]) -> None:
        """Build these targets, project by project. Does nothing while a build runs."""
        if self.building or self.board is None:
            return
        by_plan: dict[Path, tuple[BuildPlan, list[TargetRow]]] = {}
        for row in rows:
            by_plan.setdefault(row.plan.out, (row.plan, []))[1].append(row)
        self._queue = list(by_plan.values())
        self._cancelled.clear()
        self.board.begin()
        self._build_next()

    def confirm(self, plan: BuildPlan, rows: Sequence[TargetRow]) -> None:
        """Write down that the person trusts a project, and build these targets then."""
        self._start("confirm", self._confirm, plan, tuple(rows))

    def cancel(self) -> None:
        """End the build that runs, and forget the queue."""
        self._queue.clear()
        self._cancelled.set()
        if self._run is not None:
            self._run.cancel()

    def watch(self, on: bool) -> None:
        """Rebuild what is saved from now on, or no more."""
        if on and self.board is not None:
            self.saves.begin()
            self._rest()
        elif not on:
            self.saves.end(wait=False)

    def close(self) -> None:
        """End everything that runs; returns when that is done."""
        self.cancel()
        self.saves.end(wait=True)
        for thread in self._threads:
            thread.join(timeout=_END_S)  # what they run (ninja, clang --version) ends before we do

    # --- messages ------------------------------------------------------------------------------

    def take(self, message: BuildMessage) -> str:
        """Take a message over. Returns what the person has to be told beside the board, or nothing."""
        match message:
            case BoardRead(board, saved):
                self._take_board(board, saved)
            case Confirmed(rows, problem):
                if problem:
                    return problem
                self._confirmed = {_key(row) for row in rows}
                self.read()
            case ReadFailed(problem):
                return f"Refresh failed: {problem}; press r to retry"
            case BuildBegun(plan):
                assert self.board is not None
                self.board.begin_project(plan)
            case BuildProgress(plan, progress):
                self._take_progress(plan, progress)
            case BuildFailed(problem):
                assert self.board is not None
                self._run, self.building = None, False
                self._queue.clear()
                self.board.end(problem)
                self._rest()
            case WatchFailed(problem) if self.saves.is_on:
                self.saves.take(message)
                return f"no longer watching: {problem}"
            case _:
                if self.saves.take(message):
                    self._rest()
        return ""

    def _take_board(self, board: Board, saved: frozenset[str] | None) -> None:
        if not (saved and self.building):  # that build's events are for the board that it began with
            if saved and self.board is not None:
                board.keep(self.board)
            self.board = board
        rows = [] if self.board is None else self.saves.made_stale(self.board, saved, self.building)
        if self._confirmed and not saved:
            rows = [row for row in board.targets if _key(row) in self._confirmed]
            self._confirmed.clear()
        if rows:
            self.build(rows)
        else:
            self._rest()

    def _take_progress(self, plan: BuildPlan, progress: Progress) -> None:
        assert self.board is not None
        self.board.apply(plan, progress.event)
        if progress.built is not None and isinstance(progress.event, EdgeFinished):
            self.board.made(plan, progress.event.output, progress.built)
        if isinstance(progress.event, Done):
            self._run, self.building = None, False
            self._build_next()

    def _rest(self) -> None:
        """No build runs: take up what was saved meanwhile, else see which files to watch from now on."""
        if self.board is None or self.building:
            return
        saved = self.saves.next_saves(self.board)
        if saved:
            self.read(saved)

    # --- work in other threads -----------------------------------------------------------------

    def _build_next(self) -> None:
        """Start the build of the next project that waits."""
        assert self.board is not None
        if not self._queue:
            self.board.end()
            self._rest()
            return
        plan, rows = self._queue.pop(0)
        self.building = True
        self._start("build", self._build, plan, [row.target for row in rows])

    def _start(self, name: str, work: Callable[..., None], *arguments: object) -> None:
        context = contextvars.copy_context()  # `post` may need what is set where the session was made
        thread = threading.Thread(target=context.run, args=(work, *arguments), name=name, daemon=True)
        self._threads = [*filter(threading.Thread.is_alive, self._threads), thread]
        thread.start()

    def _read(self, saved: frozenset[str] | None) -> None:
        projects = [(self._projects.directory, None), self._projects.own]
        try:
            self._post(BoardRead(read_board(self._host, projects), saved))
        except Exception as error:  # the worker's boundary: the owner reports it to the person
            self._post(ReadFailed(safe_text(str(error) or type(error).__name__)))

    def _confirm(self, plan: BuildPlan, rows: tuple[TargetRow, ...]) -> None:
        try:
            confirm(plan.trust.directory)
            self._post(Confirmed(rows))
        except BuildgenError as error:
            self._post(Confirmed((), str(error)))

    def _build(self, plan: BuildPlan, targets: list[Target]) -> None:
        """Build, pass on what happens, and always that it ended."""
        ended = False
        try:
            ours = plan.project.root == self._projects.own[0]
            part = narrowed(plan, targets, self._host, plan.trust if ours else None)
            self._run = run = run_build(part, keep_going=True)
            if self._cancelled.is_set():
                run.cancel()
            self._post(BuildBegun(part))
            for progress in progress_of(run):
                ended = isinstance(progress.event, Done)
                self._post(BuildProgress(part, progress))
        except Exception as error:  # the worker's boundary: the owner reports it to the person
            self._post(BuildFailed(safe_text(str(error) or type(error).__name__)))
            ended = True
        if not ended:
            self._post(BuildFailed("the build ended without a result"))


def _key(row: TargetRow) -> tuple[Path, str]:
    return row.plan.out, row.target.label
