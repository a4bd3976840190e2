"""Textual's driver, drawing on stdout: stderr is narration, which `2>file` may keep."""

from __future__ import annotations

import sys
from typing import Any

from textual.drivers.linux_driver import LinuxDriver


class StdoutDriver(LinuxDriver):
    """A LinuxDriver that writes to stdout. Keys come from stdin, as ever."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._file = sys.__stdout__
