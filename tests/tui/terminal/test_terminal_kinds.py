"""Every kind of terminal: it is drawn on in colours that it has, or told in one line what to do."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.tui.pty_terminal import COLOUR, REVERSE, Terminal

SGR = re.compile(rb"\x1b\[([0-9;]*)m")
EVERY_SCREEN = (b"\r/x", b"\x1b", b"2", b"3", b"4", b"5", b"?", b"\x1b", b"1", b"s", b"\x1b")
"""An escape stands alone, or it is alt."""


@contextmanager
def shown(*args: str, **environ: Any) -> Iterator[Terminal]:
    terminal = Terminal(*args, **environ)
    try:
        yield terminal
    finally:
        terminal.close()


def visit(terminal: Terminal) -> bytes:
    """Move the cursor and look at every screen; return what moving it wrote."""
    terminal.wait_for(b"nginx", 30)
    terminal.quiet()
    start = len(terminal.output)
    terminal.write(b"j")
    terminal.wait_for(b"\x1b[", 30)
    terminal.quiet()
    moved = terminal.output[start:]
    for keys in EVERY_SCREEN:
        terminal.write(keys)
        terminal.quiet()
    terminal.write(b"q")
    assert terminal.ended(30) == 0
    assert terminal.is_restored()
    return moved


def systems(output: bytes) -> set[str]:
    """Return the colour systems whose codes are in it."""
    found = set()
    for codes in SGR.findall(output):
        numbers = codes.split(b";")
        for place, number in enumerate(numbers):
            if number in (b"38", b"48"):
                found.add({b"2": "truecolor", b"5": "256"}[numbers[place + 1]])
                break
        else:
            if COLOUR.search(b"\x1b[" + codes + b"m"):
                found.add("16")
    return found


@pytest.mark.parametrize(
    ("term", "colorterm", "allowed"),
    [
        ("linux", None, {"16"}),
        ("screen", None, {"16"}),
        ("vt100", None, set()),
        ("vt100", "truecolor", set()),
        ("screen-256color", None, {"16", "256"}),
        ("tmux-256color", None, {"16", "256"}),
        ("xterm-256color", None, {"16", "256"}),
        ("xterm-256color", "truecolor", {"16", "256", "truecolor"}),
        ("terminal-of-tomorrow", None, {"16"}),
        ("tomorrow-256color", None, {"16", "256"}),
    ],
)
def test_only_colours_that_the_terminal_has(term: str, colorterm: str | None, allowed: set[str]) -> None:
    with shown(TERM=term, COLORTERM=colorterm) as terminal:
        moved = visit(terminal)
        assert systems(terminal.output) <= allowed
        assert bool(allowed) == bool(systems(terminal.output))
        if allowed <= {"16"}:  # too few for a background of the cursor's own
            assert REVERSE.search(moved)


@pytest.mark.parametrize("term", ["dumb", "unknown", "", None])
def test_a_terminal_without_a_cursor_is_told_what_to_use(term: str | None) -> None:
    with shown(TERM=term) as terminal:
        assert terminal.ended(30) == 2
        (line,) = terminal.output.decode().splitlines()
        assert line.startswith("ebpf-tui: TERM")
        assert "ebpf-tui ps" in line
        assert "\x1b" not in line


@pytest.mark.parametrize(
    ("options", "environ", "coloured"),
    [
        (["--no-color"], {}, False),
        (["--color"], {"NO_COLOR": "1"}, True),
        (["--color"], {"TERM": "vt100"}, True),
        (["--no-color"], {"COLORTERM": "truecolor"}, False),
    ],
)
def test_what_is_asked_for_goes_first(options: list[str], environ: dict[str, str], coloured: bool) -> None:
    with shown(*options, **environ) as terminal:
        moved = visit(terminal)
        assert bool(COLOUR.search(terminal.output)) is coloured
        assert coloured or REVERSE.search(moved)


@pytest.mark.parametrize(
    ("options", "environ"),
    [
        (["--ascii"], {}),
        ([], {"LANG": "C"}),
        ([], {"LANG": None}),
        ([], {"LC_ALL": "POSIX"}),
        ([], {"LC_ALL": "C", "PYTHONUTF8": "1"}),
    ],
)
def test_ascii_is_all_that_is_written(options: list[str], environ: dict[str, str | None]) -> None:
    with shown(*options, **environ) as terminal:
        visit(terminal)
        assert terminal.output.isascii(), re.findall(rb"[^\x00-\x7f]+", terminal.output)[:5]


def test_utf8_is_written_where_the_locale_is_of_it() -> None:
    with shown() as terminal:
        visit(terminal)
        assert "▸".encode() in terminal.output or "▾".encode() in terminal.output


def test_a_terminal_that_is_closed_ends_it() -> None:
    with shown() as terminal:
        terminal.wait_for(b"nginx", 30)
        terminal.hang_up()
        assert terminal.process.wait(30) == 128 + signal.SIGHUP


def test_a_terminal_whose_other_end_is_gone_without_a_signal_ends_it() -> None:
    with shown(own=False) as terminal:
        terminal.wait_for(b"nginx", 30)
        terminal.hang_up()
        assert terminal.process.wait(30) == 128 + signal.SIGHUP


def test_it_leaves_no_process() -> None:
    with shown() as terminal:
        terminal.wait_for(b"nginx", 30)
        group = os.getpgid(terminal.process.pid)
        terminal.write(b"2")
        terminal.quiet()
        terminal.process.send_signal(signal.SIGTERM)
        assert terminal.ended(30) == 143
        with pytest.raises(ProcessLookupError):
            os.killpg(group, 0)


@pytest.mark.parametrize("keys", [b"/ngi", b"\x06work", b"s", b"?", b":qu", b"\r", b"2", b"3", b"4", b"5"])
def test_resized_live_with_anything_open(keys: bytes) -> None:
    with shown() as terminal:
        terminal.wait_for(b"nginx", 30)
        terminal.quiet()
        terminal.write(keys)
        terminal.quiet()
        for columns, lines in ((20, 5), (60, 20), (33, 7), (200, 50), (20, 5), (80, 24)):
            terminal.resize(columns, lines)
            terminal.quiet()
            assert terminal.process.poll() is None, terminal.output[-2000:]
        terminal.quiet()
        terminal.write(b"\x1b")
        terminal.quiet()
        terminal.write(b"q")
        assert terminal.ended(30) == 0
        assert terminal.is_restored()
