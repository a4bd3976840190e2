"""The garbage collector, told that ten thousand processes are not garbage.

What the layers pass on holds no cycles (gc=False); what does, processes and nodes, lives long and comes back
by reference counting mostly. Left alone, the collector walks all of it again and again: a fifth of the time
of an event, and pauses of many milliseconds for whoever presses a key meanwhile.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_YOUNG = 10_000
"""Objects made, less those freed, between two looks at the youngest: some 0.3 ms each."""

_MIDDLE, _OLD = 20, 50
"""How many looks make one at the middle generation, and how many of these one at the oldest."""


@contextmanager
def filling() -> Iterator[None]:
    """While a cache is filled nothing is collected; what is there at the end is never walked again."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.set_threshold(_YOUNG, _MIDDLE, _OLD)
        if was_on:
            gc.enable()
