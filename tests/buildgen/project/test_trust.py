"""Whose project it is decides what of it runs: nothing when it is looked at, all when a person builds."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import ninja
import pytest

from buildgen.errors import ConfigError
from buildgen.events import Diagnosed, Done
from buildgen.ninja.runner import run_build
from buildgen.ninja.workspace import with_states
from buildgen.owner import builder_of, environment
from buildgen.plan.plan import BuildPlan, plan
from buildgen.project.project import load_project
from buildgen.project.toolchain import find_toolchain
from buildgen.project.trust import confirm, confirmed_directories, confirmed_file, judge, what_runs
from core.system.search_path import search_path
from tests.buildgen.ebpf_sources import CO_RE
from tests.places import ROOT

NOBODY, DAEMON = 65534, 1
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make files of others")
PROGRAMS = ("clang", "llc", "llvm-strip", "llvm-objdump", "ninja", "bpftool", "ccache", "sh", "git", "dpkg")
SPY = '#!/bin/sh\necho "$0 $(id -u)" >> {log}\nexec {real} "$@"\n'


class Checkout:
    """A project whose programs write down that they ran, and as whom, in a place that everybody can reach."""

    def __init__(self, place: Path) -> None:
        self.root = place / "checkout"
        self.log = place / "log"
        self.log.touch()
        self.log.chmod(0o666)
        self.root.mkdir()
        (self.root / "one.bpf.c").write_text(CO_RE)
        (self.root / "value.h").write_text("#define VALUE 1\n")

    def spy(self, name: str, real: str) -> Path:
        path = self.root / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(SPY.format(log=self.log, real=real))
        path.chmod(0o755)
        return path

    def toml(self, more: str, objects: str = "") -> None:
        (self.root / "ebpf.toml").write_text(f'[project]\nsources = ["*.bpf.c"]\n{more}\n{objects}')

    def belongs_to(self, uid: int) -> None:
        for path in (self.root, *self.root.rglob("*")):
            os.lchown(path, uid, uid)

    def plan(self, **options: object) -> BuildPlan:
        return plan(load_project(self.root), **options)  # type: ignore[arg-type]

    def ran(self) -> dict[str, set[str]]:
        """Name of each program that ran -> the user ids that it ran as."""
        found: dict[str, set[str]] = {}
        for line in self.log.read_text().splitlines():
            path, uid = line.rsplit(" ", 1)
            found.setdefault(Path(path).name, set()).add(uid)
        return found


@pytest.fixture
def checkout(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, needs_llvm: None) -> Iterator[Checkout]:
    for name in ("SUDO_UID", "SUDO_GID", "EBPF_CLANG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    with tempfile.TemporaryDirectory() as made:
        Path(made).chmod(0o755)
        yield Checkout(Path(made))


def build(made: BuildPlan) -> tuple[Done, str]:
    events = list(run_build(made))
    said = " ".join(event.diagnosis.cause for event in events if isinstance(event, Diagnosed))
    assert isinstance(events[-1], Done)
    return events[-1], said


def whole_toolchain(checkout: Checkout) -> None:
    """Let the project bring every program that a build can run."""
    found = find_toolchain()
    for name, real in (
        ("clang", found.clang.path),
        ("llc", found.llc.path),
        ("llvm-strip", found.strip.path),
    ):
        checkout.spy(f"tools/{name}", str(real))
    checkout.spy("tools/launcher", "env")
    checkout.toml('clang = "./tools/clang"\nlauncher = "./tools/launcher"')


# --- looking ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("owner", [0, pytest.param(NOBODY, marks=as_root)])
def test_looking_runs_nothing_that_the_files_name(checkout: Checkout, owner: int) -> None:
    whole_toolchain(checkout)
    if owner:
        checkout.belongs_to(owner)
    made = with_states(checkout.plan(looking=True))
    assert checkout.ran() == {}
    assert [target.state for target in made.targets] == ["missing"]
    assert made.held_back
    assert not made.ninja_text


@pytest.mark.parametrize("setting", ['clang = "mine"', 'clang = "clang-mine"', 'clang = "./tools/x"'])
def test_a_name_in_path_is_the_projects_choice_too(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, setting: str
) -> None:
    for name in ("mine", "clang-mine", "tools/x"):
        shutil.copy(checkout.spy(name, "clang"), tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    checkout.toml(setting)
    with_states(checkout.plan(looking=True))
    assert checkout.ran() == {}


def test_what_a_build_has_found_is_shown_afterwards(checkout: Checkout) -> None:
    whole_toolchain(checkout)
    done, said = build(checkout.plan())
    assert done.ok, said
    assert set(checkout.ran()) == {"clang", "llc", "llvm-strip", "launcher"}
    before = checkout.log.read_text()
    made = with_states(checkout.plan(looking=True))
    assert [target.state for target in made.targets] == ["fresh"]
    assert checkout.log.read_text() == before


@pytest.mark.parametrize("command", [["info"], ["doctor"], ["flags"], ["headers"], ["config", "show"]])
def test_no_command_that_looks_runs_what_lies_here(checkout: Checkout, command: list[str]) -> None:
    for name in PROGRAMS:
        checkout.spy(name, "true")
        checkout.spy(f"bin/{name}", "true")
    checkout.toml('clang = "./clang"\nlauncher = "./ccache"')
    search = f".::bin:./bin:{checkout.root}/bin:{checkout.root}:{os.environ['PATH']}"
    subprocess.run(
        [Path(sys.executable).with_name("ebpf-tui"), *command],
        cwd=checkout.root, env={**os.environ, "PATH": search}, stdin=subprocess.DEVNULL,
        capture_output=True, timeout=120, check=False,
    )  # fmt: skip
    assert checkout.ran() == {}


def test_path_is_without_the_project_and_without_relative_entries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "project/bin").mkdir(parents=True)
    (tmp_path / "link").symlink_to("project/bin")
    here = {"PATH": f".::bin:{tmp_path}/project/bin:{tmp_path}/link:{tmp_path}/other:/usr/bin"}
    assert search_path(here, tmp_path / "project") == f"{tmp_path}/other:/usr/bin"
    monkeypatch.chdir(tmp_path / "project")
    assert search_path(here).startswith(str(tmp_path))  # no project is here yet
    (tmp_path / "project/ebpf.toml").touch()
    assert search_path(here) == f"{tmp_path}/other:/usr/bin"
    assert search_path({"PATH": "/usr/bin:/opt/llvm/bin"}, Path("/")) == "/usr/bin:/opt/llvm/bin"
    assert search_path({"PATH": "/usr/bin:/usr/x"}, Path("/usr")) == "/usr/bin"


def test_no_list_of_directories_leads_into_the_working_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", ":lib:/opt/lib")
    monkeypatch.setenv("CPATH", ".")
    passed = environment(None)
    assert passed["LD_LIBRARY_PATH"] == "/opt/lib"
    assert "CPATH" not in passed


# --- whose it is -----------------------------------------------------------------------------------


def test_my_own_project_needs_no_confirmation(checkout: Checkout) -> None:
    assert judge(load_project(checkout.root)).may_build


@as_root
@pytest.mark.parametrize(
    "theirs", ["", "one.bpf.c", "ebpf.toml", "tools/clang", "tools", "include", "plugin.so"]
)
@pytest.mark.parametrize("how", ["owner", "mode"])
def test_what_somebody_else_can_change_must_be_confirmed(checkout: Checkout, theirs: str, how: str) -> None:
    whole_toolchain(checkout)
    (checkout.root / "include").mkdir()
    (checkout.root / "plugin.so").touch()
    checkout.toml(
        'clang = "./tools/clang"\ninclude = ["include"]',
        f'[object.one]\nsources = ["one.bpf.c"]\nflags = ["-fplugin={checkout.root}/plugin.so"]',
    )
    assert judge(load_project(checkout.root)).may_build
    path = checkout.root / theirs
    if how == "owner":
        os.chown(path, NOBODY, NOBODY)
    else:
        path.chmod(0o777)
    found = judge(load_project(checkout.root))
    assert not found.may_build
    assert str(path) in found.reason
    made = checkout.plan()
    assert not made.ninja_text
    done, said = build(made)
    assert not done.ok
    assert found.reason in said
    assert checkout.ran() == {}
    confirm(checkout.root)
    assert judge(load_project(checkout.root)).may_build
    confirm(checkout.root, remove=True)
    assert not judge(load_project(checkout.root)).may_build


@as_root
def test_a_parent_that_others_can_rename_in_counts(checkout: Checkout) -> None:
    checkout.root.parent.chmod(0o777)
    assert "writable by every user" in judge(load_project(checkout.root)).reason
    checkout.root.parent.chmod(0o1777)
    assert judge(load_project(checkout.root)).may_build
    os.chown(checkout.root.parent, NOBODY, NOBODY)
    assert "belongs to nobody" in judge(load_project(checkout.root)).reason


@as_root
def test_under_sudo_the_person_is_who_called_it(checkout: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_UID", str(NOBODY))
    monkeypatch.setenv("SUDO_GID", str(NOBODY))
    checkout.belongs_to(NOBODY)
    assert judge(load_project(checkout.root)).may_build
    checkout.belongs_to(DAEMON)
    found = judge(load_project(checkout.root))
    assert "belongs to daemon" in found.reason
    assert found.runs_as == "nobody"


@as_root
def test_a_list_that_others_could_have_written_confirms_nothing(checkout: Checkout) -> None:
    checkout.belongs_to(NOBODY)
    confirm(checkout.root)
    file = confirmed_file()
    assert str(checkout.root) in confirmed_directories()
    os.chown(file, NOBODY, NOBODY)
    assert not confirmed_directories()
    os.chown(file, 0, 0)
    file.chmod(0o666)
    assert not confirmed_directories()
    file.chmod(0o600)
    os.chown(file.parent, NOBODY, NOBODY)
    assert not confirmed_directories()
    with pytest.raises(ConfigError, match="belongs to nobody"):
        confirm(checkout.root)
    os.chown(file.parent, 0, 0)
    file.rename(file.with_name("other"))
    file.symlink_to("other")
    assert not confirmed_directories()


def test_confirmations_are_added_kept_and_taken_back(checkout: Checkout, tmp_path: Path) -> None:
    other = tmp_path / "other place"
    other.mkdir()
    confirm(checkout.root)
    confirm(other)
    (tmp_path / "link").symlink_to(other)
    confirm(tmp_path / "link")
    assert confirmed_directories() == {str(checkout.root), str(other)}
    confirm(checkout.root, remove=True)
    assert confirmed_directories() == {str(other)}
    with pytest.raises(ConfigError, match="not a directory"):
        confirm(tmp_path / "nowhere")
    (tmp_path / "a\nb").mkdir()
    with pytest.raises(ConfigError, match="line break"):
        confirm(tmp_path / "a\nb")


def test_what_runs_is_said_and_safe_to_show(checkout: Checkout) -> None:
    checkout.toml(
        'clang = "./cc"\nlauncher = "ccache"',
        '[object.one]\nsources = ["one.bpf.c"]\nflags = ["-fplugin=./x y.so", "@file", "\\u001b[2J"]\n',
    )
    text = "\n".join(what_runs(load_project(checkout.root)))
    assert f"clang: {checkout.root}/" in text
    assert "launcher: ccache" in text
    assert "'-fplugin=./x y.so' @file" in text
    assert "\x1b" not in text


def cli(checkout: Checkout, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [Path(sys.executable).with_name("ebpf-tui"), *args],
        cwd=checkout.root, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


@as_root
def test_build_says_in_one_line_how_to_confirm_and_then_builds(checkout: Checkout) -> None:
    whole_toolchain(checkout)
    checkout.belongs_to(NOBODY)
    refused = cli(checkout, "build")
    assert refused.returncode == 2
    assert refused.stderr.splitlines() == [
        f"ebpf-tui: {checkout.root} belongs to nobody, so nothing in it runs until you confirm it: "
        f"ebpf-tui config confirm {checkout.root}"
    ]
    assert checkout.ran() == {}
    assert not (checkout.root / "build").exists()
    confirmed = cli(checkout, "config", "confirm", str(checkout.root))
    assert confirmed.returncode == 0
    assert "a build runs as nobody: " in confirmed.stderr
    assert checkout.ran() == {}
    made = cli(checkout, "build")
    assert made.returncode == 0, made.stderr
    assert f"runs as nobody: {checkout.root}/ebpf.toml: clang: {checkout.root}" in made.stderr
    assert cli(checkout, "config", "confirm", "--remove").returncode == 0
    assert cli(checkout, "build").returncode == 2


# --- as whom ---------------------------------------------------------------------------------------


@as_root
@pytest.mark.parametrize("sudo", [True, False])
def test_every_child_runs_as_the_person_or_the_checkouts_owner(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch, sudo: bool
) -> None:
    """Each program of a build writes down who it is: the line that says so cannot be taken away."""
    whole_toolchain(checkout)
    real = Path(ninja.BIN_DIR, "ninja")
    checkout.spy("tools/ninja", str(real))
    (checkout.root / "tools/launcher").write_text(
        f'#!/bin/sh\necho "$0 $(id -u)" >> {checkout.log}\n'
        f"env > {checkout.root}/env\nid -G > {checkout.root}/groups\n"
        'exec "$@"\n'
    )
    monkeypatch.setattr(ninja, "BIN_DIR", str(checkout.root / "tools"))
    monkeypatch.setenv("SECRET_TOKEN", "xyzzy")
    checkout.belongs_to(NOBODY)
    if sudo:
        monkeypatch.setenv("SUDO_UID", str(NOBODY))
        monkeypatch.setenv("SUDO_GID", str(NOBODY))
    else:
        confirm(checkout.root)
    done, said = build(checkout.plan())
    assert done.ok, said
    with_states(checkout.plan(looking=True))
    assert checkout.ran() == {
        name: {str(NOBODY)} for name in ("clang", "llc", "llvm-strip", "launcher", "ninja")
    }
    made = [checkout.root / "build", *(checkout.root / "build").rglob("*")]
    assert {path.lstat().st_uid for path in made} == {NOBODY}
    assert (checkout.root / "groups").read_text().split() == [str(NOBODY)]
    assert ("xyzzy" in (checkout.root / "env").read_text()) is sudo


@as_root
def test_the_owner_of_the_directory_builds_it(checkout: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    assert builder_of(checkout.root) is None
    checkout.belongs_to(NOBODY)
    found = builder_of(checkout.root)
    assert found is not None
    assert (found.uid, found.foreign) == (NOBODY, True)
    monkeypatch.setenv("SUDO_UID", str(DAEMON))
    monkeypatch.setenv("SUDO_GID", str(DAEMON))
    found = builder_of(checkout.root)
    assert found is not None
    assert (found.uid, found.foreign) == (DAEMON, False)


STARTS = ("subprocess.", "os.exec", "os.spawn", "os.posix_spawn", "os.system", "os.popen")
OURSELVES = {
    "core/bpf/code.py": "a disassembler of the system's own directories gets bytes of the kernel",
    "buildgen/objects/bounded_run.py": "each caller says as whom; the checker needs our rights",
    "core/containers/user_process.py": "runs our own code, which takes the rights of a user before it reads",
    "core/sources/reader_process.py": "runs our own code, which reads /proc with our rights",
    "tui/web/tab.py": "runs our own code only",
}


def test_no_child_is_started_without_an_identity() -> None:
    """Whoever starts a program says as whom, with `**identity(...)`."""
    without = []
    for file in (path for room in ("core", "buildgen", "tui") for path in (ROOT / room).rglob("*.py")):
        name = str(file.relative_to(ROOT))
        for node in ast.walk(ast.parse(file.read_text())):
            if not isinstance(node, ast.Call) or name in OURSELVES:
                continue
            called = ast.unparse(node.func)
            if called.startswith(STARTS):
                as_whom = [ast.unparse(key.value) for key in node.keywords if key.arg is None]
                if (
                    not any(one.startswith("identity(") for one in as_whom)
                    and called != "subprocess.TimeoutExpired"
                ):
                    without.append(f"{name}:{node.lineno} {called}")
    assert without == []
