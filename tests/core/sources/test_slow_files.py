"""An executable whose file system gives no answer, or a bad one, costs the facts of that file and no more."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from core.sources import bounded_read
from core.sources.bounded_read import PATIENCE
from core.sources.procfs import Procfs
from core.system.host import LOCAL
from tests.core.sources.misbehaving import FuseProgram, fuse_program
from tests.places import ROOT

TIMEOUT_S = 60
"""Whoever waits for the server waits for ever; being killed does not help."""


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tui.cli.main", *words],
        cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT_S, check=False,
    )  # fmt: skip


def row(pid: int, *words: str) -> dict[str, Any]:
    made = run(*words, "ps", "--json")
    assert made.returncode == 0, made.stderr
    return next(row for row in json.loads(made.stdout)["processes"] if row["pid"] == pid)


@pytest.mark.parametrize(
    "number", [errno.EIO, errno.ESTALE, errno.EACCES, errno.ELOOP, errno.ENAMETOOLONG, errno.ENOTCONN]
)
def test_a_file_that_is_refused_costs_its_own_fields(tmp_path: Path, number: int) -> None:
    with fuse_program(tmp_path) as program:
        inode = os.stat(f"/proc/{program.pid}/exe").st_ino
        assert Procfs(LOCAL).entry(program.pid)[0].inode == inode
        program.now(f"errno {number}")
        entry, _ = Procfs(LOCAL).entry(program.pid)
        assert (entry.exe, entry.args) == (os.fsencode(program.path), (b"prog", b"3600"))
        assert (entry.inode, entry.mtime_ns) == (0, 0)
        assert os.strerror(number) in entry.problem
        assert f"{tmp_path} (fuse)" in entry.problem


def test_a_dead_server_costs_the_fields_of_the_file(tmp_path: Path) -> None:
    with fuse_program(tmp_path) as program:
        program.now("dead")
        for words in ((), ("--no-probe",)):
            seen = row(program.pid, *words)
            assert seen["exe"] == str(program.path)
            assert seen["args"] == ["prog", "3600"]
        assert "not connected" in seen["note"]


def test_a_mount_that_others_may_not_enter_costs_the_fields_of_the_file(tmp_path: Path) -> None:
    tmp_path.parent.chmod(0o755)
    tmp_path.parent.parent.chmod(0o755)
    tmp_path.chmod(0o755)
    with fuse_program(tmp_path, uid=65534) as program:
        entry, _ = Procfs(LOCAL).entry(program.pid)
        assert (entry.exe, entry.credentials.uid) == (os.fsencode(program.path), 65534)
        assert "exe's file: Permission denied" in entry.problem


def test_a_silent_server_is_a_note_that_says_what_waits_how_long_and_where(tmp_path: Path) -> None:
    with fuse_program(tmp_path) as program:
        program.now("silent")
        seen = row(program.pid, "--no-probe")
        assert seen["exe"] == str(program.path)
        assert seen["args"] == ["prog", "3600"]
        assert "exe's file: no answer for 0." in seen["note"]
        assert f"from the file system of {tmp_path} (fuse)" in seen["note"]


def test_all_of_a_silent_mount_cost_one_reader_and_are_whole_again_when_it_answers(tmp_path: Path) -> None:
    procfs = Procfs(LOCAL)
    with fuse_program(tmp_path, count=5) as program:
        program.now("silent")
        before = len(readers())
        for pid in program.pids:
            assert "no answer for" in procfs.entry(pid)[0].problem
        assert len(readers()) <= before + 2  # the one that waits, and the one that goes on
        assert procfs.entry(os.getpid())[0].problem == ""
        program.now("good")
        while any(procfs.entry(pid)[0].problem for pid in program.pids):
            time.sleep(0.01)
        assert procfs.entry(program.pid)[0].inode == 2
    assert not PATIENCE.troubled


def readers() -> list[int]:
    """Return the processes of core/sources/reader.py that this one has started and that have not ended."""
    made = subprocess.run(
        ["ps", "-o", "pid=,stat=,args=", "--ppid", str(os.getpid())],
        capture_output=True,
        text=True,
        check=False,
    )
    return [
        int(line.split()[0])
        for line in made.stdout.splitlines()
        if "core/sources/reader.py" in line and " Z" not in line
    ]


def test_an_answer_that_comes_late_is_used(tmp_path: Path) -> None:
    """A server that always takes longer than we wait is never known, if nobody takes what comes then."""
    procfs = Procfs(LOCAL)
    with fuse_program(tmp_path) as program:
        program.now("silent")
        assert "no answer" in procfs.entry(program.pid)[0].problem
        program.now("good")
        program.now("silent")
        while procfs.entry(program.pid)[0].inode != 2:
            time.sleep(0.01)


@pytest.mark.parametrize("recent_s", [60.0, 0.0])
def test_no_more_readers_than_promised_are_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recent_s: float
) -> None:
    """Suspects are not asked while many answers are overdue; later they are, and the oldest reader ends."""
    most = 3
    monkeypatch.setattr(bounded_read, "MAX_STUCK", most)
    monkeypatch.setattr(bounded_read, "_RECENT_S", recent_s)
    folders = [tmp_path / str(number) for number in range(3 * most)]
    programs: list[FuseProgram] = []
    try:
        for folder in folders:
            folder.mkdir()
            programs.append(FuseProgram(folder))
            programs[-1].now("silent")
        procfs = Procfs(LOCAL)
        for program in programs:
            entry, _ = procfs.entry(program.pid)
            assert entry.exe == os.fsencode(program.path)
            assert "exe's file: " in entry.problem
        assert len(readers()) <= 2 * most + 1
        assert procfs.entry(os.getpid())[0].problem == ""
    finally:
        for program in programs:
            program.end()


@pytest.mark.parametrize(
    "words", [("ps", "--json"), ("audit", "--json"), ("resolve",), ("watch", "--duration", "1")]
)
@pytest.mark.parametrize("probe", [True, False])
def test_a_command_ends_while_its_reader_waits(tmp_path: Path, words: tuple[str, ...], probe: bool) -> None:
    if words[0] == "watch" and not probe:
        pytest.skip("nothing to watch without a probe")
    with fuse_program(tmp_path) as program:
        program.now("silent")
        pid = (str(program.pid),) if words == ("resolve",) else ()
        made = run(*(() if probe else ("--no-probe",)), *words, *pid)
        assert made.returncode in (0, 3), made.stderr
        assert "Traceback" not in made.stderr


def test_a_path_longer_than_the_kernel_gives_is_a_row_with_the_reason(tmp_path: Path) -> None:
    code = """
