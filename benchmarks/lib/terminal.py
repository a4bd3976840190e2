"""A program in a pseudo-terminal: its output, its response time and its CPU time."""

from __future__ import annotations

import fcntl
import os
import pty
import random
import select
import statistics
import struct
import subprocess
import tempfile
import termios
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from core.system.interpreter import python_module

KEYS = {"down": (b"\x1b[B", b"\x1b[A"), "pagedown": (b"\x1b[6~", b"\x1b[5~")}
"""Each key with its opposite; pressed ten times each in turn, so that no list reaches its end."""

TICKS = os.sysconf("SC_CLK_TCK")


class Terminal:
    """A program with default settings in a terminal of `columns` x `lines`, killed at the end."""

    def __init__(self, *command: str, columns: int = 120, lines: int = 50) -> None:
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self._home = tempfile.TemporaryDirectory()
        home = dict.fromkeys(("HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME"), self._home.name)
        # As an installed program has them: modules that are compiled already.
        home["PYTHONPYCACHEPREFIX"] = f"{tempfile.gettempdir()}/ebpf-tui-benchmark-modules-{os.getuid()}"
        self.process = subprocess.Popen(
            command,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            env={
                **{name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
                **home,
                "TERM": "xterm-256color",
                "COLORTERM": "truecolor",
                "LANG": "C.UTF-8",
            },
        )
        os.close(slave)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.master)
        self._home.cleanup()

    def read(self, seconds: float) -> bytes:
        """Return the output of the next `seconds`."""
        got = b""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if select.select([self.master], [], [], left)[0]:
                got += os.read(self.master, 65536)
        return got

    def until(self, wanted: Sequence[bytes], seconds: float = 30) -> list[float]:
        """Return the milliseconds until each text was written. Exits if one never is."""
        begin = time.perf_counter()
        seen, at = b"", [0.0] * len(wanted)
        while not all(at):
            if not select.select([self.master], [], [], seconds)[0]:
                raise SystemExit(f"never written: {wanted}; are we root, with a probe?")
            seen += os.read(self.master, 65536)
            now = (time.perf_counter() - begin) * 1000
            at = [was or (now if text in seen else 0.0) for was, text in zip(at, wanted, strict=True)]
        return at

    def latency(self, key: bytes) -> float:
        """Return the milliseconds from a key to the first byte after it.

        The key comes at any moment, as a person's does, but never into the middle of a repaint: there
        the first byte would be no answer.
        """
        self.read(random.uniform(0, 0.15))
        while select.select([self.master], [], [], 0.015)[0]:
            os.read(self.master, 65536)
        begin = time.perf_counter()
        os.write(self.master, key)
        select.select([self.master], [], [], 10)
        return (time.perf_counter() - begin) * 1000

    def latencies(self, name: str, times: int) -> list[float]:
        """Press a key of KEYS `times` times; return the milliseconds of each, sorted."""
        random.seed(1)
        there, back = KEYS[name]
        return sorted(self.latency(there if time_ // 10 % 2 == 0 else back) for time_ in range(times))

    def cpu_seconds(self) -> float:
        """Return the CPU time of all its threads so far; in a pid namespace, of its first process."""
        pid = self.process.pid
        if self.process.args[0] == "unshare":  # type: ignore[index]  # a tuple, as __init__ gave it
            pid = int(Path(f"/proc/{pid}/task/{pid}/children").read_text())
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def watched(self, seconds: float) -> tuple[float, float]:
        """Watch without pressing a key; return CPU time in percent of a core, and bytes per second."""
        before = self.cpu_seconds()
        written = len(self.read(seconds))
        return (self.cpu_seconds() - before) * 100 / seconds, written / seconds


def figures(took: Sequence[float]) -> str:
    """Return p50, p95 and the maximum of sorted times."""
    p50, p95 = statistics.median(took), took[int(len(took) * 0.95)]
    return f"p50 {p50:6.1f}   p95 {p95:6.1f}   max {took[-1]:6.1f}"


OURS = tuple(python_module("tui.cli.main"))
