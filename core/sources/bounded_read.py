"""Reading what may never be answered: in another process, which can be left behind.

/proc/PID/cmdline needs the process's memory map. A process that waits in the kernel with its map locked
(state D: a dead NFS or FUSE server, a lost disk) blocks whoever reads it (fs/proc/base.c,
mmap_read_lock_killable). stat(2) of /proc/PID/exe asks the server of the file system that the executable is
on. A thread that waits for a FUSE server cannot be killed once the server has taken the request
(fs/fuse/dev.c, request_wait_answer), and keeps its whole process from ending: here that is a reader, never
this program. `stat`, `status` and the links in /proc/PID need neither, and always answer.
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
"""So long one answer may take. Of a process that only waits for its disk it takes some µs."""

MAX_STUCK = 16
"""Readers that may be left behind at a time: for one more, the oldest is ended."""

WAITS = "no answer for"
"""How the text of a fact that is waited for goes; the seconds follow."""

ASK_AGAIN_S = 10.0
"""Who gave no answer until the reader was ended is asked again after this."""

_SHORTEST_WAIT_S = 0.01
_RECENT_S = 10.0
_KEPT = 1024
"""Debts, and late answers, that are kept at most."""


@dataclass(frozen=True, slots=True)
class Want:
    """One fact of a folder in /proc, as core/sources/reader.py knows it.

    `subject` is who has to answer, a process or a mount: while it owes one answer it is asked for no other.
    `suspect`: it looks as if it will not answer, so it is not asked when many others do not.
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
    """Too many others give no answer."""


Result = bytes | tuple[int, int, int] | OSError
"""Bytes of a file; inode, mode and mtime_ns of a file; or why there is neither."""


@dataclass(slots=True)
class _Debt:
    """An answer that is owed, and the reader that was left behind with the question, if it still is."""

    folder: str
    name: str
    stat: bytes
    since: float
    ask_after: float
    reader: ReaderProcess | None


class BoundedReader:
    """Asks a reader; one that does not answer in time is left behind, and another one goes on.

    At most MAX_STUCK are, besides the one at work and some that were ended and the kernel does not let go.
    An answer that comes late is kept for who asks next. Any thread may use it; one at a time is served.
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
        """Whether anybody owes an answer: then it matters who the subjects are."""
        return bool(self._debts)

    @property
    def crowded(self) -> bool:
        """Whether so many do that suspects are not asked."""
        return self._recent() >= MAX_STUCK or len(self._ended) >= MAX_STUCK

    def read(self, folder: str, wants: Sequence[Want]) -> tuple[bytes, list[Result]]:
        """Return the `stat` of a folder in /proc and what is wanted, in its order; all of it of one process.

        Raises OSError when there is no such process (any more), ReaderGone without a process to read with.
        """
        with self._lock:
            if self._owner != os.getpid():  # the readers are those of the process that forked this one
                self._begin()
            self._settle()
            answers: dict[str, Result] = {}
            for want in wants:
                refusal = self._refusal(want)
                if refusal is not None:
                    answers[want.name] = refusal
            todo = [want for want in wants if want.name not in answers]
            stat = self._ask(folder, todo, answers)
            while todo:  # somebody did not answer: the others are asked by another reader
                stat = self._ask(folder, todo, answers)
            for want in wants:
                self._look_for_late(folder, want, stat, answers)
            return stat, [answers[want.name] for want in wants]

    def close(self) -> None:
        """Have all readers end, and wait for none: who waits in the kernel ends when that lets it."""
        with self._lock:
            if self._owner == os.getpid():
                for reader in (self._reader, *(debt.reader for debt in self._debts.values())):
                    if reader is not None:
                        reader.kill()
            self._begin()

    def _ask(self, folder: str, todo: list[Want], answers: dict[str, Result]) -> bytes:
        """Ask for what is to do until one does not answer, and take out of `todo` what was asked."""
        asked_at = time.monotonic()
        stat = self._first_answer(folder, todo)
        while todo:
            want = todo.pop(0)
            try:
                answers[want.name] = _result(self._answer())
                self._debts.pop(want.subject, None)
            except TimeoutError:
                answers[want.name] = self._leave_behind(folder, want, stat, asked_at)
                break
        return stat

    def _first_answer(self, folder: str, todo: Sequence[Want]) -> bytes:
        wants = [(want.kind, want.name, want.limit) for want in todo]
        try:
            answer = self._start_asking(folder, wants)
        except ReaderGone:  # somebody ended it between two requests
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
        """Return the next answer of the reader at work. Raises TimeoutError, ReaderGone."""
        assert self._reader is not None
        try:
            return self._reader.answer(max(_SHORTEST_WAIT_S, WAIT_S / (1 + self._recent())))
        except ReaderGone:
            self._drop_reader()
            raise

    def _leave_behind(self, folder: str, want: Want, stat: bytes, asked_at: float) -> Waits:
        now = time.monotonic()
        self._timeouts.append(now)
        before = self._debts.pop(want.subject, None)
        since = before.since if before else asked_at
        self._debts[want.subject] = _Debt(folder, want.name, stat, since, now + ASK_AGAIN_S, self._reader)
        self._reader = None
        left = [debt for debt in self._debts.values() if debt.reader is not None]
        if len(left) > MAX_STUCK:
            self._end(left[0])
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
        """Take the answers that came late, and forget the readers that have ended."""
        self._ended = [reader for reader in self._ended if not reader.gone()]
        for subject, debt in list(self._debts.items()):
            if debt.reader is None or not debt.reader.has_answer():
                continue
            with contextlib.suppress(OSError):  # it was ended
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
            return NotAsked(errno.EBUSY, "not asked: too many others give no answer")
        return None

    def _look_for_late(self, folder: str, want: Want, stat: bytes, answers: dict[str, Result]) -> None:
        """Use the answer of the time before where this time there is none."""
        late = self._late.pop((folder, want.name), None)
        if late is not None and isinstance(answers[want.name], TimeoutError) and _same(late[0], stat):
            answers[want.name] = _result(late[1])

    def _recent(self) -> int:
        now = time.monotonic()
        return sum(now - then < _RECENT_S for then in self._timeouts)


def _result(answer: Answer) -> Result:
    return OSError(answer, os.strerror(answer)) if isinstance(answer, int) else answer


def _same(left: bytes, right: bytes) -> bool:
    """Return whether two `stat` are of one process."""
    return _start(left) == _start(right)


def _start(stat: bytes) -> list[bytes]:
    return stat.rpartition(b")")[2].split()[19:20]


PATIENCE = BoundedReader()
"""The readers of this program. They are started when first needed, and end with it."""

atexit.register(PATIENCE.close)
