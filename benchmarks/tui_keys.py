"""From a key to the first byte on the terminal, at 10,000 processes and 200 forks/s, beside a bare list.

Run: `.venv/bin/python benchmarks/tui_keys.py [PROCESSES]`. Each program runs in a pseudo-terminal of
120x50; 200 times a key is written and the time to the first byte that comes back is taken. The bare list
is a Textual ScrollView of as many lines of plain text. Figures are milliseconds on this machine; CPU is the
program's own in percent of a core, watched for 10 s without a key.
"""

# ruff: noqa: PLC0415  # each of the two programs imports what it needs and no more

from __future__ import annotations

import fcntl
import os
import pty
import select
import statistics
import struct
import subprocess
import sys
import termios
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests/tui")]

FORKS_PER_SECOND = 200
TIMES = 200
KEYS = {"down, up": (b"\x1b[B", b"\x1b[A"), "pagedown, pageup": (b"\x1b[6~", b"\x1b[5~")}
"""Pressed in turns, so that no list comes to its end."""


def serve_tree(count: int) -> None:
    """The real app on the real tree, in the rhythm of the real session: frames at most 10 times a second."""
    from fixture_engine import SECOND, FixtureEngine, large_host, process

    from core.view import ViewRequest
    from tui.app import show
    from tui.settings import Settings

    class Threaded(FixtureEngine):
        """Owns its tree in one thread, as the session does."""

        _wake = threading.Event()
        _asked = True

        def start(self) -> None:
            self.running = True
            threading.Thread(target=self._collect, daemon=True).start()

        def request(self, view: ViewRequest) -> None:
            self._request = view
            self._asked = True
            self._wake.set()

        def _collect(self) -> None:
            pid, next_frame, next_fork = 1_000_000, 0.0, time.monotonic()
            while self.running:
                now = time.monotonic()
                while next_fork <= now:
                    pid += 1
                    next_fork += 1 / FORKS_PER_SECOND
                    self._starts[pid] = 38 * 86_400 * SECOND + pid * 1000
                    self._put(process(pid, pid % 98 + 2, "/bin/true", age=SECOND + pid))
                if self._asked or now >= next_frame:
                    self._asked = False
                    next_frame = now + 0.1
                    self.publish()
                self._wake.wait(0.02)
                self._wake.clear()

    sys.exit(show(Threaded(large_host(count)), Settings()))


def serve_bare(count: int) -> None:
    """As little as a scrolling list of lines can be in Textual."""
    from rich.segment import Segment
    from rich.style import Style
    from textual.app import App, ComposeResult
    from textual.geometry import Size
    from textual.scroll_view import ScrollView
    from textual.strip import Strip

    class Lines(ScrollView, can_focus=True):
        def on_mount(self) -> None:
            self.virtual_size = Size(110, count)

        def render_line(self, y: int) -> Strip:
            line = f"{y + self.scroll_offset.y:>8} /usr/bin/worker --config /etc/worker.toml".ljust(
                self.size.width
            )
            return Strip([Segment(line, Style(bgcolor="black"))], self.size.width)

    class Bare(App[None]):
        def compose(self) -> ComposeResult:
            yield Lines()

        def on_mount(self) -> None:
            self.animation_level = "none"

    Bare().run()


class Terminal:
    """A program in a pseudo-terminal of 120x50."""

    def __init__(self, *command: str) -> None:
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 120, 0, 0))
        self.process = subprocess.Popen(
            [sys.executable, *command],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor"},
        )
        os.close(slave)

    def read(self, seconds: float) -> int:
        """Return how many bytes come within this time."""
        got = 0
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if select.select([self.master], [], [], left)[0]:
                got += len(os.read(self.master, 65536))
        return got

    def latency(self, key: bytes) -> float:
        """Return the milliseconds from a key to the first byte that answers it."""
        while select.select([self.master], [], [], 0.03)[0]:
            os.read(self.master, 65536)
        begin = time.perf_counter()
        os.write(self.master, key)
        select.select([self.master], [], [], 5)
        return (time.perf_counter() - begin) * 1000

    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.master)


def measure(what: str, count: int) -> None:
    terminal = Terminal(__file__, str(count), what)
    try:
        terminal.read(6)
        watch_and_press(what, terminal)
    finally:
        terminal.close()


def watch_and_press(what: str, terminal: Terminal) -> None:
    """Print what watching costs, and how soon keys are answered."""
    before = terminal.cpu_seconds()
    written = terminal.read(10)
    cpu = (terminal.cpu_seconds() - before) * 10
    print(f"{what:<8} watching: {cpu:5.1f} % CPU, {written / 10:8.0f} bytes/s")
    for name, keys in KEYS.items():
        took = sorted(terminal.latency(keys[time_ % 2]) for time_ in range(TIMES))
        p50, p95 = statistics.median(took), took[int(TIMES * 0.95)]
        print(f"{what:<8} {name:<17} p50 {p50:6.1f}   p95 {p95:6.1f}   max {took[-1]:6.1f}")


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    if len(sys.argv) > 2:
        {"tree": serve_tree, "bare": serve_bare}[sys.argv[2]](count)
        return
    print(f"{count} processes, {FORKS_PER_SECOND} forks/s, 120x50; ms from a key to the first byte")
    for what in ("bare", "tree"):
        measure(what, count)


if __name__ == "__main__":
    main()
