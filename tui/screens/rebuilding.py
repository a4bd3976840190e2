"""Rebuild on save (`w`): what the Build screen does when files are saved while it watches."""

from __future__ import annotations

from textual import work
from textual.message import Message

from buildgen.session.board import Board, TargetRow
from buildgen.session.rebuild import Watched, to_rebuild, watched
from buildgen.session.save_watch import SaveWatch
from tui.read_only import changes
from tui.screens.base_screen import BaseScreen
from tui.widgets import format as fmt


class RebuildingScreen(BaseScreen):
    """A screen with a board that is built. The screen tells with `at_rest` that no build runs (any more).

    A save during a build is taken up by one more after it. A newer watch takes over before an older one ends:
    no save falls between two.
    """

    class Files(Message):
        """What the targets are made of was found."""

        def __init__(self, files: Watched) -> None:
            super().__init__()
            self.files = files

    class Ready(Message):
        """From now on no save is missed."""

    class Saved(Message):
        """Files were saved; or, with `problem`, no save can be told any more."""

        def __init__(self, paths: set[str], problem: str = "") -> None:
            super().__init__()
            self.paths = paths
            self.problem = problem

    def __init__(self) -> None:
        super().__init__()
        self.board: Board | None = None
        self._watches: list[SaveWatch] | None = None
        """The watches that may still tell something, the newest last; None: not watching."""
        self._files: Watched | None = None
        self._pending: set[str] = set()
        """Saves that no build has taken up."""
        self._reading = False
        self._ready = False

    @property
    def building(self) -> bool:
        raise NotImplementedError

    def read_again(self, saved: set[str]) -> None:
        """Read the board anew in a worker; `made_stale(saved)` is asked of the new one."""
        raise NotImplementedError

    def show_board(self) -> None:
        """Draw what the board and the watch are now."""
        raise NotImplementedError

    @property
    def watching(self) -> str:
        """Say that saves are watched; empty while they are not."""
        if self._watches is None:
            return ""
        if self._files is None or not self._ready:
            return "looking for what to watch…"
        return f"watching {fmt.count(len(self._files.of))} files"

    @changes("nothing is rebuilt")
    def action_watch(self) -> None:
        """Rebuild what is saved, until the next `w` or the end."""
        if self._watches is not None:
            self.end_watching(wait=False)
        elif self.board is not None:
            self._watches = []
            self.at_rest()
        self.show_board()

    def end_watching(self, wait: bool = True) -> None:
        """Stop, if it watches. `wait`: until nothing of it runs any more."""
        watches, self._watches = self._watches or [], None
        self._files, self._ready = None, False
        self._pending.clear()
        for watch in watches:
            watch.stop()
        for watch in watches if wait else ():
            watch.join()

    def made_stale(self, saved: set[str] | None) -> list[TargetRow]:
        """Return the targets to build because of these saves; while a build runs, after it."""
        self._reading = False
        if saved and self.building:
            self._pending |= saved
            return []
        if saved is None or self._watches is None or self._files is None or self.board is None:
            return []
        return to_rebuild(self.board, self._files, saved)

    def at_rest(self) -> None:
        """No build runs: take up what was saved meanwhile, else see which files to watch from now on."""
        if self._watches is None or self.building or self._reading or self.board is None:
            return
        if self._pending and self._files is not None:
            saved, self._pending = self._pending, set()
            self._reading = True
            self.read_again(saved)
        else:
            self._find_files(self.board)

    @work(thread=True, exclusive=True, group="files", exit_on_error=False)
    def _find_files(self, board: Board) -> None:
        self.post_message(self.Files(watched(board)))

    def on_rebuilding_screen_files(self, event: Files) -> None:
        if self._watches is None:
            return
        before, self._files = self._files, event.files
        if before is None or before.directories != event.files.directories:
            self._watch(event.files.directories)
        if self._pending:
            self.at_rest()
        self.show_board()

    def on_rebuilding_screen_ready(self) -> None:
        self._ready = self._watches is not None
        self.show_board()

    def on_rebuilding_screen_saved(self, event: Saved) -> None:
        if self._watches is None:
            return
        if event.problem:
            self.end_watching(wait=False)
            self.notify(f"no longer watching: {event.problem}", severity="error", markup=False)
            self.show_board()
            return
        self._pending |= event.paths
        self.at_rest()

    def _watch(self, directories: frozenset[str]) -> None:
        assert self._watches is not None
        older = [watch for watch in self._watches if not watch.stopped]

        def ready() -> None:
            for watch in older:
                watch.stop()
            self.post_message(self.Ready())

        newest = SaveWatch(
            sorted(directories),
            self._wants,
            ready=ready,
            saved=lambda paths: self.post_message(self.Saved(paths)),
            failed=lambda problem: self.post_message(self.Saved(set(), problem)),
        )
        self._watches = [*older, newest]
        newest.start()

    def _wants(self, path: str) -> bool:
        """Called in the threads of watches, also of one that is about to end."""
        files = self._files
        return files is not None and files.wants(path)
