"""The latest builds of a target, one per line, each with its difference from the build before."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from buildgen.session.history import Built
from tui.widgets import format as fmt
from tui.widgets.list_pane import Cell, Line, cells


def past_builds(history: Sequence[Built]) -> Iterator[Line]:
    """Yield the lines, the latest build first; no lines if there is no build."""
    if not history:
        return
    yield []
    yield [Cell("builds ", "title"), Cell(str(len(history)), "dim")]
    earlier: list[Built | None] = [None, *history]
    for before, build in reversed(list(zip(earlier, history, strict=False))):
        size, insns = "", ""
        if before is not None:
            size = "" if before.size == build.size else f"{build.size - before.size:+} B"
            counted = before.insns is not None and build.insns is not None
            insns = f"{build.insns - before.insns:+}" if counted and build.insns != before.insns else ""  # type: ignore[operator]
        count = "–" if build.insns is None else f"{fmt.count(build.insns)} insns"
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(build.at))
        same = before is not None and not size and not insns
        yield [
            *cells((when, 20, "dim"), (f"{build.seconds:.2f}s", -8), (fmt.size(build.size), -7)),
            *cells(("same", -9, "dim") if same else (size, -9, "key"), (count, -13), (insns, -7, "key")),
        ]
