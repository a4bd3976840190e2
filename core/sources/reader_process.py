"""The parent's side of core/sources/reader.py: starts a reader, sends requests, receives answers."""

from __future__ import annotations

import errno
import marshal
import os
import select
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from core.sources import reader
from core.sources.reader import LENGTH, Answer
from core.system.interpreter import python

Want = tuple[int, str, int]
"""Kind (reader.READ, reader.FACTS), name in the folder, and limit in bytes."""

_BUSY_S = 5.0
"""How long a reader that computes or waits for a CPU may take."""

_START_S = 20.0
_SCRIPT = str(Path(reader.__file__).resolve())


class ReaderGone(OSError):
    """The reader process has ended, or cannot be started; the text says why."""


class ReaderProcess:
    """One process of reader.py. It ends with this program, as soon as the kernel allows."""

    def __init__(self) -> None:
        """Start the process and wait until it is ready. Raises ReaderGone."""
        try:
            # It inherits no descriptor of ours: a stuck reader must keep no terminal and no pipe open.
            self._process = subprocess.Popen(
                python("-S", _SCRIPT),  # without site-packages it starts in a third of the time
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                cwd="/", bufsize=0, start_new_session=True,
            )  # fmt: skip
        except (OSError, ValueError) as error:  # ValueError: no path of Python is known
            raise ReaderGone(errno.ECHILD, f"the reader process cannot be started: {error}") from None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._input, self._output = self._process.stdin, self._process.stdout
        self._data = bytearray()
        try:
            self.answer(_START_S)
        except OSError:
            self.kill()
            raise ReaderGone(errno.ECHILD, "the reader process did not start") from None

    def ask(self, folder: str, wants: Sequence[Want]) -> None:
        """Send a request; the first answer to it is the folder's `stat`. Raises ReaderGone."""
        request = marshal.dumps((folder, tuple(wants)))
        try:
            self._input.write(LENGTH.pack(len(request)) + request)
        except BrokenPipeError:
            raise ReaderGone(errno.ECHILD, "the reader process was killed") from None

    def answer(self, wait_s: float) -> Answer:
        """Return the next answer. Raises ReaderGone; TimeoutError when the reader is blocked.

        A reader that only lacks CPU time is waited for longer: a busy machine is not a dead server.
        """
        began = time.monotonic()
        while (answer := self._next()) is None:
            if self.has_answer(wait_s):
                data = os.read(self._output.fileno(), 1 << 20)
                if not data:
                    raise ReaderGone(errno.ECHILD, "the reader process was killed")
                self._data += data
            elif time.monotonic() - began > _BUSY_S or not (self._computes() or self.has_answer()):
                raise TimeoutError
        return answer

    def has_answer(self, wait_s: float = 0) -> bool:
        """Return whether an answer, or the end of the reader, arrives within `wait_s`."""
        poller = select.poll()
        poller.register(self._output, select.POLLIN)
        return bool(poller.poll(wait_s * 1000))

    def kill(self) -> None:
        """Kill the reader without waiting; `gone` reports when it has ended."""
        self._process.kill()
        self._input.close()
        self._output.close()

    def gone(self) -> bool:
        return self._process.poll() is not None

    def _next(self) -> Answer | None:
        if len(self._data) < LENGTH.size:
            return None
        end = LENGTH.size + LENGTH.unpack_from(self._data)[0]
        if len(self._data) < end:
            return None
        answer: Answer = marshal.loads(self._data[LENGTH.size : end])
        del self._data[:end]
        return answer

    def _computes(self) -> bool:
        try:
            data = Path(f"/proc/{self._process.pid}/stat").read_bytes()
            return data[data.rindex(b")") + 2 :][:1] == b"R"
        except (OSError, ValueError):
            return False
