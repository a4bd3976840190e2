"""The procfs tier, compared with ps and with /proc read by hand."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from core.model.entities import TICK_NS
from core.sources.procfs import Procfs, ProcfsError, _tty_name
from core.system.host import LOCAL, Host


@pytest.fixture
def sleeper() -> object:
    child = subprocess.Popen(["sleep", "60"])
    # Not before it sleeps: until then its name, its image and its state still change.
    while " (sleep) S " not in Path(f"/proc/{child.pid}/stat").read_text():
        time.sleep(0.01)
    yield child
    child.kill()
    child.wait()


def test_an_entry_says_what_ps_says(sleeper: subprocess.Popen[bytes]) -> None:
    entry, usage = Procfs(LOCAL).entry(sleeper.pid)
    columns = "ppid=,uid=,gid=,stat=,comm=,args="
    words = subprocess.check_output(["ps", "-o", columns, "-p", str(sleeper.pid)], text=True).split()
    assert [entry.ppid, entry.credentials.uid, entry.credentials.gid] == [int(w) for w in words[:3]]
    assert usage.state == words[3][0]
    assert entry.comm.decode() == words[4]
    assert [arg.decode() for arg in entry.args] == words[5:]
    assert entry.exe == os.fsencode(os.readlink(f"/proc/{sleeper.pid}/exe"))
    assert entry.inode == os.stat(f"/proc/{sleeper.pid}/exe").st_ino
    assert not entry.problem


def test_the_start_time_is_the_boot_clock_of_now(sleeper: subprocess.Popen[bytes]) -> None:
    now = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    assert 0 <= now - Procfs(LOCAL).stat(sleeper.pid).start_ns < 5_000_000_000


def test_a_name_with_brackets_and_spaces(tmp_path: Path) -> None:
    program = tmp_path / ") S 1 (x"
    program.symlink_to("/bin/sleep")
    child = subprocess.Popen([program, "60"])
    try:
        while b"x" not in Path(f"/proc/{child.pid}/comm").read_bytes():
            time.sleep(0.01)
        stat = Procfs(LOCAL).stat(child.pid)
        assert (stat.comm, stat.ppid) == (b") S 1 (x", os.getpid())
    finally:
        child.kill()
        child.wait()


def test_argv_is_kept_byte_for_byte() -> None:
    arguments = [b"", b"two words", b"\xff\xfe", b"new\nline", b""]
    code = "import os, sys; os.execv('/bin/cat', [b'cat', b'-', b'--', *eval(sys.argv[1])])"
    child = subprocess.Popen([sys.executable, "-c", code, repr(arguments)], stdin=subprocess.PIPE)
    try:
        while not Path(f"/proc/{child.pid}/cmdline").read_bytes().startswith(b"cat\0"):
            time.sleep(0.01)
        assert Procfs(LOCAL).entry(child.pid)[0].args == (b"cat", b"-", b"--", *arguments)
    finally:
        child.kill()
        child.wait()


def test_argv_alone_is_that_of_the_process_that_is_meant(sleeper: subprocess.Popen[bytes]) -> None:
    procfs = Procfs(LOCAL)
    start_ns = procfs.stat(sleeper.pid).start_ns
    assert procfs.cmdline(sleeper.pid, start_ns) == (b"sleep\x0060\0", False)
    with pytest.raises(ProcfsError, match=f"no process {sleeper.pid}"):
        procfs.cmdline(sleeper.pid, start_ns + TICK_NS)


def test_a_thread_is_no_process() -> None:
    """/proc answers for /proc/TID too."""
    release = threading.Event()
    thread = threading.Thread(target=release.wait)
    thread.start()
    try:
        with pytest.raises(ProcfsError, match=f"is a thread of process {os.getpid()}$"):
            Procfs(LOCAL).entry(thread.native_id or 0)
    finally:
        release.set()
        thread.join()


def test_a_zombie_has_no_image_and_that_is_no_problem() -> None:
    child = subprocess.Popen(["true"])
    try:
        while Procfs(LOCAL).stat(child.pid).state != "Z":
            time.sleep(0.01)
        entry, _ = Procfs(LOCAL).entry(child.pid)
        assert (entry.exe, entry.args, entry.problem) == (b"", (), "")
    finally:
        child.wait()


def test_nobody_there() -> None:
    child = subprocess.Popen(["true"])
    child.wait()
    with pytest.raises(ProcfsError, match=f"no process {child.pid}"):
        Procfs(LOCAL).entry(child.pid)


def test_another_root_is_read_below_it(tmp_path: Path) -> None:
    folder = tmp_path / "proc/42"
    folder.mkdir(parents=True)
    fields = ["S", "1", "42", "42", "0", "-1", "4194304", *["0"] * 10, "1", "0", "500", "4096", "7"]
    fields += ["0"] * 28
    (folder / "stat").write_text("42 (agent) " + " ".join(fields))
    (folder / "cmdline").write_bytes(b"agent\0run\0")
    entry, usage = Procfs(Host(tmp_path)).entry(42)
    assert (entry.comm, entry.args, entry.ppid) == (b"agent", (b"agent", b"run"), 1)
    assert usage.state == "S"
    assert "exe missing" in entry.problem


def test_ticks_are_those_of_this_machine() -> None:
    assert int(subprocess.check_output(["getconf", "CLK_TCK"])) * TICK_NS == 1_000_000_000


@pytest.mark.parametrize(
    ("number", "name"),
    [(0, b""), (34816, b"pts/0"), (34816 + 0x100003, b"pts/259"), (1025, b"tty1"), (1088, b"ttyS0")],
)
def test_terminals_are_named_as_ps_names_them(number: int, name: bytes) -> None:
    assert _tty_name(number) == name
