"""The history of builds: bounded, private, and a damaged file counts as empty."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path

import pytest

from buildgen.owner import invoking_user
from buildgen.session import history as build_history
from buildgen.session.history import KEPT, Built, built, read_history, remember
from tests.places import ROOT

NOBODY = 65534


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for name in ("SUDO_UID", "SUDO_GID"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "ebpf-tui/history"


def one(number: int) -> Built:
    return Built(1000.0 + number, 0.5, 100 + number, number)


def test_the_latest_builds_are_kept_and_no_more(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_history() == {}
    for number in range(KEPT + 3):
        remember({"/a.o": one(number)})
    assert read_history() == {"/a.o": tuple(one(number) for number in range(3, KEPT + 3))}
    monkeypatch.setattr(build_history, "MOST_OBJECTS", 2)
    remember({"/b.o": one(1)})
    remember({"/a.o": one(90)})
    remember({"/c\udce9.o": one(2)})
    assert list(read_history()) == ["/a.o", "/c\udce9.o"]  # b was built longest ago
    assert cache.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    "content",
    [
        b"", b"\xff", b"[]", b'{"schema": "ebpf-tui/builds/1"}', b"[" * 100_000,
        b'{"schema": "ebpf-tui/builds/2", "objects": {"/a.o": [[1, 1, 1, 1]]}}',
        b'{"schema": "ebpf-tui/builds/1", "objects": {"/a.o": [[NaN, 1, 1, 1]]}}',
        b'{"schema": "ebpf-tui/builds/1", "objects": {"/a.o": [[1, 1, "1", 1]]}}',
        b'{"schema": "ebpf-tui/builds/1", "objects": {"/a.o": [[1, 1, 1, -1]]}}',
        b'{"schema": "ebpf-tui/builds/1", "objects": {"/a.o": 3}}',
    ],
    ids=range(10),
)  # fmt: skip
def test_a_damaged_file_counts_as_empty_and_is_replaced(cache: Path, content: bytes) -> None:
    remember({"/a.o": one(1)})
    (cache / "builds.json").write_bytes(content)
    assert read_history() == {}
    remember({"/b.o": one(2)})
    assert read_history() == {"/b.o": (one(2),)}


def test_what_is_no_file_is_not_read(cache: Path, tmp_path: Path) -> None:
    remember({"/a.o": one(1)})
    os.rename(cache / "builds.json", tmp_path / "elsewhere")
    (cache / "builds.json").symlink_to(tmp_path / "elsewhere")
    assert read_history() == {}
    (cache / "builds.json").unlink()
    os.mkfifo(cache / "builds.json")
    assert read_history() == {}


def _remember_many(name: str) -> None:
    for number in range(15):
        remember({name: one(number)})


def test_two_sessions_at_once_lose_nothing(cache: Path) -> None:
    context = get_context("spawn")
    writers = [context.Process(target=_remember_many, args=(f"/{name}.o",)) for name in "ab"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    expected = tuple(one(number) for number in range(15))
    assert read_history() == {"/a.o": expected, "/b.o": expected}


def test_an_object_that_is_damaged_has_a_size_only(tmp_path: Path) -> None:
    assert built(tmp_path / "none.o", 1) is None
    (tmp_path / "bad.o").write_bytes(b"no ELF")
    found = built(tmp_path / "bad.o", 1.23456)
    assert found is not None
    assert (found.seconds, found.size, found.insns) == (1.235, 6, None)


@pytest.fixture
def home() -> Iterator[Path]:
    """A home of nobody's own."""
    directory = Path(tempfile.mkdtemp(prefix="ebpf-tui-home-"))
    os.chown(directory, NOBODY, NOBODY)
    yield directory
    shutil.rmtree(directory)


@pytest.mark.skipif(os.geteuid() != 0, reason="sudo is for root")
def test_under_sudo_it_is_the_invoking_users(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = invoking_user({"SUDO_UID": str(NOBODY), "SUDO_GID": str(NOBODY)})
    assert owner is not None
    mine = type(owner)(owner.uid, owner.gid, owner.name, home)
    monkeypatch.setattr(build_history, "invoking_user", lambda: mine)
    remember({"/a.o": one(1)})
    file = home / ".cache/ebpf-tui/history/builds.json"
    assert (file.stat().st_uid, file.stat().st_gid) == (NOBODY, NOBODY)
    assert list(json.loads(file.read_text())["objects"]) == ["/a.o"]
    assert read_history() == {"/a.o": (one(1),)}


def test_a_build_of_the_command_line_is_in_the_history(
    co_re: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    before = set(read_history())
    command = [sys.executable, "-m", "tui.cli.main", "build", "-C", str(co_re)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=110)
    history = read_history()
    (name,) = set(history) - before
    assert name.endswith("one.bpf.o")
    assert history[name][-1].insns
    assert Path(name).stat().st_size == history[name][-1].size
