"""A session, and everything that it publishes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from core.model.view import Frame, Row
from core.resolve.engine import Engine
from core.session.session import Session
from core.sources.feed import Feed, open_feed
from core.system.host import LOCAL


class Listener:
    """A session with everything that it has published."""

    def __init__(self, probe: bool = True) -> None:
        self.frames: list[Frame] = []
        self.errors: list[BaseException] = []
        self._news = threading.Condition()
        self.session = Session(lambda: Engine(self._open(probe)))
        self.session.subscribe(self._note, self.errors.append)

    @classmethod
    def on(cls, session: Session) -> Listener:
        """Listen to another session."""
        listener = cls(probe=False)
        listener.session = session
        session.subscribe(listener._note, listener.errors.append)
        return listener

    def _open(self, probe: bool) -> Feed:
        self.feed = open_feed(LOCAL, probe=probe)
        return self.feed

    def _note(self, frame: Frame) -> None:
        with self._news:
            self.frames.append(frame)
            self._news.notify_all()

    def wait(self, wanted: Callable[[Frame], bool], seconds: float = 30) -> Frame:
        """Return the first frame from now on (or the latest) that is as wanted."""
        deadline = time.monotonic() + seconds
        with self._news:
            while not (self.frames and wanted(self.frames[-1])):
                if not self._news.wait(deadline - time.monotonic()):
                    raise AssertionError(f"no such frame in {seconds} s")
            return self.frames[-1]


def row_of(frame: Frame, pid: int) -> Row | None:
    return next((row for row in frame.window.rows if row.pid == pid), None)
