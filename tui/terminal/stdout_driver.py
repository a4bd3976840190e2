"""Textual's driver, drawing on stdout: stderr is for messages, which `2>file` may redirect."""

from __future__ import annotations

import sys
from typing import Any

from textual.drivers.linux_driver import LinuxDriver


class StdoutDriver(LinuxDriver):
    """A LinuxDriver that writes to stdout. It reads keys from stdin as usual."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._file = sys.__stdout__
