"""The signal menu: which signal to send, and to which processes."""

from __future__ import annotations

import signal

from tui.screens.menu import Menu

_MEANINGS = {
    signal.SIGTERM: "terminate; can be handled",
    signal.SIGHUP: "hang up; many daemons reload",
    signal.SIGINT: "interrupt, as ctrl+c does",
    signal.SIGQUIT: "quit with a core dump",
    signal.SIGKILL: "kill at once; cannot be caught",
    signal.SIGSTOP: "stop; cannot be caught",
    signal.SIGCONT: "continue if stopped",
    signal.SIGUSR1: "meaning defined by the program",
    signal.SIGUSR2: "meaning defined by the program",
}
WORDS = {number.name: f"{number:>2} {number.name:<8} {meaning}" for number, meaning in _MEANINGS.items()}


class SignalMenu(Menu):
    """Returns the name of a signal, None if closed. `to_whom` is safe to show."""

    def __init__(self, to_whom: str) -> None:
        super().__init__(f"signal to {to_whom}", WORDS, signal.SIGTERM.name)
