"""Reads the facts of /proc/PID that may block forever: argv, and the executable's file."""

from __future__ import annotations

import os
from collections.abc import Hashable

from core.sources.bounded_read import PATIENCE, BoundedReader, NotAsked, Result, Waits, Want
from core.sources.mounts import Mount, mount_of
from core.sources.reader import FACTS, READ, read_file
from core.sources.reader_process import ReaderGone
from core.text.safe import safe_text

CMDLINE_LIMIT = 2 * 1024 * 1024
"""Limit of an argv in bytes; longer ones are cut. The kernel's own limit for a whole exec is 3/4 of 8 MiB."""

_MOUNTINFO_LIMIT = 4 << 20
_THREADS_ASKED = 64

STUCK = "it is stuck in the kernel with its memory locked"
"""Why a command line cannot be read."""

Facts = dict[str, object]


class PatientFacts:
    """Reads argv and executable of the processes in one /proc, and reports why one is not known."""

    def __init__(self, proc: str, patience: BoundedReader = PATIENCE) -> None:
        self._proc = os.path.abspath(proc)  # the reader has a working directory of its own
        self._reader = patience

    def cmdline(self, pid: int, directory: int) -> tuple[bytes, bytes, bool]:
        """Return the `stat` of the process that answered, its argv, and whether the argv was cut.

        Raises OSError (ProcessLookupError when it is gone); the text says why there is no argv.
        """
        stat, results = self._reader.read(f"{self._proc}/{pid}", [self._argv(pid, directory)])
        if isinstance(results[0], OSError):
            raise _explained(results[0], _cmdline_problem(results[0]))
        argv, cut = _cut(results[0])
        return stat, argv, cut

    def read(self, pid: int, directory: int, stat: bytes, exe: bytes) -> tuple[Facts, list[str]]:
        """Return argv, inode, mode and mtime of a process as far as they can be read, and the problems.

        `directory` is /proc/PID, `stat` its content, `exe` the executable's path if known. Raises
        ProcessLookupError when that process is gone; a fact that a zombie lacks is no problem.
        """
        mount = self._mount(directory, exe) if self._reader.troubled else None
        wants = [self._argv(pid, directory), _file(pid, mount)]
        try:
            now, results = self._reader.read(f"{self._proc}/{pid}", wants)
        except ReaderGone as error:
            return {}, [f"cmdline: {error.strerror}", f"exe's file: {error.strerror}"]
        except FileNotFoundError:
            raise ProcessLookupError from None
        if _start(now) != _start(stat):
            raise ProcessLookupError
        return self._made(directory, exe, results)

    def _made(self, directory: int, exe: bytes, results: list[Result]) -> tuple[Facts, list[str]]:
        facts: Facts = {}
        problems = []
        cmdline, file = results
        if isinstance(cmdline, ProcessLookupError):
            raise cmdline
        if isinstance(cmdline, OSError):
            problems += [] if isinstance(cmdline, FileNotFoundError) else [_cmdline_problem(cmdline)]
        else:
            facts["cmdline"], facts["cmdline_truncated"] = _cut(cmdline)
        if isinstance(file, tuple):
            facts["inode"], facts["mode"], facts["mtime_ns"] = file
        elif isinstance(file, ProcessLookupError):
            raise file
        elif isinstance(file, OSError) and exe and not isinstance(file, FileNotFoundError):
            problems.append(_file_problem(file, self._mount(directory, exe)))
        return facts, problems

    def _argv(self, pid: int, directory: int) -> Want:
        suspect = self._reader.crowded and _may_be_stuck(directory)
        return Want(READ, "cmdline", CMDLINE_LIMIT + 1, ("memory", self._proc, pid), suspect)

    def _mount(self, directory: int, exe: bytes) -> Mount | None:
        try:
            return mount_of(exe, read_file(directory, "mountinfo", _MOUNTINFO_LIMIT)) if exe else None
        except OSError:
            return None


def _file(pid: int, mount: Mount | None) -> Want:
    """Return the want for the executable's file. A mount with an overdue answer is not asked again."""
    subject: Hashable = ("executable", pid)
    served = mount is not None and mount.asks_a_server
    if mount is not None and served:
        subject = ("mount", mount.device)
    return Want(FACTS, "exe", 0, subject, served)


def _cut(data: Result) -> tuple[bytes, bool]:
    assert isinstance(data, bytes)
    return data[:CMDLINE_LIMIT], len(data) > CMDLINE_LIMIT


def _cmdline_problem(error: OSError) -> str:
    if isinstance(error, Waits):
        return f"cmdline: {STUCK} ({error.strerror})"
    if isinstance(error, NotAsked):
        return f"cmdline: {STUCK} (state D), as are many others"
    if isinstance(error, PermissionError):
        return "cmdline not permitted"
    return f"cmdline: {safe_text(error.strerror or str(error))}"


def _file_problem(error: OSError, mount: Mount | None) -> str:
    where = f"the file system of {mount}" if mount else "its file system"
    if isinstance(error, Waits):
        return f"exe's file: {error.strerror} from {where}"
    return f"exe's file: {safe_text(error.strerror or str(error))} ({where})"


def _explained(error: OSError, text: str) -> OSError:
    if isinstance(error, FileNotFoundError | ProcessLookupError | PermissionError):
        return error
    return OSError(error.errno, text)


def _start(stat: bytes) -> list[bytes]:
    return stat.rpartition(b")")[2].split()[19:20]


def _may_be_stuck(directory: int) -> bool:
    """Return whether one of the first threads of a process is in state D and may never leave it."""
    try:
        tasks = os.open("task", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory)
    except OSError:
        return False
    try:
        return any(_state(tasks, task) == b"D" for task in os.listdir(tasks)[:_THREADS_ASKED])
    except OSError:
        return False
    finally:
        os.close(tasks)


def _state(tasks: int, task: str) -> bytes:
    try:
        return read_file(tasks, f"{task}/stat", 4096).rpartition(b") ")[2][:1]
    except OSError:  # it has ended
        return b""
