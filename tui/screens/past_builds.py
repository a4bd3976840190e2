"""The latest builds of a target, one a line, each with what it changed to the one before."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from buildgen.session.history import Built
from tui.widgets import format as fmt
from tui.widgets.list_pane import Cell, Line, cells


def past_builds(history: Sequence[Built]) -> Iterator[Line]:
    """Yield the lines, the latest build first; none when it was never built."""
    if not history:
        return
    yield []
    yield [Cell("builds ", "title"), Cell(str(len(history)), "dim")]
    befores: list[Built | None] = [None, *history]
    for before, one in reversed(list(zip(befores, history, strict=False))):
        size, insns = "", ""
        if before is not None:
            size = "" if before.size == one.size else f"{one.size - before.size:+} B"
            known = before.insns is not None and one.insns is not None
            insns = f"{one.insns - before.insns:+}" if known and one.insns != before.insns else ""  # type: ignore[operator]
        count = "–" if one.insns is None else f"{fmt.count(one.insns)} insns"
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(one.at))
        same = before is not None and not size and not insns
        yield [
            *cells((when, 20, "dim"), (f"{one.seconds:.2f}s", -8), (fmt.size(one.size), -7)),
            *cells(("same", -9, "dim") if same else (size, -9, "key"), (count, -13), (insns, -7, "key")),
        ]
