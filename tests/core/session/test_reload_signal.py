"""Sessions are found by their identity, asked by a signal, and nobody else is ever signalled."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.session import reload_signal as running
from core.session.reload_signal import announced, reload_running, runtime_directory
from core.sources.procfs import Procfs
from core.system.host import LOCAL
from tests.places import ROOT

SESSION = """
import sys, signal
from core.session import reload_signal as running
from pathlib import Path
running.runtime_directory = lambda: Path(sys.argv[1])
asked = []
with running.announced(lambda: asked.append(1)):
    print("ready", flush=True)
    while not asked:
        signal.pause()
print("asked", flush=True)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(running, "runtime_directory", lambda: tmp_path)
    return tmp_path


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    child = subprocess.Popen(["sleep", "60"])
    yield child
    child.kill()
    child.wait()


def test_a_session_is_asked_and_leaves_nothing(folder: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", SESSION, str(folder)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    (result,) = reload_running()
    assert (result.key.tgid, result.sent) == (child.pid, True)
    assert child.stdout.readline() == "asked\n"
    assert child.wait() == 0
    assert list(folder.iterdir()) == []
    assert reload_running() == []


def test_files_of_the_dead_and_of_others_are_removed_and_nobody_is_hurt(
    folder: Path, bystander: subprocess.Popen[bytes]
) -> None:
    start = Procfs(LOCAL).stat(bystander.pid).start_ns
    (folder / "4194303-1").touch()
    (folder / f"{bystander.pid}-{start - 10**9}").touch()  # its pid was reused
    (folder / f"{bystander.pid}-{start}").touch()  # even so: it has no handler
    (folder / "notes").touch()
    assert reload_running() == []
    assert bystander.poll() is None
    assert [file.name for file in folder.iterdir()] == ["notes"]


def test_the_handler_is_given_back(folder: Path) -> None:
    before = signal.getsignal(signal.SIGUSR1)
    with announced(lambda: None):
        assert signal.getsignal(signal.SIGUSR1) is not before
        assert [file.name.partition("-")[0] for file in folder.iterdir()] == [str(os.getpid())]
    assert signal.getsignal(signal.SIGUSR1) is before


def test_a_session_without_a_runtime_directory_runs_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    with pytest.raises(FileNotFoundError):
        runtime_directory()
    with announced(lambda: None):
        pass


def test_a_directory_that_others_can_write_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: owner or 1000)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    (tmp_path / "ebpf-tui").mkdir(mode=0o777)
    (tmp_path / "ebpf-tui").chmod(0o777)
    with pytest.raises(PermissionError, match="not a private directory"):
        runtime_directory()
