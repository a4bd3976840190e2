"""The Pythons of this machine that the program is for, each with an environment of this checkout.

`python -m tests.pythons` makes the environments (so does set-up); a test makes the one that it lacks. They
are kept in build/pythons until pyproject.toml changes.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.places import ROOT

OLDEST = (3, 11)
_NAME = re.compile(r"python3\.\d+")
_ASK = """
import json, sys
print(json.dumps([sys.implementation.name, sys.version_info[:3], sys.base_prefix]))
"""


class EnvironmentNotMade(Exception):
    """An environment could not be made; what pip or venv said."""


@dataclass(frozen=True, slots=True, order=True)
class Python:
    """One installation, which the executable of an environment stands for as well as its own."""

    version: tuple[int, int, int]
    prefix: Path

    @property
    def name(self) -> str:
        return ".".join(map(str, self.version))

    @property
    def executable(self) -> Path:
        return self.prefix / "bin" / f"python{self.version[0]}.{self.version[1]}"


def find_pythons() -> list[Python]:
    """Return every CPython from 3.11 on: of PATH, of Debian, of pyenv and of uv; the oldest first."""
    pythons = {python for candidate in _candidates() if (python := _ask(candidate)) is not None}
    return sorted(python for python in pythons if python.version[:2] >= OLDEST)


def _candidates() -> Iterator[Path]:
    yield Path(sys.executable)
    for folder in [*os.get_exec_path(), "/usr/bin", "/usr/local/bin"]:
        yield from (path for path in Path(folder).glob("python3.*") if _NAME.fullmatch(path.name))
    for versions in (Path.home() / ".pyenv/versions", Path.home() / ".local/share/uv/python"):
        yield from versions.glob("*/bin/python3")


def _ask(executable: Path) -> Python | None:
    """Ask an executable what it is. None: it does not run (a shim of pyenv), or is another implementation."""
    command = [str(executable), "-I", "-c", _ASK]
    try:
        answer = subprocess.run(command, capture_output=True, timeout=30, check=True).stdout
        implementation, version, prefix = json.loads(answer)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    python = Python((version[0], version[1], version[2]), Path(prefix).resolve())
    return python if implementation == "cpython" and python.executable.exists() else None


def environment(python: Python) -> Path:
    """Return the interpreter of an environment of this Python in which the checkout is installed, editable.

    Raises EnvironmentNotMade (no network, for one).
    """
    if python.prefix == Path(sys.base_prefix).resolve():
        return Path(sys.executable)
    recipe = (ROOT / "pyproject.toml").read_bytes() + f"{python.name} {python.prefix} {ROOT}".encode()
    place = _folder() / f"{python.name}-{hashlib.sha256(recipe).hexdigest()[:12]}"
    with _alone(_folder() / f"{python.name}.lock"):
        if not (place / "whole").exists():
            for older in _folder().glob(f"{python.name}-*"):
                shutil.rmtree(older)
            _run(python.executable, "-m", "venv", "--without-pip", place)
            # pip of ours: an installation of Debian has none without its package python3-venv.
            pip: list[str | Path] = [
                sys.executable,
                "-m",
                "pip",
                "--python",
                place / "bin/python",
                "--no-input",
            ]
            _run(*pip, "install", "--quiet", "--editable", ROOT, *_pins())
            (place / "whole").touch()
    return place / "bin/python"


def _folder() -> Path:
    """Return where the environments are; not in a checkout whose owner could not remove them again."""
    foreign = os.geteuid() == 0 and ROOT.stat().st_uid != 0
    folder = Path("/root/.cache/ebpf-tui/pythons") if foreign else ROOT / "build/pythons"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _pins() -> list[str]:
    """Return the versions that the tests are pinned to, of what the program itself needs."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    needed = {re.split(r"[\s\[<>=!;~]", line, maxsplit=1)[0] for line in project["project"]["dependencies"]}
    return [pin for pin in project["dependency-groups"]["test"] if pin.partition("==")[0] in needed]


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _run(*command: str | Path) -> None:
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False
    )
    if done.returncode:
        raise EnvironmentNotMade(f"{command[0]}: {done.stderr[-2000:].strip()}")


def main() -> int:
    """Make the environments that are missing, two at a time; return 1 where one fails and this is CI."""
    failed = False
    with ThreadPoolExecutor(2) as pool:
        for python, made in [(python, pool.submit(environment, python)) for python in find_pythons()]:
            try:
                made.result()
            except EnvironmentNotMade as error:
                failed = True
                print(f"Python {python.name}: no environment: {error}", file=sys.stderr)
    return int(failed and os.environ.get("CI") == "true")


if __name__ == "__main__":
    sys.exit(main())
