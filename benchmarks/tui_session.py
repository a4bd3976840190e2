"""The real session on this host: first paint, the tree, what watching costs, and how soon keys are answered.

Run: `.venv/bin/python benchmarks/tui_session.py [PROCESSES]`. That many processes are started beside what
runs already. First paint stands beside that of a Textual app with one label. Milliseconds; the median of 5.
"""

from __future__ import annotations

import os
import select
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

from tui_keys import ROOT, Terminal, watch_and_press

TIMES = 5
BARE = """
from textual.app import App
from textual.widgets import Label
class Bare(App):
    def compose(self):
        yield Label("[1 Processes]", markup=False)
Bare().run()
"""
PAINTED = b"1 Processes"
A_ROW = "‹snapshot".encode()
"""In the SOURCE column of what the task iterator found."""


def until(terminal: Terminal, wanted: list[bytes], seconds: float = 30) -> list[float]:
    """Return the milliseconds until each text was written."""
    begin = time.perf_counter()
    seen, at = b"", [0.0] * len(wanted)
    while not all(at):
        if not select.select([terminal.master], [], [], seconds)[0]:
            raise SystemExit(f"never written: {wanted}; are we root, with a probe?")
        seen += os.read(terminal.master, 65536)
        now = (time.perf_counter() - begin) * 1000
        at = [was or (now if text in seen else 0.0) for was, text in zip(at, wanted, strict=True)]
    return at


def opening(*command: str, wanted: list[bytes]) -> list[float]:
    """Return the median time of each text over some starts."""
    runs = []
    for _ in range(TIMES):
        terminal = Terminal(*command)
        try:
            runs.append(until(terminal, wanted))
        finally:
            terminal.close()
    return [statistics.median(run[index] for run in runs) for index in range(len(wanted))]


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    os.chdir(ROOT)
    loop = f"for i in $(seq {count}); do sleep 600 & done; wait"
    crowd = subprocess.Popen(["sh", "-c", loop], start_new_session=True)
    try:
        time.sleep(2 + count / 500)
        alive = sum(name.name.isdecimal() for name in Path("/proc").iterdir())
        print(f"{alive} processes, load {os.getloadavg()[0]:.1f}; median of {TIMES}; ms")
        (bare,) = opening("-c", BARE, wanted=[PAINTED])
        print(f"bare     first paint {bare:7.0f}")
        paint, tree = opening("-m", "tui.cli", wanted=[PAINTED, A_ROW])
        print(f"session  first paint {paint:7.0f}   {paint / bare:.2f}x of bare;   tree {tree:7.0f}")
        terminal = Terminal("-m", "tui.cli")
        try:
            until(terminal, [A_ROW])
            terminal.read(5)
            watch_and_press("session", terminal)
        finally:
            terminal.close()
    finally:
        os.killpg(crowd.pid, signal.SIGKILL)
        crowd.wait()


if __name__ == "__main__":
    main()
