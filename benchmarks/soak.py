"""Memory growth of a long session: `soak.py [MINUTES]` (30).

Runs the screens on this host in a pseudo-terminal, with the probe if possible, while about 200 processes a
second start and end and keys are pressed. The session's processes are measured from outside.

Prints resident memory at regular intervals, its growth after minute 3 and its slope after the first fifth,
the CPU time, and the bytes written. The history that `Z [` goes back to grows for ten minutes, with the
forks.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from pathlib import Path

import psutil

from benchmarks.lib.load import load
from benchmarks.lib.terminal import OURS, Terminal

FORKS = 200
KEYS = (
    b"j",
    b"\x1b[6~",
    b"t",
    b"\r",
    b"k",
    b"\r",
    b"5",
    b"1",
    b"*",
    b"*",
    b"P",
    b"P",
    b"/x\r",
    b"\x1b",
    b"G",
    b"g",
)


def soak(seconds: float, samples: int = 30) -> list[tuple[float, int]]:
    """Run a session for `seconds`; return (seconds, resident bytes) samples, printing each."""
    with load(0, FORKS), Terminal(*OURS, lines=34) as terminal:
        watched = psutil.Process(terminal.process.pid)
        began = time.monotonic()
        forks, written, pressed = _forks(), 0, 0
        taken: list[tuple[float, int]] = []
        while (now := time.monotonic() - began) < seconds:
            written += len(terminal.read(0.2))
            if now > 2 and now > pressed * 0.5:
                os.write(terminal.master, KEYS[pressed % len(KEYS)])
                pressed += 1
            if now > (len(taken) + 1) * seconds / (samples + 1):
                taken.append((now, watched.memory_info().rss))
                print(f"{now:7.0f} s  rss {taken[-1][1] / 2**20:7.1f} MB", flush=True)
        cpu = terminal.cpu_seconds()
        print(f"forks/s {(_forks() - forks) / seconds:.0f}  keys {pressed}  CPU {100 * cpu / seconds:.1f} %"
              f"  {written / seconds:.0f} bytes/s to the terminal")  # fmt: skip
        terminal.process.terminate()
        while terminal.process.poll() is None:
            with contextlib.suppress(OSError):  # it has closed its end
                terminal.read(0.1)
    return taken


def slope(taken: list[tuple[float, int]]) -> float:
    """Return bytes per second by least squares, without the first fifth of the samples."""
    rest = taken[len(taken) // 5 :]
    mean_t = sum(t for t, _ in rest) / len(rest)
    mean_b = sum(b for _, b in rest) / len(rest)
    below = sum((t - mean_t) ** 2 for t, _ in rest)
    return sum((t - mean_t) * (b - mean_b) for t, b in rest) / below


def grown(taken: list[tuple[float, int]], after: float) -> int:
    """Return the growth in bytes from the first sample at or after `after` seconds to the last one."""
    late = [rss for seconds, rss in taken if seconds >= after]
    return late[-1] - late[0] if late else 0


def _forks() -> int:
    lines = Path("/proc/stat").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("processes "))


if __name__ == "__main__":
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 30.0
    samples = soak(minutes * 60)
    print(f"growth after minute 3: {grown(samples, 180) / 2**20:+.1f} MB")
    print(f"slope after the first fifth: {slope(samples) * 3600 / 2**20:+.1f} MB an hour")
