"""The load of a benchmark: sleeping processes and a storm of forks, on this host."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
CROWD = ROOT / "benchmarks/lib/crowd.c"
FORKS = ROOT / "tests/scenarios/forks.c"


@contextmanager
def load(sleepers: int, forks_per_second: int = 0) -> Iterator[None]:
    """Run `sleepers` additional processes and start /bin/true `forks_per_second` times a second."""
    with tempfile.TemporaryDirectory() as folder:
        running = []
        try:
            for source, number in ((CROWD, sleepers), (FORKS, forks_per_second)):
                if number:
                    running.append(started(source, number, Path(folder)))
            yield
        finally:
            for process in running:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def started(source: Path, number: int, folder: Path) -> subprocess.Popen[bytes]:
    """Compile a program and start it in its own process group; return when it reports that it is ready."""
    program = compiled(source, folder)
    process = subprocess.Popen([program, str(number)], stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout is not None
    process.stdout.readline()
    return process


def compiled(source: Path, folder: Path) -> Path:
    """Compile a C file into `folder` and return the program."""
    program = folder / source.stem
    subprocess.run(["cc", "-O1", "-o", program, source], check=True)
    return program


def alive() -> int:
    """Return the number of processes on this host."""
    return sum(name.isdecimal() for name in os.listdir("/proc"))
