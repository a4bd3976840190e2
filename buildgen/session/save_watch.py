"""Tells when files are saved. The kernel says so (inotify, through watchfiles); no file is polled."""

from __future__ import annotations

import contextvars
import os
import threading
from collections.abc import Callable, Collection
from pathlib import Path

from core.text.safe import safe_text

_STEP_MS = 100
"""A save is told when nothing more came for so long: an editor's save is several events."""
_BURST_MS = 1600
"""The longest that a burst of saves is gathered."""
_READY_MS = 500
"""After so long without a save it is certain that the kernel was asked."""
MOST_DIRECTORIES = 4096
"""Directories that are watched at most; the kernel has a limit of its own, shared by the user's programs."""


def key_of(path: Path | str) -> str:
    """Return the name under which a save of this file is told: its directory's real path, and its name."""
    directory, name = os.path.split(path)
    return os.path.join(os.path.realpath(directory), name)


class SaveWatch:
    """Watches directories in a thread of its own until `stop`: a file that is replaced is seen, too.

    `saved` is called in that thread with the paths (as `key_of` gives them) that `wanted` takes; `failed`
    with one line when it cannot go on; `ready`, once, when no save is missed any more.
    """

    def __init__(
        self,
        directories: Collection[str],
        wanted: Callable[[str], bool],
        *,
        ready: Callable[[], object],
        saved: Callable[[set[str]], object],
        failed: Callable[[str], object],
    ) -> None:
        self._directories = directories
        self._wanted = wanted
        self._ready, self._saved, self._failed = ready, saved, failed
        self._stopped = threading.Event()
        context = contextvars.copy_context()  # who is told may need what is set where it was made
        self._thread = threading.Thread(target=context.run, args=(self._run,), name="save watch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def stopped(self) -> bool:
        return self._stopped.is_set()

    def stop(self) -> None:
        """From any thread; nothing is told afterwards."""
        self._stopped.set()

    def join(self) -> None:
        """Wait for the thread, which ends within a few steps. Call `stop` before."""
        if self._thread.is_alive():
            self._thread.join(timeout=2)

    def _run(self) -> None:
        from watchfiles import watch  # noqa: PLC0415 - only who watches pays for its import

        there = [directory for directory in self._directories if os.path.isdir(directory)]
        if len(there) > MOST_DIRECTORIES:
            self._failed(f"{len(there)} directories are too many to watch: at most {MOST_DIRECTORIES}")
            return
        ready = False
        try:
            for changes in watch(
                *there,
                watch_filter=lambda _, path: self._wanted(path),
                debounce=_BURST_MS,
                step=_STEP_MS,
                stop_event=self._stopped,
                rust_timeout=_READY_MS,
                yield_on_timeout=True,
                raise_interrupt=False,
                recursive=False,
                ignore_permission_denied=True,
            ):
                if self._stopped.is_set():
                    return
                if not ready:
                    ready = True
                    self._ready()
                if changes:
                    self._saved({path for _, path in changes})
        except (OSError, RuntimeError) as error:  # RuntimeError: what notify has no better word for
            if not self._stopped.is_set():
                self._failed(safe_text(str(error)))
