"""Finds the running sessions of the same user and asks them to reload the probe.

Each session leaves an empty file in a directory that only its user can enter; the file's name is the
session's identity, `PID-START`. The request is SIGUSR1, sent through a pidfd after the start time was
compared, and only to a process with a handler for it: the signal would end any other process.
"""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from core.model.entities import ProcessKey
from core.signals import Delivery, SignalResult, send_signal
from core.sources.procfs import Procfs, ProcfsError
from core.system.host import LOCAL

RELOAD = signal.SIGUSR1


def runtime_directory() -> Path:
    """Return the directory of this user's sessions; it is created when missing. Raises OSError.

    Root has one of its own, because sudo hides the XDG_RUNTIME_DIR of a login.
    """
    base = "/run" if os.geteuid() == 0 else os.environ.get("XDG_RUNTIME_DIR", "")
    if not base:
        raise FileNotFoundError("XDG_RUNTIME_DIR is not set")
    folder = Path(base) / "ebpf-tui"
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    about = folder.lstat()
    if not stat.S_ISDIR(about.st_mode) or about.st_uid != os.geteuid() or about.st_mode & 0o077:
        raise PermissionError(f"{folder} is not a private directory of this user")
    return folder


@contextlib.contextmanager
def announced(reload: Callable[[], None]) -> Iterator[None]:
    """Make this session known to `reload_running` within the context; `reload` is called on a request.

    Main thread only. `reload` runs in a signal handler, between two bytecodes of the main thread, so it
    should only set a flag. Without a runtime directory `reload_running` cannot find this session.
    """
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("signals are handled in the main thread")
    # Before the file exists: from then on the signal may come.
    before = signal.signal(RELOAD, lambda number, frame: reload())
    file: Path | None = None
    try:
        with contextlib.suppress(OSError, ProcfsError):
            start_ns = Procfs(LOCAL).stat(os.getpid()).start_ns
            file = runtime_directory() / f"{os.getpid()}-{start_ns}"
            file.touch(mode=0o600)
        yield
    finally:
        if file is not None:
            file.unlink(missing_ok=True)
        signal.signal(RELOAD, before)


def reload_running() -> list[SignalResult]:
    """Ask every running session of this user to reload the probe; return the result for each.

    Files of sessions that were killed are removed. Raises OSError without a runtime directory.
    """
    results = []
    for file in sorted(runtime_directory().iterdir()):
        key = _identity(file.name)
        if key is None:
            continue
        result = _ask(key)
        if result.delivery in (Delivery.GONE, Delivery.OTHER_PROCESS):
            file.unlink(missing_ok=True)
        else:
            results.append(result)
    return results


def _ask(key: ProcessKey) -> SignalResult:
    if (LOCAL.proc / str(key.tgid)).exists() and not _handles(key.tgid):
        why = f"{RELOAD.name} to {key.tgid}: not sent, the process has no handler for it"
        return SignalResult(key, RELOAD, Delivery.OTHER_PROCESS, why)
    return send_signal(LOCAL, key, RELOAD)


def _handles(pid: int) -> bool:
    """Return whether a process handles the signal (SigCgt in proc_pid_status(5))."""
    with contextlib.suppress(OSError, ValueError):
        for line in (LOCAL.proc / str(pid) / "status").read_text(errors="replace").splitlines():
            if line.startswith("SigCgt:"):
                return bool(int(line.split()[1], 16) >> (RELOAD - 1) & 1)
    return False


def _identity(name: str) -> ProcessKey | None:
    pid, _, start = name.partition("-")
    return ProcessKey(int(pid), int(start)) if pid.isdecimal() and start.isdecimal() else None
