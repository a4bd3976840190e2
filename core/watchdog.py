"""Notices that a thread does not come back from its work, and tells it from a thread of its own.

The collector reads /proc and the kernel's iterators, and both can wait for a process that is stuck with its
memory map locked, for as long as that is so. core/patience.py knows the common case; this is for all others.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import msgspec

from core.feed import Feed
from core.view import Frame, Header, Window

PATIENCE_S = 5
"""Work that takes longer is told. A snapshot of 10,000 processes takes two seconds."""


def stuck_frame(feed: Feed, latest: Frame | None, revision: int, seconds: int) -> Frame:
    """Return the latest frame again, or an empty one, with word of what the collector waits for."""
    host = feed.host
    if latest is None:
        latest = Frame(0, Header(host.hostname, host.kernel, host.arch, feed.tiers), Window())
    pid = feed.procfs.reading
    what = f"/proc/{pid}: is its memory" if pid else "the kernel: is a process's memory"
    message = f"waiting {seconds} s for {what} locked? see ps axo pid,stat,wchan"
    header = msgspec.structs.replace(latest.header, message=message)
    return msgspec.structs.replace(latest, revision=revision, header=header)


class Watchdog:
    """Looks once a second. Started and stopped by the owner of the thread that it watches."""

    def __init__(self, tell: Callable[[int], None], patience_s: float = PATIENCE_S) -> None:
        """`tell` is called once a second, on another thread, with the seconds that the work has taken."""
        self._tell = tell
        self._patience_s = patience_s
        self._since: float | None = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()

    def begins(self) -> None:
        """The watched thread goes to work."""
        self._since = time.monotonic()

    def rests(self) -> None:
        """The watched thread has nothing to do."""
        self._since = None

    def _run(self) -> None:
        while not self._stopped.wait(1):
            since = self._since
            if since is not None and (took := time.monotonic() - since) > self._patience_s:
                self._tell(int(took))
