"""The program in a pseudo-terminal, for the tests of its manners."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Sequence
from pathlib import Path

from tests.places import ROOT

SCRIPT = ROOT / "tests/tui/run_fixture.py"
LEAVES_ALTERNATE_SCREEN = b"\x1b[?1049l"
SHOWS_CURSOR = b"\x1b[?25h"
COLOUR = re.compile(rb"\x1b\[(?:[0-9;]*;)?(?:3[0-8]|4[0-8]|9[0-7]|10[0-7])(?:;[0-9;]*)?m")
REVERSE = re.compile(rb"\x1b\[(?:[0-9]+;)*7[;m]")
_PLAIN: dict[str, str | None] = {
    "TERM": "xterm-256color",
    "LANG": "C.UTF-8",
    "PYTHONPATH": str(ROOT),
    "XDG_CONFIG_HOME": "/nonexistent",
    **dict.fromkeys(("NO_COLOR", "COLORTERM", "LC_ALL", "LC_CTYPE", "TEXTUAL_COLOR_SYSTEM")),
}
"""What the person who runs the tests has set must not matter."""


def _take_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


class Terminal:
    """The program in a pseudo-terminal, with a shell-like parent that sees it stop and end."""

    def __init__(
        self,
        *args: str,
        size: tuple[int, int] = (80, 24),
        own: bool = True,
        stdout: Path | None = None,
        stderr: Path | None = None,
        program: Sequence[str] = (sys.executable, str(SCRIPT)),
        cwd: Path | None = None,
        **environ: str | None,
    ) -> None:
        """`environ`: None stands for a variable that is not there. `own`: it is its controlling terminal.

        `stdout`, `stderr`: a file that is made for it, instead of the terminal.
        """
        self.output = b""
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
        self.before = termios.tcgetattr(slave)
        self._slave = slave
        self._ends: tuple[int, ...] = (self._master, slave)
        wanted = {**_PLAIN, **environ}
        base = {name: value for name, value in os.environ.items() if name not in wanted}
        self.process = subprocess.Popen(
            [*program, *args],
            cwd=cwd,
            stdin=slave,
            stdout=stdout.open("wb") if stdout else slave,
            stderr=stderr.open("wb") if stderr else slave,
            start_new_session=True,
            preexec_fn=_take_terminal if own else None,  # noqa: PLW1509  # one thread here
            env={**base, **{name: value for name, value in wanted.items() if value is not None}},
        )

    def read(self, seconds: float) -> bytes:
        """Return what comes within this time."""
        got = b""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if select.select([self._master], [], [], left)[0]:
                try:
                    got += os.read(self._master, 65536)
                except OSError:
                    break
        self.output += got
        return got

    def wait_for(self, text: bytes | re.Pattern[bytes], seconds: float = 20) -> None:
        """Read until `text` was written since the last call."""
        pattern = re.compile(re.escape(text)) if isinstance(text, bytes) else text
        start = len(self.output)
        end = time.monotonic() + seconds
        while not pattern.search(self.output, start):
            waits = time.monotonic() < end and (self.read(0.05) or self.process.poll() is None)
            assert waits, self.output[start:][-2000:]

    def quiet(self) -> None:
        """Read until all keys were taken and nothing comes for a while.

        An escape that still waits when the next key is pressed would be read with it: as alt and that key.
        """
        end = time.monotonic() + 30
        while self.process.poll() is None and self._waiting():
            assert time.monotonic() < end, "keys are not read"
            self.read(0.02)
        while self.read(0.2):
            pass

    def _waiting(self) -> int:
        """Return how many bytes of keys nobody has read yet."""
        return int(struct.unpack("i", fcntl.ioctl(self._slave, termios.FIONREAD, b"\0" * 4))[0])

    def write(self, keys: bytes) -> None:
        os.write(self._master, keys)

    def ended(self, seconds: float = 15) -> int:
        """Wait for the end while reading, as a terminal does; return the exit code."""
        end = time.monotonic() + seconds
        while self.process.poll() is None:
            assert time.monotonic() < end, "still running"
            self.read(0.02)
        self.read(0.05)
        return self.process.returncode

    def is_restored(self) -> bool:
        """Return whether the screen, the cursor and the line mode are as they were."""
        at = self.output.rfind(LEAVES_ALTERNATE_SCREEN)
        mouse_off = self.output.rfind(b"\x1b[?1000l") > self.output.rfind(b"\x1b[?1000h")
        return (
            at > self.output.rfind(b"\x1b[?1049h")
            and self.output.rfind(SHOWS_CURSOR) > self.output.rfind(b"\x1b[?25l")
            and mouse_off
            and termios.tcgetattr(self._slave)[3] == self.before[3]
        )

    def resize(self, columns: int, lines: int) -> None:
        """As a window that is dragged; the kernel sends SIGWINCH."""
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def hang_up(self) -> None:
        """The window is closed: nobody holds the other end any more."""
        for end in self._ends:
            os.close(end)
        self._ends = ()

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.hang_up()
