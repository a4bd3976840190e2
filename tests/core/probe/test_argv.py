"""argv of others is read from /proc and never by the probe: no file system in user space can hold it up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.model.events import Exec
from core.probe import layout
from core.resolve.engine import Engine
from core.sources.cmdlines import LIMIT, CmdlineReader, lacks_argv
from core.sources.feed import open_feed
from core.system.host import LOCAL
from tests.core.probe.events import run_until_named
from tests.places import ROOT
from tests.world import open_engine, settle

SLOW_S = 6


@pytest.fixture
def slow_argv(as_root: None) -> Iterator[int]:
    """A process with a page of a file over its argv, of a file system that answers after SLOW_S seconds."""
    if not os.access("/dev/fuse", os.W_OK):
        pytest.skip("no /dev/fuse")
    owner = subprocess.Popen(
        [
            "unshare",
            "--mount",
            sys.executable,
            str(ROOT / "tests/core/sources/slow_argv.py"),
            str(SLOW_S),
            "x" * 9000,
        ],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert owner.stdout is not None
    line = owner.stdout.readline()
    if not line:
        pytest.skip("no file systems in user space here (/dev/fuse)")
    yield int(line)
    os.killpg(owner.pid, signal.SIGKILL)
    owner.wait()


LOOKS = """
import sys, time
from core.resolve.engine import Engine
from core.sources.feed import open_feed
from core.system.host import LOCAL
engine = Engine(open_feed(LOCAL, need_maps=True))
engine.start()
entry = engine.cache.get(int(sys.argv[1])).entry
print("looked", entry.exe.decode(), len(entry.cmdline), entry.cmdline_truncated, flush=True)
"""


def test_a_page_that_does_not_come_holds_nobody_up(slow_argv: int) -> None:
    """The file system counts who asks for the page: nobody does. Without a clock: no page is asked for."""
    done = subprocess.run(
        [sys.executable, "-c", LOOKS, str(slow_argv)],
        cwd=ROOT, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    word, exe, size, cut = done.stdout.split()
    assert word == "looked"
    assert exe == os.readlink(f"/proc/{slow_argv}/exe")
    assert int(size) < 9000
    assert cut == "True"
    asked = Path(f"/proc/{slow_argv}/cwd/asked").read_text()
    assert asked == ""


def test_the_argv_of_what_is_older_than_the_probe_is_that_of_proc() -> None:
    child = run_until_named(["/bin/sleep", "60", "0" * 5000], "sleep")
    title = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", "a b", "", "c"])
    engine = open_engine()
    try:
        for pid in (child.pid, title.pid):
            process = engine.cache.get(pid)
            assert process is not None
            assert process.entry.cmdline == Path(f"/proc/{pid}/cmdline").read_bytes()
            assert not process.entry.cmdline_truncated
            assert process.entry.problem == ""
        assert not engine.reads_argv
    finally:
        engine.feed.close()
        for one in (child, title):
            one.kill()
            one.wait()


def test_in_a_session_it_comes_in_pieces_and_what_is_wanted_first() -> None:
    sleepers = [run_until_named(["/bin/sleep", "60", str(number)], "sleep") for number in range(5)]
    engine = Engine(open_feed(LOCAL, need_maps=True))
    try:
        engine._piece = 1
        engine.start(whole=False)
        processes = [engine.cache.get(sleeper.pid) for sleeper in sleepers]
        assert all(process is not None and lacks_argv(process.entry) for process in processes)
        last = processes[-1]
        assert last is not None
        engine.read_argv([last.key])
        assert last.entry.args == (b"/bin/sleep", b"60", b"4")
        first = processes[0]
        assert first is not None
        assert lacks_argv(first.entry)
        while engine.reads_argv:
            engine.read_argv()
        assert first.entry.args == (b"/bin/sleep", b"60", b"0")
    finally:
        engine.feed.close()
        for sleeper in sleepers:
            sleeper.kill()
            sleeper.wait()


def test_a_child_of_one_whose_argv_is_not_read_yet_gets_it_too() -> None:
    shell = subprocess.Popen(
        [sys.executable, "-c", "import os\ninput()\nos.fork()\nprint(1, flush=True)\ninput()", "word"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert shell.stdin is not None
    assert shell.stdout is not None
    engine = Engine(open_feed(LOCAL, need_maps=True))
    try:
        engine.start(whole=False)
        shell.stdin.write(b"\n")
        shell.stdin.flush()
        shell.stdout.readline()
        settle(engine)
        while engine.reads_argv:
            engine.read_argv()
        parent = engine.cache.get(shell.pid)
        assert parent is not None
        assert [child.entry.args[-1] for child in parent.children] == [b"word"]
    finally:
        engine.feed.close()
        shell.kill()
        shell.wait()


def test_the_argv_of_an_exec_that_came_in_between_is_the_events() -> None:
    shell = subprocess.Popen(["sh", "-c", "read x; exec sleep 60"], stdin=subprocess.PIPE)
    engine = Engine(open_feed(LOCAL, need_maps=True))
    try:
        engine.take(engine.feed.snapshot())
        engine.resolver.snapshotted = True
        process = engine.cache.get(shell.pid)
        assert process is not None
        assert shell.stdin is not None
        shell.stdin.write(b"\n")
        shell.stdin.flush()
        while Path(f"/proc/{shell.pid}/comm").read_text() != "sleep\n":
            pass
        engine.read_argv([process.key], most=10_000)
        of_two_images = process.entry.args
        assert of_two_images == ()  # of which image it is, is not certain
        settle(engine)
        assert process.entry.args == (b"sleep", b"60")
        assert [image.args for image in process.images] == [()]
    finally:
        engine.feed.close()
        shell.kill()
        shell.wait()


def test_a_reader_gives_what_can_be_read_and_nothing_else() -> None:
    child = run_until_named(["/bin/sleep", "60", "0" * 100_000], "sleep")
    try:
        answers = CmdlineReader(LOCAL).read([os.getpid(), child.pid, 2**22 + 1, 2])
        assert answers[os.getpid()] == Path("/proc/self/cmdline").read_bytes()[: LIMIT + 1]
        assert len(answers[child.pid]) == LIMIT + 1
        assert answers.get(2, b"") == b""
        assert 2**22 + 1 not in answers
    finally:
        child.kill()
        child.wait()


def test_names_that_fill_their_room_do_not_become_argv(scratch_user: Path) -> None:
    """An executable below 4 kB of directories, run through a script with a name as long as can be."""
    engine = open_engine()
    try:
        program = scratch_user / ("i" * 255)
        script = scratch_user / ("s" * 250)
        forged = [b"FORGED-LEAF", b"sbin", b"usr", *[b"A" * 100] * 90]
        pid = os.fork()
        if pid == 0:
            os.chdir(scratch_user)
            os.execv(os.fsencode(script.name), [b"x", *forged])
        os.waitpid(pid, 0)
        events = [layout.decode_event(record) for record in engine.feed._probe.consume()]  # type: ignore[attr-defined]
        (execution,) = [e for e in events if isinstance(e, Exec) and e.entry.pid == pid]
        assert execution.entry.exe.endswith(os.fsencode(program.name))
        assert b"FORGED" not in execution.entry.exe
        assert execution.entry.args[-1] == b"A" * 100 or execution.entry.cmdline_truncated
        assert execution.entry.script.endswith(os.fsencode(script.name))
    finally:
        engine.feed.close()


@pytest.fixture
def scratch_user(tmp_path: Path) -> Iterator[Path]:
    here = os.getcwd()
    os.chdir(tmp_path)
    names = ["d" * 255] * 13 + ["e" * 248]
    deep = tmp_path
    try:
        for name in names:
            os.mkdir(name)
            os.chdir(name)
        Path("i" * 255).write_bytes(Path("/bin/true").read_bytes())
        Path("i" * 255).chmod(0o755)
        Path("iii").symlink_to("i" * 255)
        script = Path("s" * 250)
        script.write_text("#!./iii\n")
        script.chmod(0o755)
        yield Path(".")
    finally:
        os.chdir(here)
        del deep
