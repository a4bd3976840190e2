"""Cost of watching for 20 s, compared with btop, htop and top: CPU time and bytes written.

    python benchmarks/tui_watch.py [PROCESSES [FORKS_PER_SECOND]]

Run as root, for the probe; `apt-get install htop btop` for the peers. Each program runs alone in a terminal
of 120x50 with default settings, and is measured after 8 s of startup: on the host as it is, with PROCESSES
additional processes and forks, and with 100 idle processes in their own pid namespace. In the namespace
each program runs for 70 s first, because the displayed ages of younger processes change with every frame;
ours is measured once more on its third screen, where nothing changes.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.lib.load import CROWD, ROOT, alive, compiled, load
from benchmarks.lib.terminal import OURS, Terminal

SECONDS = 20
PROGRAMS = {"ebpf-tui": OURS, "btop": ("btop",), "htop -t": ("htop", "-t"), "top": ("top",)}
Command = tuple[str, ...]


def watch(name: str, command: Command, start: float = 8, keys: bytes = b"") -> None:
    with Terminal(*command) as terminal:
        terminal.read(start)
        if keys:
            os.write(terminal.master, keys)
            terminal.read(4)
        cpu, written = terminal.watched(SECONDS)
        print(f"{name:<20} {cpu:5.1f} % of a core, {written:8.0f} bytes/s", flush=True)


def watch_all(around: Callable[[Command], Command] = lambda command: command, start: float = 8) -> None:
    for name, command in PROGRAMS.items():
        if shutil.which(command[0]) is None:
            print(f"{name:<20} is not installed")
        else:
            watch(name, around(command), start)


def main() -> None:
    processes, forks = (*map(int, sys.argv[1:3]), *(10_000, 200)[len(sys.argv[1:3]) :])
    os.chdir(ROOT)
    for sleepers, storm in ((0, 0), (processes, forks)):
        with load(sleepers, storm):
            print(f"{alive()} processes, {storm} forks/s; watched for {SECONDS} s")
            watch_all()
    with tempfile.TemporaryDirectory() as folder:
        crowd = compiled(CROWD, Path(folder))

        def alone(command: Command) -> Command:
            run = f'{crowd} 100 >/dev/null & exec "$@"'
            space = ("unshare", "--pid", "--mount-proc", "--fork", "--kill-child")
            return (*space, "sh", "-c", run, "sh", *command)

        print(f"100 processes that sleep, in a pid namespace; watched for {SECONDS} s")
        watch_all(alone, 70)
        watch("ebpf-tui, screen 3", alone(OURS), 70, b"3")


if __name__ == "__main__":
    main()
