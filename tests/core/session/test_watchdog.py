"""What a thread waits for is named: the file and its mount, and whose work it is."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

from core.model.view import Frame
from core.session.session import Session
from core.session.watchdog import culprit
from tests.core.sources.misbehaving import fuse_program
from tests.places import ROOT

TIMEOUT_S = 60

ASKS = """
import os, sys, threading, time
from core.session.watchdog import culprit
thread = threading.Thread(target=os.stat, args=(sys.argv[1],), daemon=True)
thread.start()
while "prog" not in (words := culprit(thread)):
    time.sleep(0.01)
print(words, flush=True)
thread.join()
"""


def test_a_file_that_waits_for_its_server_is_named_with_its_mount(tmp_path: Path) -> None:
    with fuse_program(tmp_path) as program:
        program.now("silent")
        command = ["nsenter", f"--mount=/proc/{program.pid}/ns/mnt", f"--wdns={ROOT}"]
        worker = subprocess.Popen(
            [*command, sys.executable, "-c", ASKS, str(program.path)], stdout=subprocess.PIPE, text=True
        )
        assert worker.stdout is not None
        words = worker.stdout.readline()
        program.now("good")
        worker.communicate(timeout=TIMEOUT_S)
    assert words == f"{program.path}, on the file system of {tmp_path} (fuse)\n"


def test_a_pipe_is_named_by_its_path(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    thread = threading.Thread(target=fifo.read_bytes)
    thread.start()
    while str(fifo) not in culprit(thread):
        pass
    fifo.write_bytes(b"")
    thread.join()


def test_a_session_says_what_its_start_waits_for(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    messages: list[str] = []
    seen = threading.Event()

    def look(frame: Frame) -> None:
        messages.append(frame.header.message)
        seen.set()

    def start() -> None:
        raise RuntimeError(fifo.read_bytes())

    failed: list[BaseException] = []
    session = Session(start)  # type: ignore[arg-type]
    session.subscribe(look, failed.append)
    session.start()
    assert seen.wait(TIMEOUT_S)
    fifo.write_bytes(b"")
    session.stop()
    assert messages[0].startswith("waiting ")
    assert str(fifo) in messages[0]
