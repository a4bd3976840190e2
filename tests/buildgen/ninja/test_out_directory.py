"""A build directory that a checkout brings with it: links planted there lead no write elsewhere."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from buildgen.events import Diagnosed, Done
from buildgen.ninja.dependencies import files_read
from buildgen.ninja.edge_times import edge_seconds
from buildgen.ninja.runner import run_build
from buildgen.ninja.workspace import with_states
from buildgen.plan.plan import BuildPlan, plan
from buildgen.project.project import load_project
from core.system.arch import local_arch

NOBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make files of others")
ARCH = f"{local_arch().name}"
PLACE = f"build/ebpf/{ARCH}/co-re"

FOLLOWED = (
    *(f"build/ebpf/{name}" for name in (
        ".ninja_log", ".ninja_deps", ".ninja_log.recompact", ".ninja_deps.recompact", ".lock",
        "build.ninja", "toolchain.txt", "compile_commands.json",
    )),
    *(f"{PLACE}/one.bpf.{name}" for name in ("bc", "bc.d", "o", "o.tmp", "o.prev")),
)  # fmt: skip
"""Files that we, ninja, clang, llc or llvm-strip write, some of them in place."""


def build(made: BuildPlan) -> tuple[bool, str]:
    events = list(run_build(made))
    assert isinstance(events[-1], Done)
    causes = [event.diagnosis.cause for event in events if isinstance(event, Diagnosed)]
    return events[-1].ok, " ".join(causes)


def planned(project: Path, out: Path | None = None) -> BuildPlan:
    return plan(load_project(project), out=out)


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    path = tmp_path / "victim"
    path.write_text("precious\n")
    return path


@pytest.mark.parametrize("built", [False, True], ids=["new", "built before"])
@pytest.mark.parametrize("name", FOLLOWED)
def test_a_link_in_the_place_of_a_file_is_refused(co_re: Path, victim: Path, name: str, built: bool) -> None:
    if built:
        assert build(planned(co_re))[0]
        (co_re / "value.h").write_text("#define VALUE 8\n")
    path = co_re / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.symlink_to(victim)
    ok, said = build(planned(co_re))
    assert not ok
    assert f"{path}: is a symbolic link, which is not followed" in said
    assert victim.read_text() == "precious\n"
    looked = with_states(planned(co_re))
    assert any(str(path) in warning for warning in looked.warnings)
    assert victim.read_text() == "precious\n"
    path.unlink()
    assert build(planned(co_re)) == (True, "")


@pytest.mark.parametrize("name", ["build", "build/ebpf", f"build/ebpf/{ARCH}", PLACE])
@pytest.mark.parametrize("to", ["elsewhere", "nowhere"])
def test_a_link_in_the_place_of_a_directory_is_refused(
    co_re: Path, tmp_path: Path, name: str, to: str
) -> None:
    (tmp_path / "elsewhere").mkdir()
    path = co_re / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(tmp_path / to)
    ok, said = build(planned(co_re))
    assert not ok
    assert f"{path}: is a symbolic link, which is not followed" in said
    assert not os.listdir(tmp_path / "elsewhere")
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize(
    "name", ["build/ebpf/.toolchain.txt.new", "build/ebpf/.build.ninja.new", f"{PLACE}/../x.o.tmp"]
)
def test_names_that_nobody_writes_are_left_alone(co_re: Path, victim: Path, name: str) -> None:
    (co_re / PLACE).mkdir(parents=True)
    (co_re / name).symlink_to(victim)
    assert build(planned(co_re)) == (True, "")
    assert victim.read_text() == "precious\n"
    assert (co_re / name).is_symlink()


@pytest.mark.parametrize(
    "plant",
    [
        lambda path, victim: os.mkfifo(path),
        lambda path, victim: path.mkdir(),
        lambda path, victim: os.link(victim, path),
    ],
    ids=["fifo", "directory", "second name"],
)
@pytest.mark.parametrize("name", [f"{PLACE}/one.bpf.o.tmp", f"{PLACE}/one.bpf.bc.d", "build/ebpf/.ninja_log"])
def test_only_a_plain_file_of_one_name_may_be_there(
    co_re: Path, victim: Path, name: str, plant: Callable[[Path, Path], None]
) -> None:
    path = co_re / name
    path.parent.mkdir(parents=True)
    plant(path, victim)
    ok, said = build(planned(co_re))
    assert not ok
    assert f"{path}: is " in said
    assert victim.read_text() == "precious\n"


def test_a_strange_build_directory_keeps_nobody_who_looks(co_re: Path) -> None:
    (co_re / "build/ebpf").mkdir(parents=True)
    for name in (".ninja_log", "toolchain.txt"):
        os.mkfifo(co_re / "build/ebpf" / name)
    made = with_states(planned(co_re))
    assert any("is not a regular file" in warning for warning in made.warnings)
    assert edge_seconds(made.out) == {}


@as_root
@pytest.mark.parametrize(
    "name", ["build", "build/ebpf", f"build/ebpf/{ARCH}", PLACE, f"{PLACE}/one.bpf.o.tmp"]
)
@pytest.mark.parametrize("how", ["owner", "mode"])
def test_what_others_can_write_to_is_no_place_to_build_in(co_re: Path, name: str, how: str) -> None:
    assert build(planned(co_re))[0]
    path = co_re / name
    path.touch()
    if how == "owner":
        os.chown(path, NOBODY, NOBODY)
    else:
        path.chmod(0o777)
    ok, said = build(planned(co_re))
    if how == "mode" and path.is_file():  # in a directory of ours alone it can lead nowhere
        assert ok
    else:
        assert not ok
        assert str(path) in said
        assert ("belongs to nobody" if how == "owner" else "writable by every user") in said


@as_root
def test_an_out_elsewhere_is_not_below_what_others_control(co_re: Path, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    os.chown(theirs, NOBODY, NOBODY)
    for out in (theirs, theirs / "out", theirs / "a/b"):
        ok, said = build(planned(co_re, out))
        assert not ok
        assert f"{theirs} belongs to nobody" in said
    assert not os.listdir(theirs)
    sticky = tmp_path / "tmp"
    sticky.mkdir()
    sticky.chmod(0o1777)
    assert build(planned(co_re, sticky / "out")) == (True, "")
    ok, said = build(planned(co_re, sticky))
    assert not ok
    assert "writable by every user" in said


def test_with_an_open_umask_nothing_is_made_that_others_can_write_to(co_re: Path) -> None:
    before = os.umask(0)
    try:
        assert build(planned(co_re)) == (True, "")
    finally:
        os.umask(before)
    made = [co_re / "build", *(co_re / "build").rglob("*")]
    assert [path for path in made if path.stat().st_mode & 0o022] == []
    shutil.rmtree(co_re / "build")


def test_sources_that_are_no_files_keep_nobody_who_looks(co_re: Path) -> None:
    os.mkfifo(co_re / "two.bpf.c")
    (co_re / "three.bpf.c").symlink_to("/dev/zero")
    made = with_states(planned(co_re))
    assert len(made.targets) == 3
    assert files_read(made)
