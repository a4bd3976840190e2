"""Manners towards a real terminal: signals, ctrl+c, ctrl+z, colours, and silence when nothing happens."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.places import ROOT
from tests.tui.pty_terminal import COLOUR, REVERSE, Terminal


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
def test_no_color_is_taken_as_specified(environ: dict[str, Any], coloured: bool) -> None:
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
        [sys.executable, "-m", "tui.cli.main"],
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
