"""What tests share: the real probe where it can be loaded, real little programs, and clean settings."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.probe.loader import Probe
from tests.loaded_probe import load_probe
from tests.needs import lacks, needs
from tests.places import ROOT

HOST = (
    "tests/core/bpf/",
    "tests/core/containers/test_containers_cli.py",
    "tests/core/containers/test_containers_real.py",
    "tests/core/containers/test_containers_watched.py",
    "tests/core/containers/test_freezer.py",
    "tests/core/containers/test_rootless.py",
    "tests/core/containers/test_runtime_sockets.py",
    "tests/core/containers/test_user_states.py",
    "tests/core/probe/",
    "tests/core/resolve/test_audit.py",
    "tests/core/resolve/test_follow.py",
    "tests/core/resolve/test_scenarios.py",
    "tests/core/session/",
    "tests/core/sources/",
    "tests/core/system/test_users.py",
    "tests/core/test_",
    "tests/tui/cli/",
    "tests/tui/web/",
    "tests/test_install.py",
    "tests/test_interpreters.py",
    "tests/test_plain_run.py",
    "tests/test_pythons.py",
    "tests/test_setup.py",
)
"""Tests that look at the whole host, load probes into it or start daemons: one after the other."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With `--dist loadgroup` one worker takes all that disturb each other, the others take the rest."""
    for item in items:
        if item.nodeid.startswith(HOST):
            item.add_marker(pytest.mark.xdist_group("host"))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """`@pytest.mark.needs("bpftool")`: see tests/needs.py."""
    for mark in item.iter_markers("needs"):
        needs(*mark.args)


SCENARIOS = ROOT / "tests/scenarios"


@pytest.fixture
def probe() -> Iterator[Probe]:
    """The real probe, loaded and attached. `skipped: why` where this host does not allow it."""
    loaded = load_probe()
    yield loaded
    loaded.close()


@pytest.fixture(scope="session")
def scenario(tmp_path_factory: pytest.TempPathFactory) -> object:
    """Return a function that compiles tests/scenarios/NAME.c and returns the program's path."""
    compiler = shutil.which("cc") or shutil.which("clang")
    folder = tmp_path_factory.mktemp("scenarios")

    def build(name: str) -> Path:
        if compiler is None:
            lacks("a C compiler")
        program = folder / name
        if not program.exists():
            source = SCENARIOS / f"{name}.c"
            subprocess.run([compiler, "-O1", "-pthread", "-o", program, source], check=True)
        return program

    return build


@pytest.fixture
def as_root() -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root")
