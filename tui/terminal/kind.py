"""The capabilities of the terminal, from TERM and terminfo, COLORTERM and the locale.

Determined once, before Textual is imported: Textual chooses its colours on import and ignores terminfo.
"""

from __future__ import annotations

import locale
import os
import select
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from tui.output import CommandError, ExitCode
from tui.settings import Settings

if TYPE_CHECKING:
    import asyncio

COLOR_SYSTEM = "TEXTUAL_COLOR_SYSTEM"
_NOT_TERMINALS = ("", "dumb", "unknown")
_MANY = 256


def fit_terminal(settings: Settings) -> Settings:
    """Return `settings` limited to what this terminal supports, and set its colours for Textual.

    Raises CommandError (exit 2) if it cannot position the cursor. The user's choice overrides terminfo.
    """
    term = os.environ.get("TERM", "")
    colors = -1 if term in _NOT_TERMINALS else _colors(term)
    if colors == -1:
        what = f"TERM={term} cannot position the cursor" if term else "TERM is not set"
        raise CommandError(
            f"{what}: use `ebpf-tui ps` or another subcommand, or set the type: "
            "`TERM=xterm-256color ebpf-tui`",
            ExitCode.USAGE,
        )
    os.environ.setdefault(COLOR_SYSTEM, _color_system(colors))
    color = False if colors == 0 and settings.color is None else settings.color
    return replace(settings, color=color, ascii=settings.ascii or not writes_utf8())


class HangUp:
    """Detects that the other end of the terminal was closed, even if SIGHUP is ignored.

    Otherwise Textual's input thread would poll the closed terminal forever and keep a core busy.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, closed: Callable[[], object]) -> None:
        """Call `closed` once, in `loop`, when that happens; input does not trigger it."""
        self._loop = loop
        self._closed = closed
        self._epoll = select.epoll()
        self._epoll.register(sys.stdin.fileno(), 0)  # no events but EPOLLHUP, which is always reported
        loop.add_reader(self._epoll.fileno(), self._gone)

    def _gone(self) -> None:
        self.close()
        self._closed()

    def close(self) -> None:
        if not self._epoll.closed:
            self._loop.remove_reader(self._epoll.fileno())
            self._epoll.close()


def has_few_colors() -> bool:
    """Return whether the terminal has only 16 colours, too few for a distinct cursor background."""
    return os.environ.get(COLOR_SYSTEM) == "standard"


def writes_utf8() -> bool:
    """Return whether the locale uses UTF-8; Python's own UTF-8 mode in the C locale does not count."""
    if sys.flags.utf8_mode and not os.environ.get("PYTHONUTF8"):
        return False
    return locale.nl_langinfo(locale.CODESET).upper().replace("-", "") == "UTF8"


def _color_system(colors: int) -> str:
    if colors and os.environ.get("COLORTERM", "").strip().lower() in ("truecolor", "24bit"):
        return "truecolor"
    return "256" if colors >= _MANY else "standard"


def _colors(term: str) -> int:
    """Return the number of colours of a terminal; -1: its cursor cannot be positioned.

    A terminal without a terminfo entry is judged by its name, and has few colours if that does not help.
    """
    by_name = _MANY if term.endswith(("256color", "kitty")) else 8
    try:
        import curses
    except ImportError:  # Python was built without curses
        return by_name
    try:
        curses.setupterm(term, sys.stdout.fileno())
    except curses.error:
        return by_name
    return max(0, curses.tigetnum("colors")) if curses.tigetstr("cup") else -1
