"""Programs of a file system whose server misbehaves, as tests start and end them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.places import ROOT


class FuseProgram:
    """A running fuse_program.py; `pids` are those of its programs, `path` is theirs."""

    def __init__(self, folder: Path, uid: int = 0, count: int = 1) -> None:
        if os.geteuid() != 0 or not os.access("/dev/fuse", os.W_OK):
            pytest.skip("needs root and /dev/fuse")
        script = str(ROOT / "tests/core/sources/fuse_program.py")
        self.path = folder / "prog"
        self._owner = subprocess.Popen(
            ["unshare", "--mount", sys.executable, script, str(folder), str(uid), str(count)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._owner.stdout is not None
        line = self._owner.stdout.readline()
        if not line:
            pytest.skip("no file system in user space can be mounted here")
        self.pids = [int(word) for word in line.split()]
        self.pid = self.pids[0]

    def now(self, mood: str) -> None:
        """Have the server be silent, `errno N`, good or dead from here on."""
        assert self._owner.stdin is not None
        assert self._owner.stdout is not None
        self._owner.stdin.write(f"{mood}\n")
        self._owner.stdin.flush()
        assert self._owner.stdout.readline() == "ok\n"

    def end(self) -> None:
        self._owner.communicate(timeout=60)


@contextmanager
def fuse_program(folder: Path, uid: int = 0, count: int = 1) -> Iterator[FuseProgram]:
    program = FuseProgram(folder, uid, count)
    try:
        yield program
    finally:
        program.end()
