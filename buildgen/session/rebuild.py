"""Rebuild on save: what a build session does when files are saved while it watches.

A save during a build is taken up by another build after it. A newer watch takes over before an older one
ends: no save falls between the two.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from dataclasses import dataclass

from buildgen.session.board import Board, TargetRow
from buildgen.session.save_watch import SaveWatch
from buildgen.session.saved_files import Watched, to_rebuild, watched
from core.text.safe import safe_text


@dataclass(frozen=True, slots=True)
class FilesFound:
    """The files that the targets are made of. `search`: which search found them."""

    files: Watched
    search: int


@dataclass(frozen=True, slots=True)
class WatchReady:
    """From now on no save is missed."""


@dataclass(frozen=True, slots=True)
class FilesSaved:
    """Files were saved."""

    paths: frozenset[str]


@dataclass(frozen=True, slots=True)
class WatchFailed:
    """Saves cannot be noticed any more; `problem` is one safe line."""

    problem: str


WatchMessage = FilesFound | WatchReady | FilesSaved | WatchFailed


class RebuildOnSave:
    """Watches the files of a board. Belongs to the thread of its session; messages come through `post`."""

    def __init__(self, post: Callable[[WatchMessage], object]) -> None:
        self._post = post
        self._watches: list[SaveWatch] | None = None
        """The watches that may still report something, the newest last; None: not watching."""
        self._files: Watched | None = None
        self.pending: frozenset[str] = frozenset()
        """Saves that no build has taken up."""
        self._reading = False
        self._ready = False
        self._search = 0

    @property
    def is_on(self) -> bool:
        return self._watches is not None

    @property
    def watched_files(self) -> int | None:
        """Return how many files are watched; None while that is not known yet, or nothing is watched."""
        return len(self._files.of) if self.is_on and self._ready and self._files is not None else None

    def begin(self) -> None:
        """Watch from now on; `next_saves` finds the files."""
        if self._watches is None:
            self._watches = []

    def end(self, *, wait: bool) -> None:
        """Stop, if it watches. `wait`: until nothing of it runs any more."""
        watches, self._watches = self._watches or [], None
        self._files, self._ready = None, False
        self.pending = frozenset()
        for watch in watches:
            watch.stop()
        for watch in watches if wait else ():
            watch.join()

    def made_stale(self, board: Board, saved: frozenset[str] | None, building: bool) -> list[TargetRow]:
        """Return the targets of a board, just read, that these saves make stale; none while a build runs."""
        self._reading = False
        if saved and building:
            self.pending |= saved
            return []
        if saved is None or self._watches is None or self._files is None:
            return []
        return to_rebuild(board, self._files, saved)

    def next_saves(self, board: Board) -> frozenset[str]:
        """Return the saves to read the projects for, now that no build runs; without any, look for files."""
        if self._watches is None or self._reading:
            return frozenset()
        if self.pending and self._files is not None:
            saved, self.pending = self.pending, frozenset()
            self._reading = True
            return saved
        self._search += 1
        context = contextvars.copy_context()
        threading.Thread(
            target=context.run, args=(self._find_files, board, self._search), name="files", daemon=True
        ).start()
        return frozenset()

    def take(self, message: WatchMessage) -> bool:
        """Take a message over; return whether `next_saves` is to be asked now."""
        if self._watches is None:
            return False
        match message:
            case FilesFound(files, search):
                return search == self._search and self._take_files(files)
            case WatchReady():
                self._ready = True
            case FilesSaved(paths):
                self.pending |= paths
                return True
            case WatchFailed():
                self.end(wait=False)
        return False

    def _take_files(self, files: Watched) -> bool:
        before, self._files = self._files, files
        if before is None or before.directories != files.directories:
            self._watch(files.directories)
        return bool(self.pending)

    def _find_files(self, board: Board, search: int) -> None:
        try:
            self._post(FilesFound(watched(board), search))
        except Exception as error:  # the worker's boundary
            self._post(WatchFailed(safe_text(str(error) or type(error).__name__)))

    def _watch(self, directories: frozenset[str]) -> None:
        assert self._watches is not None
        older = [watch for watch in self._watches if not watch.stopped]

        def ready() -> None:
            for watch in older:
                watch.stop()
            self._post(WatchReady())

        newest = SaveWatch(
            sorted(directories),
            self._wants,
            ready=ready,
            saved=lambda paths: self._post(FilesSaved(frozenset(paths))),
            failed=lambda problem: self._post(WatchFailed(problem)),
        )
        self._watches = [*older, newest]
        newest.start()

    def _wants(self, path: str) -> bool:
        """Called in the threads of watches, also of one that is about to end."""
        files = self._files
        return files is not None and files.wants(path)
