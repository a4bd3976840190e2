"""Opens every screen of the program in a pseudo-terminal, whichever Python or root directory it runs in."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from tests.tui.pty_terminal import Terminal

SCREENS = {
    "1": re.compile("cache‹".encode()),
    "2": re.compile(rb"process\.bpf"),
    "3": re.compile(rb"directories in search order|no headers found"),
    "4": re.compile(rb"on_fork"),
    "5": re.compile(rb"PER SECOND"),
}
"""The key of each screen, and what it shows once it has read what it is about; the probe is a target, too."""

_PATIENCE = 120


def open_every_screen(program: Sequence[str], cwd: Path) -> None:
    """Start the program, go through all screens and back to the first, and end it with `q`.

    Raises AssertionError with the last bytes that were drawn, when a screen does not come, the end is not
    exit code 0, or the terminal is not as it was.
    """
    terminal = Terminal(size=(120, 34), program=program, cwd=cwd, PYTHONPATH=None)
    try:
        terminal.wait_for(SCREENS["1"], _PATIENCE)
        for key in "23451":
            terminal.write(key.encode())
            terminal.wait_for(SCREENS[key], _PATIENCE)
        terminal.write(b"q")
        assert terminal.ended(_PATIENCE) == 0, terminal.output[-2000:]
        assert terminal.is_restored()
        assert b"Traceback" not in terminal.output
    finally:
        terminal.close()
