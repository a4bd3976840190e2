"""Under sudo a build is the invoking user's: his processes, his files, nothing of root's."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from buildgen.events import Diagnosed, Done
from buildgen.ninja.runner import run_build
from buildgen.owner import acting_for, invoking_user
from buildgen.plan.plan import plan
from buildgen.project.project import load_project
from buildgen.project.toolchain import find_ninja
from tests.buildgen.ebpf_sources import CO_RE

NOBODY = 65534

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, as under sudo")


@pytest.fixture
def project(monkeypatch: pytest.MonkeyPatch, needs_llvm: None) -> Iterator[Path]:
    """A project of nobody's, and a ninja, in a place that he can reach: not pytest's, nor root's home."""
    ninja = find_ninja()
    monkeypatch.setenv("SUDO_UID", str(NOBODY))
    monkeypatch.setenv("SUDO_GID", str(NOBODY))
    with tempfile.TemporaryDirectory() as made:
        here = Path(made)
        (here / "bin").mkdir()
        shutil.copy(ninja, here / "bin/ninja")
        monkeypatch.setenv("PATH", f"{here / 'bin'}:{os.environ['PATH']}")
        (here / "one.bpf.c").write_text(CO_RE)
        (here / "value.h").write_text("#define VALUE 1\n")
        for path in (here, *here.iterdir()):
            os.chown(path, NOBODY, NOBODY)
        yield here


def test_who_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert invoking_user({}) is None
    assert invoking_user({"SUDO_UID": "0", "SUDO_GID": "0"}) is None
    assert invoking_user({"SUDO_UID": "x", "SUDO_GID": "1"}) is None
    found = invoking_user({"SUDO_UID": str(NOBODY), "SUDO_GID": str(NOBODY)})
    assert found is not None
    assert (found.uid, found.name) == (NOBODY, "nobody")
    assert invoking_user({"SUDO_UID": "54321", "SUDO_GID": "54321"}) is not None


def test_every_file_is_his_and_so_is_the_compiler(project: Path) -> None:
    launcher = project / "who"
    launcher.write_text(f'#!/bin/sh\nid -u > {project}/uid\nexec "$@"\n')
    launcher.chmod(0o755)
    (project / "ebpf.toml").write_text(
        f'[project]\nsources = ["*.bpf.c"]\nlauncher = {json.dumps(str(launcher))}\n'
    )
    events = list(run_build(plan(load_project(project))))
    last = events[-1]
    assert isinstance(last, Done)
    assert last.ok, events
    assert (project / "uid").read_text().strip() == str(NOBODY)
    made = [project / "build", *(project / "build").rglob("*")]
    assert len(made) > 8
    assert {path.stat().st_uid for path in made} == {NOBODY}


def test_root_is_not_led_into_places_that_are_not_his(project: Path, tmp_path: Path) -> None:
    (tmp_path / "roots").mkdir(mode=0o755)
    (project / "build").symlink_to(tmp_path / "roots")
    events = list(run_build(plan(load_project(project))))
    (said,) = [e.diagnosis for e in events if isinstance(e, Diagnosed)]
    assert "build: is a symbolic link, which is not followed" in said.cause
    assert not list((tmp_path / "roots").iterdir())


def test_the_thread_is_root_again_afterwards(tmp_path: Path) -> None:
    owner = invoking_user({"SUDO_UID": str(NOBODY), "SUDO_GID": str(NOBODY)})
    with pytest.raises(PermissionError), acting_for(owner):
        (tmp_path / "x").write_text("")
    (tmp_path / "x").write_text("")
    assert (tmp_path / "x").stat().st_uid == 0
