"""`ebpf-tui serve`, running for a test."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.places import ROOT

CHECKOUT_ENV = {**os.environ, "PYTHONPATH": str(ROOT)}
"""The server and its sessions run what is here, not what is installed."""

DIRECTORY = ROOT / "docs"
"""Where the server is started: a directory from which nothing can be imported."""


class Served:
    """`ebpf-tui serve`, running. `sessions` are the processes of its tabs."""

    def __init__(self, *options: str, descriptors: int = 0) -> None:
        """`descriptors`: as many may the server have open; 0: as this process."""
        limited = ["prlimit", f"--nofile={descriptors}"] if descriptors else []
        self.process = subprocess.Popen(
            [*limited, sys.executable, "-P", "-m", "tui.cli.main", *options, "serve", "--json"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            cwd=DIRECTORY, env=CHECKOUT_ENV,
        )  # fmt: skip
        assert self.process.stdout is not None
        self.told: dict[str, Any] = json.loads(self.process.stdout.readline())
        self.url: str = self.told["url"]
        self.root = self.url.partition("?")[0]

    def sessions(self) -> list[int]:
        return [int(pid) for pid in self._children().split()]

    def _children(self) -> str:
        pid = self.process.pid
        tasks = Path(f"/proc/{pid}/task").iterdir()
        return " ".join((task / "children").read_text() for task in tasks)

    def end(self, number: signal.Signals) -> tuple[int, str]:
        """Send a signal; return the exit code and what was narrated."""
        self.process.send_signal(number)
        _, said = self.process.communicate(timeout=30)
        return self.process.returncode, said
