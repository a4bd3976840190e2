"""The threat model names a test for every row, and each of them exists."""

from __future__ import annotations

import ast
import re
from functools import cache

from tests.places import ROOT

PAGE = ROOT / "docs/threat-model.md"
ROW = re.compile(r"^\| .* \|$", re.MULTILINE)
PATH = re.compile(r"`(tests/[\w/]+)(\.py)?(?:::(\w+))?`")


@cache
def named_in(file: str) -> set[str]:
    tree = ast.parse((ROOT / file).read_text())
    return {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    }


def test_every_test_that_the_page_names_exists() -> None:
    named = PATH.findall(PAGE.read_text())
    assert len(named) > 30
    for path, suffix, name in named:
        assert (ROOT / f"{path}{suffix}").exists(), f"{path}{suffix} is named, and does not exist"
        assert not name or name in named_in(f"{path}{suffix}"), f"{path}{suffix} has no {name}"


def test_every_row_names_a_test() -> None:
    rows = [row for row in ROW.findall(PAGE.read_text()) if not set(row) <= set("|-: ")]
    assert rows
    for row in rows:
        assert row.startswith("| what they feed") or PATH.search(row), f"no test is named: {row}"
