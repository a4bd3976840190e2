"""The parent's side of the child that reads the state of one user (user_child.py). It never waits, raises
only ChildEnded, and bounds what it receives."""

from __future__ import annotations

import fcntl
import mmap
import os
import signal
import socket
import subprocess
import time
import weakref

import msgspec

from core.containers.daemons import Home
from core.containers.user_protocol import LENGTH, REPLY_LIMIT, Question, Reply, Settings, framed
from core.system.host import Host
from core.system.interpreter import NEUTRAL, python_module
from core.text.safe import safe_text

ANSWER_S = 5.0
"""How long one question may take, in seconds."""

_NOTE_SIZE = 4096
_PIECE = 256 << 10
_PIECES = 4
_WHY = {
    3: "reading it exceeds the memory limit for the files of one user",
    signal.SIGXCPU * -1: "reading it exceeds the processor time limit for the files of one user",
    signal.SIGALRM * -1: "its file system does not answer",
}
_NO_RIGHTS = 4


class ChildEnded(Exception):
    """The child has ended or was stopped. `path`: the file that it was reading, if any; `why` is safe."""

    def __init__(self, path: bytes, why: str) -> None:
        super().__init__(f"{safe_text(path)}: {why}" if path else why)
        self.path = path
        self.why = why


def _started(settings: str, questions: int, inherited: list[int]) -> subprocess.Popen[bytes]:
    """Start the child with an empty environment, a session of its own and no output. Raises OSError."""
    return subprocess.Popen(
        python_module("core.containers.user_child", settings),
        stdin=questions,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=inherited,
        cwd=NEUTRAL,
        env={"LC_ALL": "C.UTF-8"},
        start_new_session=True,
    )


class UserProcess:
    """One running child. `close` ends it, as does the end of this object. One thread at a time may use it."""

    def __init__(self, host: Host, home: Home) -> None:
        """Start the child. Raises ChildEnded when it cannot be started."""
        ours, its = socket.socketpair()
        ours.setblocking(False)
        root = note = -1
        try:
            note = os.memfd_create("reading", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
            os.ftruncate(note, _NOTE_SIZE)
            # Sealed, because reading beyond the end of a truncated file would kill this process (SIGBUS).
            fcntl.fcntl(note, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
            self._note = mmap.mmap(note, _NOTE_SIZE)
            if not host.is_local:
                root = os.open(host.root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            settings = msgspec.json.encode(Settings(home.uid, home.gid, home.path, root, note)).decode()
            inherited = [note] if root < 0 else [note, root]
            self._process = _started(settings, its.fileno(), inherited)
        except (OSError, ValueError) as error:
            ours.close()
            raise ChildEnded(b"", f"no process could be started: {safe_text(str(error), 200)}") from None
        finally:
            its.close()
            for descriptor in (root, note):
                if descriptor >= 0:
                    os.close(descriptor)
        self._socket = ours
        self._received = bytearray()
        self._asked: float | None = None
        self._end = weakref.finalize(self, _end, self._process, ours)

    @property
    def is_busy(self) -> bool:
        """Whether a question has not been answered yet."""
        return self._asked is not None

    def fileno(self) -> int:
        """Return a descriptor that polls readable when `poll` has something to read."""
        return self._socket.fileno()

    def ask(self, question: Question) -> None:
        """Send a question; the previous one must have been answered. Raises ChildEnded."""
        data = framed(question)
        try:
            sent = self._socket.send(data)
        except OSError:
            raise self._ended() from None
        if sent < len(data):  # it does not read: no other message was in the socket
            raise self._stopped("it does not read questions")
        self._asked = time.monotonic()

    def poll(self) -> Reply | None:
        """Return the answer if it has arrived. Raises ChildEnded, also when the answer takes too long."""
        for _ in range(_PIECES):
            try:
                piece = self._socket.recv(_PIECE)
            except BlockingIOError:
                break
            except OSError:
                piece = b""
            if not piece:
                raise self._ended()
            self._received += piece
            reply = self._complete()
            if reply is not None:
                return reply
        if self._asked is not None and time.monotonic() - self._asked > ANSWER_S:
            raise self._stopped("it did not answer in time")
        return None

    def _complete(self) -> Reply | None:
        if len(self._received) < LENGTH.size:
            return None
        size = LENGTH.unpack_from(self._received)[0]
        if size > REPLY_LIMIT or self._asked is None:
            raise self._stopped("it sent more than an answer")
        if len(self._received) < LENGTH.size + size:
            return None
        try:
            data = bytes(self._received[LENGTH.size : LENGTH.size + size])
            reply = msgspec.msgpack.decode(data, type=Reply)
        except (ValueError, RecursionError):
            raise self._stopped("its answer is not understood") from None
        self._received = bytearray()
        self._asked = None
        return reply

    def close(self) -> None:
        """End the child."""
        self._end()

    def _stopped(self, why: str) -> ChildEnded:
        path = self._reading()
        self.close()
        return ChildEnded(path, why)

    def _ended(self) -> ChildEnded:
        """Return why the child has ended. It closed its socket; if it still runs it is killed."""
        try:
            code = self._process.wait(0.05)
        except subprocess.TimeoutExpired:
            return self._stopped("it closed its socket")
        path = self._reading()
        self.close()
        if code == 0:
            return ChildEnded(b"", "")
        if code == _NO_RIGHTS:
            return ChildEnded(b"", f"its process cannot take the user's rights: {safe_text(path, 200)}")
        name = signal.Signals(-code).name if code < 0 else f"code {code}"
        return ChildEnded(path, _WHY.get(code, f"reading it ended with {name}"))

    def _reading(self) -> bytes:
        return bytes(self._note).rstrip(b"\0")


_ENDING: list[subprocess.Popen[bytes]] = []
"""Killed children that still wait for a file system."""


def _end(process: subprocess.Popen[bytes], ours: socket.socket) -> None:
    ours.close()
    process.kill()  # our child until waited for, so its pid cannot be reused
    _ENDING[:] = [other for other in _ENDING if other.poll() is None]
    try:
        process.wait(0.02)
    except subprocess.TimeoutExpired:
        _ENDING.append(process)
