"""The program under every Python of this machine: what is installed, drawn, printed and recorded there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.every_screen import open_every_screen
from tests.places import ROOT, SHOP
from tests.pythons import EnvironmentNotMade, Python, environment, find_pythons

REWRITE = """
import pathlib, sys
from core.sources.recording.file import Writer, read
writer = Writer(pathlib.Path(sys.argv[2]))
for message in read(pathlib.Path(sys.argv[1])):
    writer.write(message)
writer.close()
"""
PYTHONS = find_pythons()


@pytest.fixture(scope="module", params=PYTHONS, ids=lambda python: f"{python.name} of {python.prefix}")
def python(request: pytest.FixtureRequest) -> str:
    """The interpreter of an environment that was made from this checkout."""
    wanted: Python = request.param
    try:
        return str(environment(wanted))
    except EnvironmentNotMade as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"no environment with Python {wanted.name}: {error}")


def run(python: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [python, "-W", "always::DeprecationWarning", "-m", "tui.cli.main", *arguments],
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_there_is_a_python_that_is_newer_than_the_oldest() -> None:
    """From 3.12 on tasks start eagerly, so that screens that open with 3.11 prove little."""
    if not any(python.version >= (3, 12) for python in PYTHONS):
        assert os.environ.get("CI") != "true", "CI needs a Python that is newer than 3.11"
        pytest.skip("no Python that is newer than 3.11 here")


@pytest.mark.timeout(600)
def test_every_screen_opens(python: str, tmp_path: Path) -> None:
    open_every_screen([python, "-m", "tui.cli.main"], tmp_path)


@pytest.mark.parametrize("command", [["ps"], ["doctor"], ["headers"], ["info"]], ids=" ".join)
def test_the_command_line_prints_json_and_nothing_of_it_is_deprecated(
    python: str, command: list[str], tmp_path: Path
) -> None:
    done = run(python, *command, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["schema"].startswith("ebpf-tui/")
    assert str(ROOT) not in done.stderr, done.stderr


@pytest.fixture(scope="module")
def replayed() -> dict[str, object]:
    """What the Python of the tests makes of the recording."""
    recorded: dict[str, object] = json.loads(
        run(sys.executable, "replay", str(SHOP), "--json", cwd=ROOT).stdout
    )
    return recorded


def test_recordings_are_the_same_to_every_python(
    python: str, replayed: dict[str, object], tmp_path: Path
) -> None:
    """The one in the repository, and what this Python writes, which the Python of the tests reads."""
    theirs = run(python, "replay", str(SHOP), "--json", cwd=tmp_path)
    assert theirs.returncode == 0, theirs.stderr
    assert json.loads(theirs.stdout) == replayed

    subprocess.run([python, "-c", REWRITE, str(SHOP), "made.rec"], cwd=tmp_path, timeout=100, check=True)
    read = run(sys.executable, "replay", "made.rec", "--json", cwd=tmp_path)
    assert read.returncode == 0, read.stderr
    assert json.loads(read.stdout)["processes"] == replayed["processes"]
