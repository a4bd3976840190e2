"""Time from a key to the first byte on the terminal, compared with a bare list, htop and btop.

    python benchmarks/tui_keys.py [PROCESSES [FORKS_PER_SECOND [PROGRAM…]]]

Run as root, for the probe; `apt-get install htop btop` for the peers. Starts PROCESSES additional processes
on this host, and /bin/true FORKS_PER_SECOND times a second. Each program runs alone in a terminal of
120x50. Each key is pressed 120 times, alternating ten times forward and ten times back. Milliseconds.
"""

from __future__ import annotations

import os
import shutil
import sys

from benchmarks.lib.load import ROOT, alive, load
from benchmarks.lib.terminal import KEYS, OURS, Terminal, figures
from core.system.interpreter import python

TIMES = 120
PROGRAMS: dict[str, tuple[str, ...]] = {
    "bare list": tuple(python(str(ROOT / "benchmarks/lib/bare.py"), "lines")),
    "ebpf-tui": OURS,
    "htop": ("htop",),
    "htop -t": ("htop", "-t"),
    "btop": ("btop",),
}


def main() -> None:
    processes, forks = (*map(int, sys.argv[1:3]), *(10_000, 200)[len(sys.argv[1:3]) :])
    os.chdir(ROOT)
    only = sys.argv[3:] or list(PROGRAMS)
    with load(processes, forks):
        print(f"{alive()} processes, {forks} forks/s; ms from a key to the first byte after it")
        for program in only:
            command = PROGRAMS[program]
            if shutil.which(command[0]) is None:
                print(f"{program:<10} is not installed")
                continue
            with Terminal(*command) as terminal:
                terminal.read(8)
                for key in KEYS:
                    print(f"{program:<10} {key:<9} {figures(terminal.latencies(key, TIMES))}", flush=True)


if __name__ == "__main__":
    main()
