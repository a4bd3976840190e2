"""Detects a stuck thread and reports it from another.

The collector reads /proc, the kernel's iterators and the state of container runtimes. Reads known to block
are made elsewhere (core/sources/bounded_read.py, core/system/users.py); the watchdog covers all others.
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
"""Work that takes longer, in seconds, is reported. A snapshot of 10,000 processes takes two."""

_OPENING = TierState(False, "being opened")
_NONE = Tiers(_OPENING, _OPENING, _OPENING, LadderStep.OPENING)

_WORK = {
    "core/containers/": "the state of container runtimes",
    "core/probe/": "the kernel's eBPF",
    "core/system/users.py": "a name service",
    "core/sources/procfs.py": "/proc",
}


def stuck_frame(feed: Feed | None, latest: Frame | None, revision: int, what: str, seconds: int) -> Frame:
    """Return the latest frame, or an empty one, with a message: what the collector waits for, and how long.

    `feed` is None while the feed is being opened.
    """
    if latest is None:
        host = feed.host if feed else HostFacts("", "", "")
        latest = Frame(
            0, Header(host.hostname, host.kernel, host.arch, feed.tiers if feed else _NONE), Window()
        )
    header = msgspec.structs.replace(latest.header, message=f"waiting {seconds} s for {what}")
    return msgspec.structs.replace(latest, revision=revision, header=header)


def culprit(thread: threading.Thread) -> str:
    """Return what a thread waits for: a file and its mount, a kernel iterator, or the work it does."""
    waits = waits_for(thread.native_id or 0)
    work = _work(thread.ident or 0)
    if not waits:
        return f"{work} (computing)" if work else "its own computation"
    return f"{waits}: {work}" if work and not waits.startswith("/proc/") else waits


def _work(ident: int) -> str:
    """Return the work of the innermost module of ours in the thread's stack; empty when none is listed."""
    frame = sys._current_frames().get(ident)
    while frame is not None:
        for part, work in _WORK.items():
            if part in frame.f_code.co_filename:
                return work
        frame = frame.f_back
    return ""


class Watchdog:
    """Checks once a second. Started and stopped by the owner of the thread that it watches."""

    def __init__(self, report: Callable[[str, int], None], patience_s: float = PATIENCE_S) -> None:
        """`report` gets what the stuck work waits for and its seconds, once a second, on another thread."""
        self._report = report
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
        """Note that the calling thread, which is watched, begins work."""
        self._watched = threading.current_thread()
        self._since = time.monotonic()

    def rests(self) -> None:
        """Note that the watched thread is idle."""
        self._since = None

    def _run(self) -> None:
        while not self._stopped.wait(1):
            since, watched = self._since, self._watched
            if since is None or watched is None:
                continue
            took = time.monotonic() - since
            if took > self._patience_s:
                self._report(culprit(watched), int(took))
