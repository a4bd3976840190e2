"""What a person asks of a session, in one queue: the screens put, the collector takes."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

import msgspec

from core.model.view import RowKey, ViewRequest
from core.sources.feed import Feed

MAX_WAITING = 1024
"""Commands that wait at most; a person who holds a key down for half a minute makes as many."""


class ShowRows(msgspec.Struct, frozen=True):
    """Publish this window from now on."""

    view: ViewRequest


class ExplainRow(msgspec.Struct, frozen=True):
    """Explain this row from now on; None: no row."""

    key: RowKey | None


class ResolveAgain(msgspec.Struct, frozen=True):
    """Resolve a pid again; with `evict` the cache forgets it first."""

    pid: int
    evict: bool = False


class Pause(msgspec.Struct, frozen=True):
    """Hold the tree, or let it be live again."""

    on: bool


class Step(msgspec.Struct, frozen=True):
    """Go forward in time, or back when `span_ns` is negative."""

    span_ns: int


class ChangeSpeed(msgspec.Struct, frozen=True):
    """Let a replay run faster (1) or slower (-1)."""

    step: int


class ReloadProbe(msgspec.Struct, frozen=True):
    """Go on with the feed that `open_feed` opens after the present one."""

    open_feed: Callable[[Feed], Feed]


Command = ShowRows | ExplainRow | ResolveAgain | Pause | Step | ChangeSpeed | ReloadProbe

_LATEST_COUNTS = (ShowRows, ExplainRow, ReloadProbe)
"""Of these only the latest matters: it replaces one that waits right before it."""


class CommandQueue:
    """Commands in the order in which they were given. Any thread may use it."""

    def __init__(self, wake: Callable[[], None]) -> None:
        """`wake` is called after each command, on the thread that put it."""
        self._wake = wake
        self._lock = threading.Lock()
        self._waiting: deque[Command] = deque()
        self._refused = 0

    def put(self, command: Command) -> None:
        """Add a command. One that does not fit any more is refused, and counted for `take`."""
        with self._lock:
            if (
                self._waiting
                and type(self._waiting[-1]) is type(command)
                and isinstance(command, _LATEST_COUNTS)
            ):
                self._waiting[-1] = command
            elif len(self._waiting) < MAX_WAITING:
                self._waiting.append(command)
            else:
                self._refused += 1
        self._wake()

    def take(self) -> tuple[list[Command], int]:
        """Return the waiting commands, oldest first, and how many were refused since the last call."""
        with self._lock:
            commands, self._waiting = list(self._waiting), deque()
            refused, self._refused = self._refused, 0
        return commands, refused
