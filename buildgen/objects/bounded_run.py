"""Run a program that reads foreign bytes: it ends in time, says what fits, and leaves nothing behind."""

from __future__ import annotations

import contextlib
import os
import resource
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

_STEP = 0.1
_AFTER_THE_END = 2.0
"""Seconds that a pipe may stay open behind the process: somebody else holds it, too."""
_KILLED = 5.0
"""Seconds after SIGKILL; a process that the kernel does not let go of is left behind."""


@dataclass(frozen=True, slots=True)
class Ran:
    """How it went. `code` as in subprocess, None for a process that did not end although it was killed.

    `late`: the time was over. `cut`: it said more than was asked for. In both cases it was killed.
    """

    out: bytes
    err: bytes
    code: int | None
    late: bool
    cut: bool


def run(
    command: Sequence[str],
    *,
    identity: Mapping[str, Any] | None,
    seconds: float,
    most: int,
    limits: Mapping[int, int],
    stdin: int = subprocess.DEVNULL,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> Ran:
    """Run `command` in a session of its own, for at most `seconds`, and read at most `most` bytes of it.

    `identity` says as whom (owner.identity), None: as we are. `limits` are resource limits by number
    (RLIMIT_*). Raises OSError when it does not start.
    """
    process = subprocess.Popen(
        command,
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        cwd=cwd,
        env=env,
        **(identity or {}),
    )
    assert process.stdout is not None
    assert process.stderr is not None
    with process.stdout as out, process.stderr as err:
        for number, value in limits.items():
            with contextlib.suppress(OSError, ValueError):  # ended already, or less is allowed anyway
                resource.prlimit(process.pid, number, (value, value))
        texts, late, cut = _read(process.pid, (out, err), time.monotonic() + seconds, most)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)  # not waited for yet: nobody else has this number
    try:
        code: int | None = process.wait(_KILLED)
    except subprocess.TimeoutExpired:
        code = None
    return Ran(texts[0], texts[1], code, late, cut)


def _read(
    pid: int, pipes: tuple[IO[bytes], ...], deadline: float, most: int
) -> tuple[list[bytes], bool, bool]:
    """Return what came from the pipes, whether the time was over, and whether there was too much."""
    texts = [bytearray() for _ in pipes]
    with selectors.DefaultSelector() as selector:
        for number, pipe in enumerate(pipes):
            os.set_blocking(pipe.fileno(), False)
            selector.register(pipe, selectors.EVENT_READ, number)
        late = cut = ended = False
        while (selector.get_map() or not ended) and not late and not cut:
            for key, _ in selector.select(_STEP):
                piece = os.read(key.fd, 1 << 16)
                texts[key.data] += piece
                if not piece:
                    selector.unregister(key.fileobj)
            if not ended and _has_ended(pid):
                ended, deadline = True, time.monotonic() + _AFTER_THE_END
            if not selector.get_map() and not ended:
                time.sleep(_STEP / 10)
            cut = sum(map(len, texts)) > most
            late = time.monotonic() > deadline
    return [bytes(text) for text in texts], late and not ended, cut


def _has_ended(pid: int) -> bool:
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
