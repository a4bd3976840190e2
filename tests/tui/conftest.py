"""What the tests of the screens share."""

from __future__ import annotations

import asyncio
import shutil
import sys
from pathlib import Path

import pytest
import textual._wait

from tests.needs import lacks
from tests.tui.build_project import BAD, GOOD

# The pilot takes the app for idle when it slept through 20 ms; five are as good, and there are 2,000 of them.
textual._wait.SLEEP_GRANULARITY = 0.005
textual._wait.SLEEP_IDLE = 0.00025


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture depends on these; what the person who runs the tests has set must not matter."""
    for name in ("NO_COLOR", "COLORTERM", "TEXTUAL_THEME", "TEXTUAL_COLOR_SYSTEM"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
async def _eager_tasks() -> None:
    """Start tasks as `App.run` does, eagerly from Python 3.12 on; `run_test` does not."""
    if sys.version_info >= (3, 12):
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of one good and one bad source in the current directory."""
    if shutil.which("clang") is None:
        lacks("clang")
    (tmp_path / "cache").mkdir()
    home = tmp_path / "project"
    home.mkdir()
    (home / "good.bpf.c").write_text(GOOD.replace("EXTRA", "0"))
    (home / "bad.bpf.c").write_text(BAD)
    monkeypatch.chdir(home)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return home
