"""Each other Python that this program starts takes code from where the program is installed, nowhere else."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.system.interpreter import NEUTRAL, python, python_module
from tests.places import ROOT

ROOMS = ("core", "buildgen", "tui", "tools", "benchmarks")
HELPER = ROOT / "core/system/interpreter.py"
STARTERS = {"multiprocessing", "runpy", "concurrent.futures.process"}
"""Modules that start interpreters in ways of their own, or run code by name."""


def offences(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield (line, what) of each place that may start an interpreter without the helper."""
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id="sys"), attr="executable" | "_base_executable"):
                yield node.lineno, "sys.executable"
            case ast.ImportFrom(module="sys", names=names) if any(n.name == "executable" for n in names):
                yield node.lineno, "sys.executable"
            case ast.Import(names=names) if any(n.name in STARTERS for n in names):
                yield node.lineno, "a module that starts interpreters"
            case ast.ImportFrom(module=str(module)) if module in STARTERS:
                yield node.lineno, "a module that starts interpreters"
            case ast.ImportFrom(names=names) if any(n.name == "ProcessPoolExecutor" for n in names):
                yield node.lineno, "ProcessPoolExecutor"
            case (
                ast.List(elts=[ast.Constant(value=str(word)), *_])
                | ast.Tuple(elts=[ast.Constant(value=str(word)), *_])
            ) if word.rpartition("/")[2].startswith("python"):
                yield node.lineno, f"the command {word}"


def test_no_interpreter_is_started_without_the_helper() -> None:
    files = [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py")) if path != HELPER]
    assert len(files) > 150
    found = [
        f"{path.relative_to(ROOT)}:{line}: {what}"
        for path in files
        for line, what in offences(ast.parse(path.read_bytes()))
    ]
    assert found == []


@pytest.mark.parametrize(
    "code",
    [
        "import sys; run([sys.executable, '-m', 'x'])",
        "from sys import executable",
        "import multiprocessing",
        "from concurrent.futures import ProcessPoolExecutor",
        "run(['python3', '-m', 'x'])",
        "run(('/usr/bin/python3.12', 'x.py'))",
    ],
)
def test_the_walk_sees(code: str) -> None:
    assert list(offences(ast.parse(code)))


@pytest.fixture
def hostile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory whose modules leave a mark, and an environment that leads there."""
    for name in ("json", "ctypes", "runpy", "sitecustomize", "usercustomize", "core", "msgspec", "startup"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'OWNED')!r}, 'a').write('{name} ')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f":{tmp_path}:.")
    monkeypatch.setenv("PYTHONSTARTUP", str(tmp_path / "startup.py"))
    return tmp_path


@pytest.mark.parametrize(
    "command",
    [
        python("-c", "import json, ctypes, core.text.safe, msgspec"),
        python_module("core.system.interpreter"),
        python_module("tui.web.tab_process", "{}"),
        python_module("tui.cli.main", "--version"),
        python_module("buildgen.verifier.child", "/nonexistent", "0"),
    ],
    ids=lambda command: command[-2],
)
def test_nothing_comes_from_the_directory_or_the_environment(hostile: Path, command: list[str]) -> None:
    subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=60)
    assert not (hostile / "OWNED").exists(), (hostile / "OWNED").read_text()


def test_a_checkout_that_is_not_installed_finds_its_own_modules(tmp_path: Path) -> None:
    system = shutil.which("python3", path="/usr/bin")
    if (
        system is None
        or not subprocess.run(
            [system, "-I", "-c", "import core"], capture_output=True, check=False
        ).returncode
    ):
        pytest.skip("no Python here that lacks this program")
    (tmp_path / "core/system").mkdir(parents=True)
    for name in ("core/__init__.py", "core/system/__init__.py", "core/system/interpreter.py"):
        (tmp_path / name).write_text((ROOT / name).read_text())
    (tmp_path / "core/here.py").write_text("import sys; print(__file__, *sys.argv[1:])")
    code = "import sys; sys.path.insert(0, sys.argv[1]); from core.system.interpreter import *\n"
    code += "import subprocess; "
    code += "subprocess.run(python_module('core.here', 'one', 'two'), cwd=NEUTRAL, check=True)"
    here = [system, "-I", "-c", code, str(tmp_path)]
    ran = subprocess.run(here, capture_output=True, text=True, check=True)
    assert ran.stdout.split() == [str(tmp_path / "core/here.py"), "one", "two"]


def test_root_leaves_no_bytecode_where_it_is_told_not_to(monkeypatch: pytest.MonkeyPatch) -> None:
    code = "from core.system.interpreter import python; print(*python())"
    for value, flag in (("1", True), ("", False)):
        env = {**os.environ, "PYTHONDONTWRITEBYTECODE": value}
        ran = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, check=True
        )
        assert ("-B" in ran.stdout.split()) is flag


def test_the_neutral_directory_is_no_strangers() -> None:
    assert NEUTRAL.stat().st_uid == 0
    assert not NEUTRAL.stat().st_mode & 0o022


def test_verify_in_a_hostile_directory(hostile: Path) -> None:
    """The installed program, as root, asked for an object that is its own."""
    probe = ROOT / "core/probe/process.bpf.o"
    ebpf_tui = Path(sys.executable).with_name("ebpf-tui")
    if not ebpf_tui.exists():
        pytest.skip("the program is not installed beside this interpreter")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    ran = subprocess.run(
        [ebpf_tui, "verify", probe], env=environment, capture_output=True, text=True, check=False, timeout=110
    )
    assert ran.returncode in (0, 1, 3), ran.stderr
    assert not (hostile / "OWNED").exists(), (hostile / "OWNED").read_text()
