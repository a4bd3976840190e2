"""Real containers in a session: the delay until a new name or a pause is shown, and their cost at rest.

Run as root: `.venv/bin/python benchmarks/containers_live.py [CONTAINERS] [--no-probe]` (default: 500).
Each is a runc container with four busybox processes; runc's are the hardest case, because their path does not
identify them as containers. Times start at the call of `runc run`; its own duration is printed next to them.
The CPU time is that of this process, which only runs the session. Everything is removed at the end and on a
signal.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from core.model.view import Frame, ViewRequest
from core.session.session import Session, open_session
from core.system.host import LOCAL

PREFIX = f"ebpf-tui-bench-{os.getpid()}"
FOUR_PROCESSES = "sleep 3600 & sleep 3600 & sleep 3600; true"
NEW_ONES = 12
REST_S = 10.0


class Containers:
    """runc containers that share one bundle."""

    def __init__(self, folder: Path) -> None:
        self._bundle = folder
        self._names: list[str] = []
        programs = folder / "rootfs" / "bin"
        programs.mkdir(parents=True)
        shutil.copy(shutil.which("busybox") or "busybox", programs / "busybox")
        for program in ("sh", "sleep"):
            (programs / program).symlink_to("busybox")
        subprocess.run(["runc", "spec", "-b", folder], check=True)
        config = json.loads((folder / "config.json").read_text())
        config["process"] |= {"terminal": False, "args": ["sh", "-c", FOUR_PROCESSES]}
        (folder / "config.json").write_text(json.dumps(config))

    def start(self, name: str) -> None:
        self._names.append(name)
        nothing = subprocess.DEVNULL
        command = ["runc", "run", "-d", "-b", str(self._bundle), name]
        subprocess.run(command, check=True, stdin=nothing, stdout=nothing, stderr=nothing)

    def remove(self) -> None:
        """Remove all containers; report those that cannot be removed."""

        def delete(name: str) -> None:
            done = subprocess.run(["runc", "delete", "-f", name], capture_output=True, text=True, check=False)
            if done.returncode and "does not exist" not in done.stderr:
                print(f"{name} was not removed: {done.stderr.strip()}", file=sys.stderr)

        with ThreadPoolExecutor(2) as pool:
            list(pool.map(delete, self._names))


@contextmanager
def containers() -> Iterator[Containers]:
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory(prefix=PREFIX) as folder:
        made = Containers(Path(folder))
        try:
            yield made
        finally:
            made.remove()


class Screen:
    """Stands in for a screen: holds the latest frame and wakes the thread that waits for one."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.frames = 0
        self._frame: Frame | None = None
        self._news = threading.Condition()
        session.subscribe(self._note, self._died)

    def _note(self, frame: Frame) -> None:
        with self._news:
            self._frame = frame
            self.frames += 1
            self._news.notify_all()

    def _died(self, error: BaseException) -> None:
        print(f"the session ended: {error}", file=sys.stderr)
        os.kill(os.getpid(), signal.SIGTERM)

    def wait(self, wanted: Callable[[Frame], bool], seconds: float = 60) -> Frame:
        with self._news:
            if not self._news.wait_for(lambda: self._frame and wanted(self._frame), seconds):
                raise SystemExit(f"nothing of that kind was shown within {seconds} s")
            assert self._frame is not None
            return self._frame


def at_rest(screen: Screen, what: str) -> None:
    time.sleep(3)  # what the start has left behind
    frames, cpu, clock = screen.frames, time.process_time(), time.monotonic()
    time.sleep(REST_S)
    share = (time.process_time() - cpu) / (time.monotonic() - clock)
    print(f"{what:<44} {share:6.1%} of one core, {screen.frames - frames} frames in {REST_S:.0f} s")


def new_names(screen: Screen, containers: Containers) -> None:
    shown, runs = [], []
    screen.session.request(ViewRequest(filter=f"ctr:{PREFIX}-new", height=500))
    for number in range(NEW_ONES):
        name = f"{PREFIX}-new{number}"
        before = time.monotonic()
        containers.start(name)
        runs.append(time.monotonic() - before)
        screen.wait(lambda frame: any(row.text == name for row in frame.window.rows))  # noqa: B023
        shown.append(time.monotonic() - before)
        time.sleep(0.3)
    for what, times in (
        ("a new container's name is shown after", shown),
        ("  of which `runc run` takes", runs),
    ):
        print(f"{what:<44} p50 {statistics.median(times):5.2f} s  max {max(times):5.2f} s")


def pauses(screen: Screen) -> None:
    """Pause and resume one of the new containers; times start at the end of `runc pause`."""
    name = f"{PREFIX}-new0"
    shown = []
    for number in range(NEW_ONES):
        paused = number % 2 == 0
        subprocess.run(["runc", "pause" if paused else "resume", name], check=True)
        before = time.monotonic()
        screen.wait(
            lambda frame: any(
                row.text == name and row.detail.startswith("paused") == paused  # noqa: B023
                for row in frame.window.rows
            )
        )
        shown.append(time.monotonic() - before)
    what = "a paused or resumed container shows after"
    print(f"{what:<44} p50 {statistics.median(shown):5.2f} s  max {max(shown):5.2f} s")


def main() -> None:
    arguments = [argument for argument in sys.argv[1:] if argument != "--no-probe"]
    probe = len(arguments) == len(sys.argv) - 1
    count = int(arguments[0]) if arguments else 500
    with containers() as made:
        before = time.monotonic()
        for number in range(count):
            made.start(f"{PREFIX}-{number}")
        print(f"{count} real containers of runc x 4 processes, started in {time.monotonic() - before:.0f} s")
        session = open_session(LOCAL, probe=probe)
        screen = Screen(session)
        before = time.monotonic()
        session.start()
        try:
            header = screen.wait(lambda frame: frame.header.containers >= count).header
            took = time.monotonic() - before
            print(f"{'all of them in the tree after':<44} {took:5.2f} s  ({header.tiers.step})")
            at_rest(screen, "CPU when nothing changes")
            new_names(screen, made)
            pauses(screen)
            screen.session.request(ViewRequest())
            at_rest(screen, "CPU when nothing changes, afterwards")
        finally:
            session.stop()


if __name__ == "__main__":
    main()
