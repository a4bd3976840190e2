"""The wheel, installed into an environment of its own and started from another directory."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import select
import shutil
import struct
import subprocess
import sys
import sysconfig
import termios
import time
import zipfile
from pathlib import Path

import pytest

from tests.places import ROOT

PACKAGES = ("tui", "core", "buildgen")
BESIDE = ("pyproject.toml", "README.md", "LICENSE", ".gitignore")


def run(*command: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=110, check=True
    )


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what makes the wheel: building writes into the directory it builds from."""
    copy = tmp_path_factory.mktemp("source")
    for name in PACKAGES:
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in BESIDE:
        shutil.copy(ROOT / name, copy)
    return copy


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build it as `pip install .` does, with the build backend that is here already."""
    out = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", "-q", "--no-build-isolation", "--no-deps", "-w", out, source)
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def program(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install it without its dependencies, which are lent by the environment that runs the tests."""
    environment = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", "--without-pip", environment)
    python = environment / "bin/python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps", "--no-index", wheel)
    (packages,) = environment.glob("lib/python*/site-packages")
    # Behind the environment's own packages; .pth files in there (editable installs) are not read.
    (packages / "lent.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return environment / "bin/ebpf-tui"


def test_the_wheel_carries_what_the_program_reads(source: Path, wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        probe = archive.read("core/probe/process.bpf.o")
    files = {
        path.relative_to(source).as_posix()
        for package in PACKAGES
        for path in (source / package).rglob("*")
        if path.is_file()
    }
    inside = {name for name in names if not name.split("/")[0].endswith(".dist-info")}
    assert inside == files
    assert {Path(name).suffix for name in inside} >= {".py", ".c", ".h", ".o"}
    assert probe == (ROOT / "core/probe/process.bpf.o").read_bytes()


def test_it_starts_from_any_directory(program: Path, tmp_path: Path) -> None:
    assert run(program, "--version", cwd=tmp_path).stdout.startswith("ebpf-tui, version ")
    assert "doctor" in run(program, "--help", cwd=tmp_path).stdout


def test_what_runs_is_what_was_installed(program: Path, tmp_path: Path) -> None:
    """The shipped probe of the installed package, not the one of the checkout beside it."""
    checks = json.loads(run(program, "doctor", "--json", cwd=tmp_path).stdout)["checks"]
    shipped = next(check for check in checks if check["name"] == "probe-object")
    assert shipped["ok"]
    assert shipped["detail"].startswith(str(program.parents[1]))


def test_the_screens_open_and_close(program: Path, tmp_path: Path) -> None:
    """In a terminal of 120x34: styles, screens and widgets are found when installed, `q` ends it with 0."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 34, 120, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color"}
    screens = subprocess.Popen(
        [program],
        cwd=tmp_path,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment,
        start_new_session=True,
    )
    os.close(theirs)
    try:
        drawn = read_until(ours, b"SOURCE", 30)
        assert b"SOURCE" in drawn
        os.write(ours, b"q")
        read_until(ours, None, 20)
        assert screens.wait(20) == 0
    finally:
        screens.kill()
        screens.wait()
        os.close(ours)


def read_until(terminal: int, wanted: bytes | None, seconds: float) -> bytes:
    """Read what is drawn until `wanted` was seen, the other side hangs up, or time is over."""
    drawn = b""
    until = time.monotonic() + seconds
    while (wanted is None or wanted not in drawn) and time.monotonic() < until:
        if select.select([terminal], [], [], 0.2)[0]:
            chunk = b""
            with contextlib.suppress(OSError):  # EIO: the other side is closed
                chunk = os.read(terminal, 65536)
            if not chunk:
                break
            drawn += chunk
    return drawn
