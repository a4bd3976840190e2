"""How much is done for the files of one user: a budget of work, whatever it is spent on.

Every limit by itself (bytes of a file, entries of a folder) can be used many times over. So all that is done
for one user is counted together, in units of about 10 ns, and nobody gets more than his share of time.
"""

from __future__ import annotations

import os
import time

from core.text.safe import safe_text

OPENED = 2_000
ENTRY = 200
"""Units of one file that is opened, and of one entry of a folder or item of a database that is looked at."""


class StateError(Exception):
    """State that is there but cannot be used. The text is safe and says which file and why."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"{safe_text(os.fsencode(path))}: {why}")


class WorkExceededError(StateError):
    """The budget of work is used up: what is asked for is to be asked for again later."""


class Work:
    """A budget that is full at first and refills with time. Not thread-safe."""

    def __init__(self, most: int, per_second: int) -> None:
        self._most = most
        self._per_second = per_second
        self._left = float(most)
        self._since = time.monotonic()
        self._exceeded: str | None = None

    def spend(self, units: int, path: str) -> None:
        """Take `units` for something done with the file `path`. Raises WorkExceededError, which is kept."""
        now = time.monotonic()
        self._left = min(self._most, self._left + (now - self._since) * self._per_second)
        self._since = now
        self._left -= units
        if self._left < 0:
            self._left = 0.0
            error = WorkExceededError(path, "takes more work than is done for the files of one user")
            self._exceeded = self._exceeded or str(error)
            raise error

    def take_exceeded(self) -> str | None:
        """Return what was the first to exceed the budget since the last call, None if nothing did."""
        exceeded, self._exceeded = self._exceeded, None
        return exceeded
