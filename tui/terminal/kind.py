"""What the terminal in front of us can do: TERM, what terminfo says of it, COLORTERM and the locale.

Looked at once, before Textual is imported, which decides about colours for itself and knows no terminfo.
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
    """Return `settings` with what this terminal cannot do left out; leave the colours it has to Textual.

    Raises CommandError (exit 2) when it cannot even place the cursor. What the person chose goes before
    what terminfo says.
    """
    term = os.environ.get("TERM", "")
    colors = -1 if term in _NOT_TERMINALS else _colors(term)
    if colors == -1:
        what = f"TERM={term} cannot place a cursor" if term else "TERM is not set"
        raise CommandError(
            f"{what}: use `ebpf-tui ps` or another subcommand, or say what it is: "
            "`TERM=xterm-256color ebpf-tui`",
            ExitCode.USAGE,
        )
    os.environ.setdefault(COLOR_SYSTEM, _color_system(colors))
    color = False if colors == 0 and settings.color is None else settings.color
    return replace(settings, color=color, ascii=settings.ascii or not writes_utf8())


class HangUp:
    """Tells when nobody holds the other end of the terminal any more, for which SIGHUP may be ignored.

    Textual's thread would read nothing from it again and again, and keep a core busy.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, tell: Callable[[], object]) -> None:
        """Call `tell` once, in `loop`. Until then nothing is called, whatever is typed."""
        self._loop = loop
        self._tell = tell
        self._epoll = select.epoll()
        self._epoll.register(sys.stdin.fileno(), 0)  # no event but those that always come: EPOLLHUP
        loop.add_reader(self._epoll.fileno(), self._gone)

    def _gone(self) -> None:
        self.close()
        self._tell()

    def close(self) -> None:
        if not self._epoll.closed:
            self._loop.remove_reader(self._epoll.fileno())
            self._epoll.close()


def has_few_colors() -> bool:
    """Return whether there are sixteen colours: too few for a background of its own under the cursor."""
    return os.environ.get(COLOR_SYSTEM) == "standard"


def writes_utf8() -> bool:
    """Return whether the locale is one of UTF-8. Python changes C to UTF-8 for itself, and says so."""
    if sys.flags.utf8_mode and not os.environ.get("PYTHONUTF8"):
        return False
    return locale.nl_langinfo(locale.CODESET).upper().replace("-", "") == "UTF8"


def _color_system(colors: int) -> str:
    if colors and os.environ.get("COLORTERM", "").strip().lower() in ("truecolor", "24bit"):
        return "truecolor"
    return "256" if colors >= _MANY else "standard"


def _colors(term: str) -> int:
    """Return how many colours it has; -1: its cursor cannot be placed.

    One that terminfo does not know is judged by its name, and has sixteen where that says nothing.
    """
    by_name = _MANY if term.endswith(("256color", "kitty")) else 8
    try:
        import curses
    except ImportError:  # a Python that was built without it
        return by_name
    try:
        curses.setupterm(term, sys.stdout.fileno())
    except curses.error:
        return by_name
    return max(0, curses.tigetnum("colors")) if curses.tigetstr("cup") else -1
