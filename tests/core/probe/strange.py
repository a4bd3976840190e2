"""Little processes that are strange in one respect, written in a line of Python behind PRELUDE."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.resolve.engine import Engine
from tests.world import settle

PRELUDE = r"""
import ctypes, fcntl, os, pty, resource, struct, sys, termios
libc = ctypes.CDLL(None, use_errno=True)
def call(name, *arguments):
    if getattr(libc, name)(*arguments) < 0:
        print("cannot:", name, os.strerror(ctypes.get_errno()), flush=True)
        os._exit(77)
def capabilities(effective, permitted):
    low, high = 0xFFFFFFFF, 32
    header, data = struct.pack("=Ii", 0x20080522, 0), struct.pack(
        "=6I", effective & low, permitted & low, 0, effective >> high, permitted >> high, 0)
    call("capset", header, data)
def argv_area():
    start, end = map(int, open("/proc/self/stat", "rb").read().rpartition(b")")[2].split()[45:47])
    return start, end - start
def stay():
    os.write(1, b"ready\n")
    while True:
        os.read(0, 1) or os._exit(0)
def execute(*argv, path=[*sys.argv, "/bin/sleep"][1]):
    os.write(1, b"ready\n")
    os.execv(path, list(argv) or ["sleep", "600"])
def fork():
    pid = os.fork()
    if pid:
        os.waitpid(pid, 0)
        os._exit(0)
"""


@contextlib.contextmanager
def running(engine: Engine, arguments: list[str], executes: bool) -> Iterator[int]:
    """Run until it says ready; yield the pid of what it has become or forked, once that is asleep."""
    child = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
    assert child.stdout is not None
    try:
        assert select.select([child.stdout], [], [], 30)[0]
        said = os.read(child.stdout.fileno(), 4096)
        if said != b"ready\n":
            pytest.skip(said.decode() or f"ended with {child.wait()}")
        pid = forked(child.pid) or child.pid
        deadline = time.monotonic() + 30
        while not is_done(pid, executes):  # ready was said before the exec
            assert time.monotonic() < deadline
            time.sleep(0.01)
        settle(engine)
        yield pid
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        child.stdout.close()
        assert child.stdin is not None
        child.stdin.close()


def forked(pid: int) -> int:
    """The child of a process, 0 without one. Asked from outside: inside it may have another number."""
    found = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False
    )
    return int(found.stdout.split()[0]) if found.stdout.split() else 0


def is_done(pid: int, executes: bool) -> bool:
    """True when the exec, if there is one, is over, and the process waits for nothing but its end."""
    if executes and os.path.samefile(f"/proc/{pid}/exe", sys.executable):
        return False
    return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] == b"S"
