"""The child that reads the state of one user. Before it opens a file it drops all rights but the user's.

user_states.py starts it in an isolated interpreter; questions come through a socket on its standard input. If
a user's file exhausts memory or time or crashes a parser (SQLite), only this process ends.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import resource
import signal
import socket
import sqlite3  # noqa: F401  before rights are dropped: the user may not be able to read its files
import sys
from pathlib import Path

import msgspec

from core.containers import sqlite as _sqlite  # noqa: F401
from core.containers.daemons import Home
from core.containers.user_protocol import LENGTH, QUESTION_LIMIT, Question, Settings, framed
from core.containers.user_state import UserState
from core.system.host import LOCAL, Host

NOTE_SIZE = 4096
OUT_OF_MEMORY, NO_RIGHTS, FAILED = 3, 4, 5
"""Exit codes."""

MEMORY = 256 << 20
CPU_S = 3
_ALL_CPU_S = 60
WALL_S = 8
"""Bytes of address space; seconds of processor time for one question, and in all before a new child replaces
this one; seconds of real time for one question."""

_PR_SET_DUMPABLE, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT = 4, 24, 38, 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4
_CAPABILITY_VERSION = 0x20080522
_LAST_CAPABILITY = 63


def main() -> None:
    """Answer questions until the parent closes the socket."""
    settings = msgspec.json.decode(sys.argv[1], type=Settings)
    note = mmap.mmap(settings.note, NOTE_SIZE)
    os.close(settings.note)
    questions = socket.socket(fileno=0)
    host = LOCAL if settings.root < 0 else Host(Path(f"/proc/self/fd/{settings.root}"))
    state = UserState(host, Home(settings.uid, settings.home, settings.gid))
    state.files.reading = lambda path: _write_down(note, os.fsencode(path))
    try:
        take_rights_of(settings.uid, settings.gid)
        _limit()
    except OSError as error:
        _write_down(note, (error.strerror or str(error)).encode())
        os._exit(NO_RIGHTS)
    try:
        _serve(questions, state)
    except MemoryError:
        os._exit(OUT_OF_MEMORY)
    except BaseException:  # the exit code reports any error to the parent
        os._exit(FAILED)
    os._exit(0)


def take_rights_of(uid: int, gid: int) -> None:
    """Become this user for good, without groups, capabilities, or a way to regain them. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if os.geteuid() == 0:
        for capability in range(_LAST_CAPABILITY + 1):
            libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
        os.setgroups([])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
        if os.getgroups():
            raise PermissionError("it kept groups")
    if os.getresuid() != (uid, uid, uid):
        raise PermissionError(f"cannot become user {uid}")
    libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    if libc.capset(header, (ctypes.c_uint32 * 6)()) != 0:
        raise PermissionError("it kept capabilities")
    libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)  # its memory holds data from before: the user must not read it


def _limit() -> None:
    for what, most in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_MEMLOCK, 0),
        (resource.RLIMIT_NOFILE, 16),
        (resource.RLIMIT_AS, MEMORY),
        (resource.RLIMIT_CPU, _ALL_CPU_S + 2 * CPU_S),
    ):
        resource.setrlimit(what, (most, most))


def _serve(questions: socket.socket, state: UserState) -> None:
    while data := _received(questions):
        question = msgspec.msgpack.decode(data, type=Question)
        # The kernel enforces these limits, also while this process waits for a file system or runs C code.
        signal.alarm(WALL_S)
        used = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
        hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
        resource.setrlimit(resource.RLIMIT_CPU, (min(hard, int(used) + 1 + CPU_S), hard))
        questions.sendall(framed(state.answer(question)))
        signal.alarm(0)
        if used > _ALL_CPU_S:
            return


def _received(questions: socket.socket) -> bytes:
    """Return the next question; empty when the parent closed the socket."""
    length = questions.recv(LENGTH.size, socket.MSG_WAITALL)
    if len(length) < LENGTH.size:
        return b""
    size = LENGTH.unpack(length)[0]
    return questions.recv(size, socket.MSG_WAITALL) if size <= QUESTION_LIMIT else b""


def _write_down(note: mmap.mmap, text: bytes) -> None:
    """Keep the path of the file being read, so that the parent can report which file ended this process."""
    note[:] = text[: NOTE_SIZE - 1].ljust(NOTE_SIZE, b"\0")


if __name__ == "__main__":
    main()
