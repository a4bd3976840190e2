"""The signal menu: which signal, and to whom it will go."""

from __future__ import annotations

import signal

from tui.screens.menu import Menu

_MEANINGS = {
    signal.SIGTERM: "please end",
    signal.SIGHUP: "hang up; many read their files anew",
    signal.SIGINT: "interrupt, as ctrl+c does",
    signal.SIGQUIT: "end with a core dump",
    signal.SIGKILL: "end at once; cannot be refused",
    signal.SIGSTOP: "stop; cannot be refused",
    signal.SIGCONT: "go on",
    signal.SIGUSR1: "what the program makes of it",
    signal.SIGUSR2: "what the program makes of it",
}
WORDS = {number.name: f"{number:>2} {number.name:<8} {meaning}" for number, meaning in _MEANINGS.items()}


class SignalMenu(Menu):
    """Returns the name of a signal, None when it was closed. `to_whom` is safe."""

    def __init__(self, to_whom: str) -> None:
        super().__init__(f"signal to {to_whom}", WORDS, signal.SIGTERM.name)
