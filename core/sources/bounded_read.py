"""Reads that may block forever, made in another process that can be abandoned.

/proc/PID/cmdline needs the process's memory map. A process that waits in the kernel with its map locked
(state D: a dead NFS or FUSE server, a lost disk) blocks every reader of it (fs/proc/base.c,
mmap_read_lock_killable). stat(2) of /proc/PID/exe asks the server of the executable's file system. A thread
that waits for a FUSE server cannot be killed once the server has taken the request (fs/fuse/dev.c,
request_wait_answer), and keeps its whole process from ending: here that process is a reader, never this
program. `stat`, `status` and the links in /proc/PID need neither and never block.
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import os
import threading
import time
from collections import deque
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from core.sources.reader import Answer
from core.sources.reader_process import ReaderGone, ReaderProcess

WAIT_S = 0.1
"""How long one answer may take. For a process that only waits for its disk it takes a few µs."""

MAX_STUCK = 16
"""Limit of abandoned readers; for one more, the oldest is killed."""

WAITS = "no answer for"
"""How the problem of an overdue fact begins; the seconds follow."""

ASK_AGAIN_S = 10.0
"""A subject that had not answered when its reader was killed is asked again after this."""

_SHORTEST_WAIT_S = 0.01
_RECENT_S = 10.0
_KEPT = 1024
"""Limit of kept debts, and of kept late answers."""


@dataclass(frozen=True, slots=True)
class Want:
    """One fact of a folder in /proc, as core/sources/reader.py reads it.

    `subject` is the process or mount that has to answer: while one answer is overdue it gets no other query.
    `suspect`: it will probably not answer, so it is not asked while many others do not answer.
    """

    kind: int
    name: str
    limit: int
    subject: Hashable
    suspect: bool = False


class Waits(TimeoutError):
    """No answer yet, `seconds` after the subject was first asked."""

    def __init__(self, seconds: float) -> None:
        super().__init__(errno.ETIMEDOUT, f"{WAITS} {seconds:.1f} s")
        self.seconds = seconds


class NotAsked(OSError):
    """Not asked, because too many others do not answer."""


Result = bytes | tuple[int, int, int] | OSError
"""Bytes of a file; inode, mode and mtime_ns of a file; or the error."""


@dataclass(slots=True)
class _Debt:
    """An overdue answer, and the reader that was abandoned with the query unless it was killed."""

    folder: str
    name: str
    stat: bytes
    since: float
    ask_after: float
    reader: ReaderProcess | None


class BoundedReader:
    """Reads through a child process; one that does not answer in time is abandoned and replaced.

    At most MAX_STUCK are abandoned at a time, besides the active one and killed ones that the kernel does not
    release. A late answer is kept for the next query. Any thread may use it; queries are serialized.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._begin()

    def _begin(self) -> None:
        self._owner = os.getpid()
        self._reader: ReaderProcess | None = None
        self._debts: dict[Hashable, _Debt] = {}
        self._ended: list[ReaderProcess] = []
        self._late: dict[tuple[str, str], tuple[bytes, Answer]] = {}
        self._timeouts: deque[float] = deque(maxlen=MAX_STUCK)

    @property
    def troubled(self) -> bool:
        """Whether an answer is overdue: only then are the subjects worth determining."""
        return bool(self._debts)

    @property
    def crowded(self) -> bool:
        """Whether so many answers are overdue that suspects are not asked."""
        return self._recent() >= MAX_STUCK or len(self._ended) >= MAX_STUCK

    def read(self, folder: str, wants: Sequence[Want]) -> tuple[bytes, list[Result]]:
        """Return the `stat` of a folder in /proc and the results of `wants`, in order; all of one process.

        Raises OSError when the process does not exist (any more), ReaderGone when no reader can be started.
        """
        with self._lock:
            if self._owner != os.getpid():  # the readers belong to the process that forked this one
                self._begin()
            self._settle()
            answers: dict[str, Result] = {}
            for want in wants:
                refusal = self._refusal(want)
                if refusal is not None:
                    answers[want.name] = refusal
            todo = [want for want in wants if want.name not in answers]
            stat = self._ask(folder, todo, answers)
            while todo:  # one subject did not answer: another reader reads the rest
                stat = self._ask(folder, todo, answers)
            for want in wants:
                self._look_for_late(folder, want, stat, answers)
            return stat, [answers[want.name] for want in wants]

    def close(self) -> None:
        """Kill all readers without waiting; one that is blocked in the kernel ends when it is released."""
        with self._lock:
            if self._owner == os.getpid():
                for reader in (self._reader, *(debt.reader for debt in self._debts.values())):
                    if reader is not None:
                        reader.kill()
            self._begin()

    def _ask(self, folder: str, todo: list[Want], answers: dict[str, Result]) -> bytes:
        """Read the wants in `todo` until one does not answer; remove from `todo` what was asked."""
        asked_at = time.monotonic()
        stat = self._first_answer(folder, todo)
        while todo:
            want = todo.pop(0)
            try:
                answers[want.name] = _result(self._answer())
                self._debts.pop(want.subject, None)
            except TimeoutError:
                answers[want.name] = self._abandon(folder, want, stat, asked_at)
                break
        return stat

    def _first_answer(self, folder: str, todo: Sequence[Want]) -> bytes:
        wants = [(want.kind, want.name, want.limit) for want in todo]
        try:
            answer = self._start_asking(folder, wants)
        except ReaderGone:  # it was killed between two requests
            answer = self._start_asking(folder, wants)
        result = _result(answer)
        if isinstance(result, OSError):
            raise result
        assert isinstance(result, bytes)
        return result

    def _start_asking(self, folder: str, wants: Sequence[tuple[int, str, int]]) -> Answer:
        if self._reader is None:
            self._reader = ReaderProcess()
        try:
            self._reader.ask(folder, wants)
        except ReaderGone:
            self._drop_reader()
            raise
        try:
            return self._answer()
        except TimeoutError:  # /proc itself
            self._drop_reader()
            raise

    def _drop_reader(self) -> None:
        if self._reader is not None:
            self._reader.kill()
            self._ended.append(self._reader)
            self._reader = None

    def _answer(self) -> Answer:
        """Return the next answer of the active reader. Raises TimeoutError, ReaderGone."""
        assert self._reader is not None
        try:
            return self._reader.answer(max(_SHORTEST_WAIT_S, WAIT_S / (1 + self._recent())))
        except ReaderGone:
            self._drop_reader()
            raise

    def _abandon(self, folder: str, want: Want, stat: bytes, asked_at: float) -> Waits:
        now = time.monotonic()
        self._timeouts.append(now)
        before = self._debts.pop(want.subject, None)
        since = before.since if before else asked_at
        self._debts[want.subject] = _Debt(folder, want.name, stat, since, now + ASK_AGAIN_S, self._reader)
        self._reader = None
        abandoned = [debt for debt in self._debts.values() if debt.reader is not None]
        if len(abandoned) > MAX_STUCK:
            self._end(abandoned[0])
        if len(self._debts) > _KEPT:
            oldest = next(iter(self._debts))
            self._end(self._debts.pop(oldest))
        return Waits(now - since)

    def _end(self, debt: _Debt) -> None:
        if debt.reader is not None:
            debt.reader.kill()
            self._ended.append(debt.reader)
            debt.reader, debt.ask_after = None, time.monotonic() + ASK_AGAIN_S

    def _settle(self) -> None:
        """Take late answers, and forget the readers that have ended."""
        self._ended = [reader for reader in self._ended if not reader.gone()]
        for subject, debt in list(self._debts.items()):
            if debt.reader is None or not debt.reader.has_answer():
                continue
            with contextlib.suppress(OSError):  # it was killed
                self._late[debt.folder, debt.name] = debt.stat, debt.reader.answer(_SHORTEST_WAIT_S)
            self._end(debt)
            del self._debts[subject]
        while len(self._late) > _KEPT:
            del self._late[next(iter(self._late))]

    def _refusal(self, want: Want) -> OSError | None:
        debt = self._debts.get(want.subject)
        now = time.monotonic()
        if debt is not None and (debt.reader is not None or now < debt.ask_after):
            return Waits(now - debt.since)
        if want.suspect and self.crowded:
            return NotAsked(errno.EBUSY, "not asked: too many others do not answer")
        return None

    def _look_for_late(self, folder: str, want: Want, stat: bytes, answers: dict[str, Result]) -> None:
        """Use the late answer of an earlier query if this query got none."""
        late = self._late.pop((folder, want.name), None)
        if late is not None and isinstance(answers[want.name], TimeoutError) and _same(late[0], stat):
            answers[want.name] = _result(late[1])

    def _recent(self) -> int:
        now = time.monotonic()
        return sum(now - then < _RECENT_S for then in self._timeouts)


def _result(answer: Answer) -> Result:
    return OSError(answer, os.strerror(answer)) if isinstance(answer, int) else answer


def _same(left: bytes, right: bytes) -> bool:
    """Return whether two `stat` texts are of one process."""
    return _start(left) == _start(right)


def _start(stat: bytes) -> list[bytes]:
    return stat.rpartition(b")")[2].split()[19:20]


PATIENCE = BoundedReader()
"""The readers of this program. They start when first needed and end with the program."""

atexit.register(PATIENCE.close)
