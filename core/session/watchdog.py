"""Notices that a thread does not come back from its work, and reports it from a thread of its own.

The collector reads /proc, the kernel's iterators and the state of container runtimes. What is known to wait
at times is read by somebody else (core/sources/bounded_read.py, core/system/users.py); this is for all else.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable

import msgspec

from core.model.entities import LadderStep, Tiers, TierState
from core.model.view import Frame, Header, Window
from core.session.waiting import waits_for
from core.sources.feed import Feed, HostFacts

PATIENCE_S = 5
"""Work that takes longer is reported. A snapshot of 10,000 processes takes two seconds."""

_OPENING = TierState(False, "it is being opened")
_NONE = Tiers(_OPENING, _OPENING, _OPENING, LadderStep.OPENING)

_WORK = {
    "core/containers/": "the state of container runtimes",
    "core/probe/": "the kernel's eBPF",
    "core/system/users.py": "a name service",
    "core/sources/procfs.py": "/proc",
}


def stuck_frame(feed: Feed | None, latest: Frame | None, revision: int, what: str, seconds: int) -> Frame:
    """Return the latest frame again, or an empty one, that says for what the collector waits how long.

    `feed` is None while it is being opened.
    """
    if latest is None:
        host = feed.host if feed else HostFacts("", "", "")
        latest = Frame(
            0, Header(host.hostname, host.kernel, host.arch, feed.tiers if feed else _NONE), Window()
        )
    header = msgspec.structs.replace(latest.header, message=f"waiting {seconds} s for {what}")
    return msgspec.structs.replace(latest, revision=revision, header=header)


def culprit(thread: threading.Thread) -> str:
    """Return what a thread waits for: a file and its mount, a list of the kernel's, or the work it is at."""
    waits = waits_for(thread.native_id or 0)
    work = _work(thread.ident or 0)
    if not waits:
        return f"{work} (it computes)" if work else "its own work"
    return f"{waits}: {work}" if work and not waits.startswith("/proc/") else waits


def _work(ident: int) -> str:
    """Return what the innermost of our modules that the thread is in works at, empty when none says it."""
    frame = sys._current_frames().get(ident)
    while frame is not None:
        for part, work in _WORK.items():
            if part in frame.f_code.co_filename:
                return work
        frame = frame.f_back
    return ""


class Watchdog:
    """Looks once a second. Started and stopped by the owner of the thread that it watches."""

    def __init__(self, tell: Callable[[str, int], None], patience_s: float = PATIENCE_S) -> None:
        """`tell` is called once a second, on another thread, with what the work waits for and its seconds."""
        self._tell = tell
        self._patience_s = patience_s
        self._since: float | None = None
        self._watched: threading.Thread | None = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()

    def begins(self) -> None:
        """The calling thread, which is watched, goes to work."""
        self._watched = threading.current_thread()
        self._since = time.monotonic()

    def rests(self) -> None:
        """The watched thread has nothing to do."""
        self._since = None

    def _run(self) -> None:
        while not self._stopped.wait(1):
            since, watched = self._since, self._watched
            if since is None or watched is None:
                continue
            took = time.monotonic() - since
            if took > self._patience_s:
                self._tell(culprit(watched), int(took))
