"""Streams that are no terminal, and the end while a thread does not come back."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.places import ROOT
from tests.tui.pty_terminal import Terminal


def test_stderr_may_be_a_file(tmp_path: Path) -> None:
    """The screens are drawn on stdout; `2>file` keeps narration."""
    log = tmp_path / "log"
    terminal = Terminal(stderr=log)
    try:
        terminal.wait_for(b"nginx")
        terminal.quiet()
        terminal.write(b"q")
        assert terminal.ended() == 0
        assert terminal.is_restored()
        assert log.read_bytes() == b""
    finally:
        terminal.close()


def test_stdout_that_is_a_file_is_one_line_and_2(tmp_path: Path) -> None:
    out = tmp_path / "out"
    terminal = Terminal(stdout=out)
    try:
        assert terminal.ended() == 2
        assert b"ebpf-tui ps" in terminal.output
        assert b"\x1b" not in terminal.output
        assert out.read_bytes() == b""
    finally:
        terminal.close()


ENDS = """
import asyncio, os, sys, threading, time
from tui.terminal.leaving import leave, run_to_the_end
read, write = os.pipe()
async def work():
    asyncio.get_running_loop().run_in_executor(None, os.read, read, 1)
    await asyncio.sleep(0.1)
run_to_the_end(work())
print("restored")
leave(7)
"""


def test_a_thread_that_never_comes_back_does_not_keep_the_program() -> None:
    made = subprocess.run(
        [sys.executable, "-c", ENDS], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert (made.returncode, made.stdout) == (7, "restored\n"), made.stderr
