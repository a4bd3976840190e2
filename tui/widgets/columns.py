"""The columns of the process tree: which ones are shown at which width, and their contents."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from core.model.view import Grouping, Row
from tui.widgets import format as fmt

_TREE_WANTS = 30
"""Cells reserved for the TREE column before a less important column is added."""

_NARROW = 44
"""Below this width SOURCE shows only the tier; always as a word, never as a letter."""


@dataclass(frozen=True, slots=True)
class Column:
    """`text` receives the row and its formatted age. `numeric` columns are filled in group rows too.

    `name` is its name in the user's configuration; `width` is in cells.
    """

    name: str
    title: str
    width: int
    text: Callable[[Row, str], str]
    right: bool = False
    numeric: bool = False


SOURCE = Column("source", "SOURCE", 14, lambda row, _: row.source)
TIER = Column("source", "SOURCE", 6, lambda row, _: row.source.partition("‹")[0])
PID = Column("pid", "PID", 7, lambda row, _: str(row.pid), right=True)
USER = Column("user", "USER", 8, lambda row, _: row.user)
STATE = Column("state", "S", 1, lambda row, _: row.state)
THREADS = Column("threads", "THR", 4, lambda row, _: str(row.threads or "–"), right=True)
TTY = Column("tty", "TTY", 6, lambda row, _: row.tty)
CPU = Column("cpu", "CPU%", 5, lambda row, _: fmt.percent(row.cpu_percent), right=True, numeric=True)
RSS = Column("memory", "RSS", 5, lambda row, _: fmt.size(row.rss_bytes), right=True, numeric=True)
AGE = Column("age", "AGE", 4, lambda _, age: age, right=True, numeric=True)
CONTAINER = Column("container", "CONTAINER", 14, lambda row, _: row.container)

_ORDER = (SOURCE, TIER, PID, USER, STATE, THREADS, TTY, CPU, RSS, AGE, CONTAINER)
"""From left to right."""

_PRIORITY = (PID, CPU, USER, RSS, AGE, CONTAINER, STATE, THREADS, TTY)
"""The order in which columns are added as the width allows, after SOURCE."""


@lru_cache(maxsize=64)
def columns_for(width: int, grouping: Grouping, wanted: tuple[str, ...] = ()) -> tuple[Column, ...]:
    """Return the columns left of TREE that fit `width`, in screen order, out of `wanted` (empty: all)."""
    source = TIER if width < _NARROW else SOURCE
    chosen = {source}
    wants = min(_TREE_WANTS, width // 2)
    left = width - 1 - (source.width + 1)
    for column in _PRIORITY:
        if wanted and column.name not in wanted:
            continue
        if column is CONTAINER and grouping is Grouping.CONTAINERS and not wanted:
            continue
        if left - (column.width + 1) < wants:
            if column is USER:  # measurements matter more than the user
                continue
            break
        chosen.add(column)
        left -= column.width + 1
    return tuple(column for column in _ORDER if column in chosen)
