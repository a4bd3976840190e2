"""Reads the argv of many processes from /proc at once, in a thread that can be abandoned.

/proc/PID/cmdline touches no page that a file is mapped over (FOLL_ANON, since CVE-2018-1120), so no user's
file system can block its reader. It still waits for the process's memory map, which a thread stuck in the
kernel may have locked: then that process costs a moment, and the others are still read.
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
"""How long one read may take, in seconds. An ordinary one takes a few µs."""

MAX_BEHIND = 64
"""Limit of abandoned readers at a time; when it is reached nothing is read here."""

_PAGE = 4096
LIMIT = 16 * 1024
"""How much of one argv is read, in bytes; only `Procfs.entry` reads longer ones whole."""

_PIECE = 4096
"""Bytes of the first read; most argv are shorter."""


class CmdlineReader:
    """Reads the argv of processes. Owned by one thread; abandoned readers end with the program."""

    def __init__(self, host: Host) -> None:
        self._proc = str(host.proc)
        self._behind: dict[int, _Run] = {}

    def read(self, pids: Sequence[int]) -> dict[int, bytes]:
        """Return the content of /proc/PID/cmdline by pid, at most LIMIT + 1 bytes of each.

        Processes are left out that are gone, may not be read, or block their reader. The result does not
        identify the process that had the pid: the caller compares identities before and after.
        """
        self._behind = {pid: run for pid, run in self._behind.items() if run.is_alive()}
        left = [pid for pid in pids if pid not in self._behind]
        answers: dict[int, bytes] = {}
        while left and len(self._behind) < MAX_BEHIND:
            run = _Run(self._proc, left)
            run.start()
            finished = run.wait()
            answers |= run.answers.copy()  # an abandoned run may still add to its own
            if finished:
                break
            stuck = left[run.at]
            self._behind[stuck] = run
            left = left[run.at + 1 :]
        return answers


class _Run(threading.Thread):
    """Reads one argv after the other, until it is done or abandoned."""

    def __init__(self, proc: str, pids: Sequence[int]) -> None:
        super().__init__(name="argv", daemon=True)
        self._proc = proc
        self._pids = pids
        self._done = threading.Event()
        self._abandoned = False
        self.at = 0
        self.answers: dict[int, bytes] = {}

    def run(self) -> None:
        try:
            for at, pid in enumerate(self._pids):
                self.at = at
                with contextlib.suppress(OSError):  # it is gone, or hidden
                    cmdline = _cmdline(f"{self._proc}/{pid}/cmdline")
                    if self._abandoned:
                        return
                    self.answers[pid] = cmdline
        finally:
            self._done.set()

    def wait(self) -> bool:
        """Return True when all is read, False when one read takes too long: then this run is abandoned."""
        at = -1
        while not self._done.wait(WAIT_S):
            if at == self.at:
                self._abandoned = True
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
    """Return whether less was read from /proc than the whole argv of `size` bytes.

    /proc leaves out pages that a file is mapped over. A title shorter than argv, ending at its first NUL, is
    whole.
    """
    is_title = 0 < len(argv) <= _PAGE and argv.find(b"\0") in (-1, len(argv) - 1)
    return len(argv) > LIMIT or (len(argv) < size and not is_title)


def lacks_argv(entry: ProcessEntry) -> bool:
    """Return whether the argv of an entry from a snapshot or the maps is still to be read from /proc."""
    return entry.cmdline_truncated and not entry.cmdline


def with_argv(entry: ProcessEntry, argv: Argv | None) -> ProcessEntry:
    """Return an entry with `argv`, if that is of the same image; else the entry as it is."""
    if argv is None or (argv.start_ns, argv.exec_id) != (entry.start_ns, entry.exec_id):
        return entry
    return msgspec.structs.replace(entry, cmdline=argv.cmdline, cmdline_truncated=argv.cut)
