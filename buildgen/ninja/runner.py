"""BuildPlan -> a running ninja -> BuildEvents.

Iteration blocks only until the next event, and `cancel` may be called from any thread. However a run ends, it
leaves no process and no partial object.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import threading
import time
import tty
from collections.abc import Generator, Iterator

from buildgen.diagnostics import Diagnosis, diagnose
from buildgen.events import BuildEvent, Diagnosed, Done, EdgeFinished, Planned
from buildgen.ninja.output import NinjaOutput
from buildgen.ninja.workspace import entered, objects_to_make, prepared, remove_partial
from buildgen.owner import acting_for, environment, identity
from buildgen.plan.plan import BuildPlan
from core.system.deferred_signals import deferred_signals
from core.text.safe import safe_text

_SILENT = 0.25
"""Seconds of silence after which an ended edge is reported without waiting for the next line."""
_PATIENCE = 5.0
"""Seconds that a cancelled ninja has to stop its commands and to delete their partial outputs."""


def run_build(plan: BuildPlan, *, jobs: int | None = None, keep_going: bool = False) -> BuildRun:
    """Return a build that starts when iterated. `keep_going`: a failure does not stop the other edges."""
    return BuildRun(plan, jobs, keep_going)


class BuildRun:
    """One run of ninja: iterate over its events once, in one thread; cancel it from any thread."""

    def __init__(self, plan: BuildPlan, jobs: int | None, keep_going: bool) -> None:
        self.plan = plan
        self._jobs = jobs
        self._keep_going = keep_going
        self._owner = plan.trust.builder
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._cancelled_at: float | None = None

    def cancel(self) -> None:
        """Stop the build: end its commands and delete their partial outputs."""
        with self._lock:
            if self._cancelled_at is None:
                self._cancelled_at = time.monotonic()
                if self._process is not None:
                    self._process.terminate()

    def __iter__(self) -> Generator[BuildEvent, None, None]:
        begin = time.monotonic()
        output = NinjaOutput()
        built: set[str] = set()
        problem: Diagnosis | None = None
        try:
            if self.plan.held_back:
                raise PermissionError(errno.EPERM, self.plan.held_back)
            with prepared(self.plan) as out:
                if self.plan.ninja_text:
                    for event in self._ninja(output, out):
                        if isinstance(event, EdgeFinished) and event.ok:
                            built.add(event.output)
                        yield event
                        yield from self._diagnosed(event, output)
                else:
                    yield Planned(0)
        except (OSError, subprocess.TimeoutExpired) as error:
            problem = _no_build(self.plan, error)
            yield Planned(0)
        if problem is None and not built and not output.failed and b"error" in output.messages:
            problem = diagnose("build", output.messages)
        yield from (Diagnosed(t.diagnosis) for t in self.plan.targets if t.diagnosis)
        if problem:
            yield Diagnosed(problem)
        yield self._done(begin, built, output, problem)

    def _ninja(self, output: NinjaOutput, out: int) -> Iterator[BuildEvent]:
        """Run ninja and yield its events; it has ended afterwards, whatever happens."""
        reader, writer = _wide_terminal()
        try:
            with self._lock:
                if self._cancelled_at is not None:
                    yield Planned(0)
                    return
                with deferred_signals():
                    self._process = self._started(out, output.status, writer)
            os.close(writer)
            writer = -1
            while (data := self._read(reader)) is not None:
                yield from output.feed(data) if data else output.settle()
            yield from output.close()
            self._process.wait()
        finally:
            os.close(reader)
            if writer >= 0:
                os.close(writer)
            self._end()

    def _started(self, out: int, status: str, terminal: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self._command(),
            cwd=entered(out),
            umask=0o022,  # others must not be able to write to its outputs
            env=environment(self._owner, self.plan.project.root, NINJA_STATUS=status, TERM="xterm"),
            stdin=subprocess.DEVNULL,
            stdout=terminal,
            stderr=terminal,
            start_new_session=True,
            **identity(self._owner),
        )

    def _command(self) -> list[str]:
        command = [str(self.plan.ninja), "-f", self.plan.ninja_file.name]
        if self._jobs is not None:
            command += ["-j", str(self._jobs)]
        return [*command, "-k", "0"] if self._keep_going else command

    def _read(self, reader: int) -> bytes | None:
        """Return the next output, empty after a silence, None at the end."""
        if not select.select([reader], [], [], _SILENT)[0]:
            if self._cancelled_at is not None and time.monotonic() > self._cancelled_at + _PATIENCE:
                return None
            return b""
        try:
            return os.read(reader, 65536) or None
        except OSError:  # EIO: the last process closed the terminal
            return None

    def _end(self) -> None:
        """Make sure that this run leaves no process and no partial output."""
        process = self._process
        if process is None:
            return
        stopped = process.returncode is None
        if stopped:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_PATIENCE)
        if stopped or self._cancelled_at is not None:
            _kill_session(process.pid)
            process.wait()
        if stopped or process.returncode != 0:
            with acting_for(self._owner):
                for target in self.plan.targets:
                    remove_partial(target.output)

    def _diagnosed(self, event: BuildEvent, output: NinjaOutput) -> Iterator[BuildEvent]:
        if isinstance(event, EdgeFinished) and not event.ok and self._cancelled_at is None:
            arch = next((t.arch for t in self.plan.targets if _object(event.output) == t.label), None)
            yield Diagnosed(diagnose(event.output, output.failed[event.output], arch))

    def _done(self, begin: float, built: set[str], output: NinjaOutput, problem: Diagnosis | None) -> Done:
        cancelled = self._cancelled_at is not None
        labels = {target.label for target in self.plan.targets if target.diagnosis is None}
        blocked = len(self.plan.targets) - len(labels)
        objects = built & labels
        failed = set() if cancelled else {_object(name) for name in output.failed} & labels
        exit_code = self._process.returncode if self._process else 0
        ok = not (cancelled or blocked or failed or problem or exit_code)
        todo: set[str] = set() if ok or problem else objects_to_make(self.plan)
        fresh = labels - objects - failed - todo
        return Done(
            ok=ok,
            built=len(objects),
            failed=len(failed) + blocked,
            up_to_date=0 if problem else len(fresh),
            seconds=time.monotonic() - begin,
            cancelled=cancelled,
        )


def _no_build(plan: BuildPlan, error: OSError | subprocess.TimeoutExpired) -> Diagnosis:
    if plan.held_back:
        return Diagnosis("build", plan.held_back, "check what it would run, then confirm it if you trust it")
    if isinstance(error, subprocess.TimeoutExpired):
        return Diagnosis("build", f"{plan.ninja} does not respond", "install another ninja")
    where = safe_text(str(error.filename or plan.out))
    fix = "choose another directory with --out, or `out` in ebpf.toml"
    return Diagnosis("build", f"{where}: {error.strerror}", fix)


# --- processes -------------------------------------------------------------------------------------


def _wide_terminal() -> tuple[int, int]:
    """Return (our end, ninja's end) of a pseudo-terminal wide enough that ninja shortens no path."""
    reader, writer = pty.openpty()
    tty.setraw(writer)
    fcntl.ioctl(writer, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 65535, 0, 0))
    return reader, writer


def _kill_session(session: int) -> None:
    """Kill the rest of a session and wait for its end. ninja runs each command in its own process group."""
    patience = time.monotonic() + _PATIENCE
    while _kill_once(session) and time.monotonic() < patience:
        time.sleep(0.01)  # SIGKILL takes effect when the process is scheduled


def _kill_once(session: int) -> bool:
    """Kill every process of a session; return whether any was still running."""
    any_left = False
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
            if int(fields[3]) == session and fields[0] not in (b"Z", b"X"):
                os.kill(int(entry), signal.SIGKILL)
                any_left = True
        except (OSError, IndexError):
            continue
    return any_left


def _object(name: str) -> str:
    """Return the object that an edge's output is, or is compiled to."""
    return name.removesuffix(".bc") + ".o" if name.endswith(".bc") else name
