"""How the screens look, compared with accepted pictures; `make snapshots` accepts new ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.tui.pictures import PICTURES

SIZES = [(60, 20), (80, 24), (120, 34), (200, 50)]
EVERY_SIZE = (
    "processes",
    "explain",
    "explain-container",
    "filter",
    "parents",
    "search",
    "folded",
    "rewind",
    "pods",
    "procfs-only",
    "build-failed",
    "headers",
    "resolver",
    "objects-tree",
)
CASES = [
    (name, size)
    for name, picture in PICTURES.items()
    if picture.own_data
    for size in SIZES
    if name in EVERY_SIZE or size == (80, 24)
]


@pytest.mark.parametrize(("name", "size"), CASES, ids=[f"{name}-{w}x{h}" for name, (w, h) in CASES])
def test_picture(name: str, size: tuple[int, int], snap_compare: Callable[..., Any]) -> None:
    picture = PICTURES[name]
    assert snap_compare(picture.app(), terminal_size=size, run_before=picture.prepare)
