"""Manners towards a real terminal: signals, ctrl+c, ctrl+z, colours, and silence when nothing happens."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = Path(__file__).with_name("run_fixture.py")
LEAVES_ALTERNATE_SCREEN = b"\x1b[?1049l"
SHOWS_CURSOR = b"\x1b[?25h"
COLOUR = re.compile(rb"\x1b\[(?:[0-9;]*;)?(?:3[0-8]|4[0-8]|9[0-7]|10[0-7])(?:;[0-9;]*)?m")
REVERSE = re.compile(rb"\x1b\[(?:[0-9]+;)*7[;m]")


class Terminal:
    """The program in a pseudo-terminal, with a shell-like parent that sees it stop and end."""

    def __init__(self, *args: str, size: tuple[int, int] = (80, 24), **environ: str) -> None:
        self.output = b""
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
        self.before = termios.tcgetattr(slave)
        self._slave = slave
        base = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLORTERM")}
        self.process = subprocess.Popen(
            [sys.executable, str(SCRIPT), *args],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509  # one thread here
            env={**base, "TERM": "xterm-256color", "PYTHONPATH": str(ROOT), **environ},
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

    def wait_for(self, text: bytes, seconds: float = 20) -> None:
        """Read until `text` was written since the last call."""
        start = len(self.output)
        end = time.monotonic() + seconds
        while text not in self.output[start:]:
            assert time.monotonic() < end, self.output[start:][-2000:]
            self.read(0.05)

    def quiet(self) -> None:
        """Read until nothing comes for a while."""
        while self.read(0.2):
            pass

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

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._master)
        os.close(self._slave)


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    opened = Terminal()
    opened.wait_for(b"nginx")
    opened.quiet()
    yield opened
    opened.close()


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)]
)
def test_a_signal_ends_it_and_the_terminal_is_as_before(
    terminal: Terminal, number: signal.Signals, code: int
) -> None:
    terminal.process.send_signal(number)
    assert terminal.ended() == code
    assert terminal.is_restored()


@pytest.mark.parametrize(("keys", "code"), [(b"q", 0), (b"\x03", 130), (b"/abc\x03", 130), (b"2\x03", 130)])
def test_a_key_ends_it_and_the_terminal_is_as_before(terminal: Terminal, keys: bytes, code: int) -> None:
    terminal.write(keys)
    assert terminal.ended() == code
    assert terminal.is_restored()


def test_keys_that_come_at_once_with_the_slash_are_typed_into_the_filter(terminal: Terminal) -> None:
    terminal.write(b"/q")  # to the tree, q would be the end
    terminal.quiet()
    assert terminal.process.poll() is None
    terminal.write(b"\x1b")
    terminal.quiet()
    terminal.write(b"q")
    assert terminal.ended() == 0


def test_ctrl_z_gives_the_terminal_back_and_fg_paints_everything_again(terminal: Terminal) -> None:
    terminal.write(b"\x1a")
    deadline = time.monotonic() + 10
    stopped = 0
    while not stopped and time.monotonic() < deadline:
        terminal.read(0.1)
        _, stopped = os.waitpid(terminal.process.pid, os.WNOHANG | os.WUNTRACED)
    assert os.WIFSTOPPED(stopped)
    assert terminal.is_restored()
    terminal.process.send_signal(signal.SIGCONT)
    terminal.wait_for(b"nginx")  # the rows, not an empty alternate screen
    terminal.quiet()
    terminal.write(b"q")
    assert terminal.ended() == 0


def test_frames_without_news_write_nothing() -> None:
    terminal = Terminal("50")
    try:
        terminal.wait_for(b"nginx")
        terminal.quiet()
        assert terminal.read(1.0) == b""
        terminal.write(b"j")
        assert 0 < len(terminal.read(0.5)) < 1500  # two rows
    finally:
        terminal.close()


@pytest.mark.parametrize(
    ("environ", "coloured"),
    [
        ({"NO_COLOR": "1"}, False),
        ({"NO_COLOR": ""}, True),  # the specification: set and not empty
        ({}, True),
    ],
)
def test_no_color_is_taken_as_specified(environ: dict[str, str], coloured: bool) -> None:
    terminal = Terminal(**environ)
    try:
        terminal.wait_for(b"nginx")
        terminal.quiet()
        terminal.write(b"jj")
        moved = terminal.read(0.3)
        # No colour has to hold on every screen. An escape stands alone, or it is alt.
        for keys in () if coloured else (b"\r/x", b"\x1b", b"2345?", b"\x1b", b"1"):
            terminal.write(keys)
            terminal.quiet()
        assert bool(COLOUR.search(terminal.output)) is coloured
        if not coloured:
            assert REVERSE.search(moved)  # the cursor is in reverse video instead
        terminal.write(b"q")
        assert terminal.ended() == 0
    finally:
        terminal.close()


def test_without_a_terminal_it_says_what_to_use_instead() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tui.cli"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        cwd=ROOT,
        timeout=30,
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout == b""
    assert b"ps --json" in done.stderr
    assert b"\x1b" not in done.stderr
