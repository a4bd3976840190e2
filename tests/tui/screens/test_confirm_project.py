"""Opening a project runs nothing of it; one of somebody else is built only after a question."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from textual.pilot import Pilot

from buildgen.project.trust import confirmed_directories
from tests.tui.build_project import GOOD, screen, until
from tests.tui.harness import opened, press, text, words
from tui.screens.confirm_project import ConfirmProject
from tui.settings import Settings

NOBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make files of others")


@pytest.fixture
def project(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A project in the current directory with a compiler of its own, which writes down that it ran."""
    for tool in ("clang", "llc", "llvm-strip"):
        if shutil.which(tool) is None:
            pytest.skip(f"no {tool} here")
    for name in ("SUDO_UID", "SUDO_GID", "EBPF_CLANG"):
        monkeypatch.delenv(name, raising=False)
    for name in ("XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    with tempfile.TemporaryDirectory() as made:
        Path(made).chmod(0o755)
        (Path(made) / "ran").touch()
        (Path(made) / "ran").chmod(0o666)
        home = Path(made) / "project"
        (home / "tools").mkdir(parents=True)
        (home / "good.bpf.c").write_text(GOOD.replace("EXTRA", "0"))
        (home / "ebpf.toml").write_text('[project]\nsources = ["*.bpf.c"]\nclang = "./tools/clang"\n')
        for tool in ("clang", "llc", "llvm-strip"):
            path = home / "tools" / tool
            path.write_text(f'#!/bin/sh\nid -u >> {made}/ran\nexec {shutil.which(tool)} "$@"\n')
            path.chmod(0o755)
        monkeypatch.chdir(home)
        yield home


@pytest.fixture
def theirs(project: Path) -> Path:
    for path in (project, *project.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    return project


def ran(project: Path) -> set[str]:
    return set((project.parent / "ran").read_text().split())


async def on_build_screen(pilot: Pilot[None]) -> None:
    await press(pilot, "2")
    await until(pilot, lambda: "good.bpf" in text(pilot))


@pytest.mark.parametrize("read_only", [True, False])
async def test_opening_my_own_project_runs_nothing_of_it(project: Path, read_only: bool) -> None:
    async with opened(settings=Settings(read_only=read_only), live=True, size=(160, 40)) as pilot:
        await on_build_screen(pilot)
        assert "runs only during a build" in words(pilot)
        await press(pilot, "4")
        await pilot.app.workers.wait_for_complete()
        await press(pilot, "3")
        await pilot.app.workers.wait_for_complete()
        assert ran(project) == set()


async def test_my_own_project_is_built_without_a_question_and_shows_what_runs(project: Path) -> None:
    async with opened(size=(160, 40)) as pilot:
        await on_build_screen(pilot)
        assert f"runs: {project}/ebpf.toml: clang: {project}" in words(pilot)
        await press(pilot, "b")
        await until(pilot, lambda: "ok: built 1" in text(pilot))
        assert ran(project) == {str(os.geteuid())}


@as_root
async def test_of_somebody_else_nothing_runs_before_the_question_is_answered(theirs: Path) -> None:
    async with opened(size=(160, 40)) as pilot:
        await on_build_screen(pilot)
        assert "belongs to nobody, so nothing in it runs until you confirm it" in words(pilot)
        for keys in (["b", "escape"], ["b", "enter"], ["B", "q"], ["w", "b", "escape"]):
            await press(pilot, *keys[:-1])
            await until(pilot, lambda: isinstance(pilot.app.screen, ConfirmProject))
            assert "A build runs as nobody" in words(pilot)
            assert f"{theirs}/ebpf.toml: clang: {theirs}" in words(pilot)
            await press(pilot, keys[-1])
            await until(pilot, lambda: not isinstance(pilot.app.screen, ConfirmProject))
            await until(pilot, lambda: not screen(pilot).building)
        assert ran(theirs) == set()
        assert not (theirs / "build").exists()
        assert not confirmed_directories()


@as_root
async def test_a_save_asks_nothing_and_builds_nothing_of_somebody_else(theirs: Path) -> None:
    async with opened(size=(160, 40)) as pilot:
        await on_build_screen(pilot)
        await press(pilot, "w")
        await until(pilot, lambda: "● watching " in text(pilot))
        before = screen(pilot).board
        (theirs / "good.bpf.c").write_text(GOOD.replace("EXTRA", "1"))
        await until(pilot, lambda: screen(pilot).board is not before)
        await pilot.app.workers.wait_for_complete()
        assert not isinstance(pilot.app.screen, ConfirmProject)
        assert ran(theirs) == set()


@as_root
async def test_once_confirmed_it_is_built_as_its_owner(theirs: Path) -> None:
    async with opened(size=(160, 40)) as pilot:
        await on_build_screen(pilot)
        await press(pilot, "b")
        await until(pilot, lambda: isinstance(pilot.app.screen, ConfirmProject))
        await press(pilot, "down", "enter")
        await until(pilot, lambda: "ok: built 1" in text(pilot))
        assert ran(theirs) == {str(NOBODY)}
        assert confirmed_directories() == {str(theirs)}
        assert "so nothing in it runs" not in words(pilot)


@as_root
async def test_read_only_does_not_even_ask(theirs: Path) -> None:
    async with opened(settings=Settings(read_only=True), live=True, size=(160, 40)) as pilot:
        await on_build_screen(pilot)
        await press(pilot, "b", "B", "w")
        assert not isinstance(pilot.app.screen, ConfirmProject)
        assert "Read-only: nothing is built" in words(pilot)
        assert ran(theirs) == set()
