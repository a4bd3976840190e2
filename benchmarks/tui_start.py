"""Time to first paint and to the complete tree, compared with a Textual app with one label.

    python benchmarks/tui_start.py [PROCESSES]

Run as root, for the probe. Starts PROCESSES additional processes on this host. Milliseconds: the median of 5
starts of each program, alternating, after one start that compiles the modules.
"""

from __future__ import annotations

import os
import statistics
import sys

from benchmarks.lib.load import ROOT, alive, load
from benchmarks.lib.terminal import OURS, Terminal
from core.system.interpreter import python

TIMES = 5
BARE = tuple(python(str(ROOT / "benchmarks/lib/bare.py"), "label"))
PAINTED = b"1 Processes"
A_ROW = "‹snapshot".encode()
"""In the SOURCE column of processes that the task iterator found."""


def start(command: tuple[str, ...], *wanted: bytes) -> list[float]:
    with Terminal(*command) as terminal:
        return terminal.until(wanted)


def main() -> None:
    processes = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    os.chdir(ROOT)
    with load(processes):
        print(f"{alive()} processes; median of {TIMES}; ms")
        start(BARE, PAINTED)
        start(OURS, PAINTED)
        runs = [(*start(BARE, PAINTED), *start(OURS, PAINTED, A_ROW)) for _ in range(TIMES)]
        bare, paint, tree = (statistics.median(column) for column in zip(*runs, strict=True))
        print(f"bare      first paint {bare:6.0f}")
        print(f"ebpf-tui  first paint {paint:6.0f}   {paint / bare:.2f}x of bare   the tree {tree:6.0f}")


if __name__ == "__main__":
    main()
