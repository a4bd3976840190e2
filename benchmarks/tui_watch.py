"""What 20 s of watching cost, beside btop, htop and top: CPU time of the program, bytes written.

    python benchmarks/tui_watch.py [PROCESSES [FORKS_PER_SECOND]]

As root, for the probe. Each program runs alone in a pseudo-terminal of 120x50, as it is without settings, after 8 s
in which it may start: on the host as it is, with PROCESSES more and forks, and with 100 in a pid namespace
of their own, where nothing happens.
"""

from __future__ import annotations

import os
import shutil
import sys

from lib.load import CROWD, ROOT, alive, load
from lib.terminal import OURS, Terminal

SECONDS = 20
PROGRAMS = {"ebpf-tui": OURS, "btop": ("btop",), "htop -t": ("htop", "-t"), "top": ("top",)}


def watch(name: str, command: tuple[str, ...]) -> None:
    if shutil.which(PROGRAMS[name][0]) is None:
        print(f"{name:<10} is not installed")
        return
    with Terminal(*command) as terminal:
        terminal.read(8)
        cpu, written = terminal.watched(SECONDS)
        print(f"{name:<10} {cpu:5.1f} % of a core, {written:8.0f} bytes/s", flush=True)


def main() -> None:
    processes, forks = (*map(int, sys.argv[1:3]), *(10_000, 200)[len(sys.argv[1:3]) :])
    os.chdir(ROOT)
    for sleepers, storm in ((0, 0), (processes, forks)):
        with load(sleepers, storm):
            print(f"{alive()} processes, {storm} forks/s; watched for {SECONDS} s")
            for name, command in PROGRAMS.items():
                watch(name, command)


if __name__ == "__main__":
    main()