import os, shutil, sys
os.chdir(sys.argv[1])
for _ in range(17):
    os.mkdir("d" * 250); os.chdir("d" * 250)
shutil.copy("/bin/sleep", "deepsleep")
os.execv("./deepsleep", ["deepsleep", "60"])
"""
    child = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)])
    try:
        while Path(f"/proc/{child.pid}/comm").read_text() != "deepsleep\n":
            time.sleep(0.01)
        for words in ((), ("--no-probe",)):
            seen = row(child.pid, *words)
            assert (seen["comm"], seen["args"]) == ("deepsleep", ["deepsleep", "60"])
        assert (seen["exe"], seen["note"]) == ("", "exe: File name too long")
    finally:
        child.kill()
        child.wait()
        subprocess.run(["rm", "-r", str(tmp_path)], check=True)


@pytest.mark.parametrize("unlinked", [False, True])
def test_the_root_of_a_detached_mount_is_no_path_of_an_executable(
    tmp_path: Path, as_root: None, unlinked: bool
) -> None:
    program = tmp_path / "prog"
    shutil.copy("/bin/sleep", program)
    (tmp_path / "mnt").touch()
    subprocess.run(["mount", "--bind", program, tmp_path / "mnt"], check=True)
    try:
        child = subprocess.Popen([tmp_path / "mnt", "60"])
    finally:
        subprocess.run(["umount", "-l", tmp_path / "mnt"], check=True)
    if unlinked:
        program.unlink()
    try:
        assert os.readlink(f"/proc/{child.pid}/exe") == ("/ (deleted)" if unlinked else "/")
        for words in ((), ("--no-probe",)):
            seen = row(child.pid, *words)
            assert seen["exe"] == "", words
            assert "exe: its mount was detached" in (seen["note"] or ""), words
    finally:
        child.kill()
        child.wait()
