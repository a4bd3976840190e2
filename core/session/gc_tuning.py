"""Settings of Python's garbage collector for ten thousand long-lived processes.

Records between layers hold no cycles (gc=False). Processes and nodes do, but they live long and are mostly
freed by reference counting. With the default settings the collector walks all of them repeatedly: a fifth
of the time of each event, and pauses of many milliseconds that delay a pressed key.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_YOUNG, _MIDDLE, _OLD = 2_000, 5, 5
"""Thresholds for gc.set_threshold: net allocations per collection of the youngest generation, then
collections of each generation per collection of the next. Higher values save little more time, and the
screens leave cycles behind: 10 MB of them with (2_000, 10, 10)."""


@contextmanager
def filling() -> Iterator[None]:
    """Collect nothing while a cache is filled; objects that exist at the end are never walked again."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.set_threshold(_YOUNG, _MIDDLE, _OLD)
        if was_on:
            gc.enable()
