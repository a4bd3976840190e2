"""argv of many processes at once, from /proc, by a reader that may be left behind.

/proc/PID/cmdline touches no page that a file is mapped over (FOLL_ANON, since CVE-2018-1120), so no file
system of a user's can hold its reader up. It waits for the process's memory map all the same, which a thread
that is stuck in the kernel may have locked: then this one process costs a moment, and not the others.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Sequence

import msgspec

from core.model.entities import ProcessEntry
from core.model.events import Argv
from core.system.host import Host

WAIT_S = 0.1
"""How long one read may take. An ordinary one takes some µs."""

MAX_BEHIND = 64
"""How many readers may hang at a time; beyond it nothing is read here."""

_PAGE = 4096
LIMIT = 16 * 1024
"""How much of one argv is read, in bytes; a longer one is whole in `Procfs.entry` only."""

_PIECE = 4096
"""What the kernel reads at a time; most are shorter."""


class CmdlineReader:
    """Reads the argv of processes. Owned by one thread; the readers left behind end with the program."""

    def __init__(self, host: Host) -> None:
        self._proc = str(host.proc)
        self._behind: dict[int, _Run] = {}

    def read(self, pids: Sequence[int]) -> dict[int, bytes]:
        """Return what /proc/PID/cmdline has, at most LIMIT bytes and one more for each, by pid.

        Left out are those that are gone, that may not be read, and whose reader hangs. It says nothing of
        which process had the pid just then: the caller compares identities before and after.
        """
        self._behind = {pid: run for pid, run in self._behind.items() if run.is_alive()}
        left = [pid for pid in pids if pid not in self._behind]
        answers: dict[int, bytes] = {}
        while left and len(self._behind) < MAX_BEHIND:
            run = _Run(self._proc, left)
            run.start()
            finished = run.wait()
            answers |= run.answers.copy()  # one that is left behind may still add to it
            if finished:
                break
            stuck = left[run.at]
            self._behind[stuck] = run
            left = left[run.at + 1 :]
        return answers


class _Run(threading.Thread):
    """Reads one argv after the other, until it is done or left behind."""

    def __init__(self, proc: str, pids: Sequence[int]) -> None:
        super().__init__(name="argv", daemon=True)
        self._proc = proc
        self._pids = pids
        self._done = threading.Event()
        self._left_behind = False
        self.at = 0
        self.answers: dict[int, bytes] = {}

    def run(self) -> None:
        try:
            for at, pid in enumerate(self._pids):
                self.at = at
                with contextlib.suppress(OSError):  # it is gone, or hidden
                    cmdline = _cmdline(f"{self._proc}/{pid}/cmdline")
                    if self._left_behind:
                        return
                    self.answers[pid] = cmdline
        finally:
            self._done.set()

    def wait(self) -> bool:
        """Return True when all is read, False when one read takes too long: then this run is left behind."""
        at = -1
        while not self._done.wait(WAIT_S):
            if at == self.at:
                self._left_behind = True
                return False
            at = self.at
        return True


def _cmdline(path: str) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        cmdline = os.read(descriptor, _PIECE)
        return cmdline if len(cmdline) < _PIECE else cmdline + os.read(descriptor, LIMIT + 1 - _PIECE)
    finally:
        os.close(descriptor)


def is_short(argv: bytes, size: int) -> bool:
    """True when less of an argv of `size` bytes was read from /proc than there is.

    It leaves out what a file is mapped over. A title that ends before argv does, at its first NUL, is whole.
    """
    is_title = 0 < len(argv) <= _PAGE and argv.find(b"\0") in (-1, len(argv) - 1)
    return len(argv) > LIMIT or (len(argv) < size and not is_title)


def lacks_argv(entry: ProcessEntry) -> bool:
    """True for an entry of a snapshot or of the maps whose argv is still to be read from /proc."""
    return entry.cmdline_truncated and not entry.cmdline


def with_argv(entry: ProcessEntry, argv: Argv | None) -> ProcessEntry:
    """Return an entry with the argv that was read of it, if that is of this very image."""
    if argv is None or (argv.start_ns, argv.exec_id) != (entry.start_ns, entry.exec_id):
        return entry
    return msgspec.structs.replace(entry, cmdline=argv.cmdline, cmdline_truncated=argv.cut)
