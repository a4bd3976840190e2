"""Every counter has a meaning, and nothing is counted under another name."""

from __future__ import annotations

import ast

from core.model.counters import Counter
from tests.places import ROOT


def test_every_counter_says_what_it_means() -> None:
    for counter in Counter:
        assert counter.meaning, counter
    assert len({counter.meaning for counter in Counter}) == len(Counter)


def test_every_counter_is_counted_somewhere() -> None:
    used: set[str] = set()
    for path in (ROOT / "core").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Attribute)
                and isinstance(node.value, ast.Name)
                and node.value.id == "Counter"
            ):
                used.add(node.attr)
    made = {f"ADDED_{origin}" for origin in ("EVENT", "SNAPSHOT", "MAPS", "PROCFS")}  # by the entry's origin
    assert used | made >= {counter.name for counter in Counter}
