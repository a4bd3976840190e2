"""The rooms and floors: no circle, no arrow up, and a page that shows what is there."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from types import ModuleType

import pytest

from tests.places import ROOT


@pytest.fixture(scope="module")
def architecture() -> ModuleType:
    specification = importlib.util.spec_from_file_location("architecture", ROOT / "tools/architecture.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules["architecture"] = module
    specification.loader.exec_module(module)
    return module


def test_there_is_no_circle_and_no_arrow_up() -> None:
    done = subprocess.run(
        [sys.executable, "tools/architecture.py"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(", 0 circles, 0 arrows up") == 3


def test_a_circle_and_an_arrow_up_are_seen(architecture: ModuleType) -> None:
    arrows = {"a": frozenset("b"), "b": frozenset("c"), "c": frozenset("b"), "d": frozenset("a")}
    graph = architecture.Graph("p", arrows, {"a": 1, "d": 2})
    assert graph.circles == [["b", "c"]]
    assert list(graph.upward) == [("d", "a")]
    assert graph.floors == [["d"], ["a"], ["b", "c"]]


def test_the_page_shows_the_floors_of_today(architecture: ModuleType) -> None:
    page = architecture.page_with(architecture.graphs())
    assert (ROOT / "docs/architecture.md").read_text() == page, "run python tools/architecture.py --page"
