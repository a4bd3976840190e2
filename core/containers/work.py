"""A budget of work for the files of one user, for every kind of work together.

Each single limit (bytes of a file, entries of a directory) can be used up many times. So all work for one
user is counted together, in units of about 10 ns, and no user gets more than a fixed share of time.
"""

from __future__ import annotations

import os
import time

from core.text.safe import safe_text

OPENED = 2_000
ENTRY = 200
"""Units for opening one file, and for reading one entry of a directory or one item of a database."""


class StateError(Exception):
    """State that exists but cannot be used. The text is safe and says which file and why."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"{safe_text(os.fsencode(path))}: {why}")


class WorkExceededError(StateError):
    """The budget of work is used up; the request can be repeated later."""


class Work:
    """A budget that is full at first and refills over time. Not thread-safe."""

    def __init__(self, most: int, per_second: int) -> None:
        self._most = most
        self._per_second = per_second
        self._left = float(most)
        self._since = time.monotonic()
        self._exceeded: str | None = None

    def spend(self, units: int, path: str) -> None:
        """Spend `units` on the file `path`. Raises WorkExceededError, and keeps it for `take_exceeded`."""
        now = time.monotonic()
        self._left = min(self._most, self._left + (now - self._since) * self._per_second)
        self._since = now
        self._left -= units
        if self._left < 0:
            self._left = 0.0
            error = WorkExceededError(path, "exceeds the limit of work for the files of one user")
            self._exceeded = self._exceeded or str(error)
            raise error

    def take_exceeded(self) -> str | None:
        """Return the first error of an exceeded budget since the last call, None if there was none."""
        exceeded, self._exceeded = self._exceeded, None
        return exceeded
