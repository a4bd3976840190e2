"""The commands that screens give a session, in one queue: screens put them, the collector takes them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

import msgspec

from core.model.view import RowKey, ViewRequest
from core.sources.feed import Feed

MAX_WAITING = 1024
"""Limit of waiting commands: about as many as a key held down for half a minute produces."""


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
    """Pause the tree, or return it to live."""

    on: bool


class Step(msgspec.Struct, frozen=True):
    """Go forward in time, or back when `span_ns` is negative."""

    span_ns: int


class ChangeSpeed(msgspec.Struct, frozen=True):
    """Make a replay run faster (1) or slower (-1)."""

    step: int


class ReloadProbe(msgspec.Struct, frozen=True):
    """Continue with the feed that `open_feed` makes from the current one."""

    open_feed: Callable[[Feed], Feed]


Command = ShowRows | ExplainRow | ResolveAgain | Pause | Step | ChangeSpeed | ReloadProbe

_LATEST_COUNTS = (ShowRows, ExplainRow, ReloadProbe)
"""Of these only the latest matters: it replaces a command of its type at the end of the queue."""


class CommandQueue:
    """Commands in the order in which they were given. Any thread may use it."""

    def __init__(self, wake: Callable[[], None]) -> None:
        """`wake` is called after each command, on the thread that put it."""
        self._wake = wake
        self._lock = threading.Lock()
        self._waiting: deque[Command] = deque()
        self._refused = 0

    def put(self, command: Command) -> None:
        """Add a command. When the queue is full it is refused, and `take` reports how many were."""
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
