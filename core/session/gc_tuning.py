"""The garbage collector, told that ten thousand processes are not garbage.

What the layers pass on holds no cycles (gc=False); what does, processes and nodes, lives long and comes back
by reference counting mostly. Left alone, the collector walks all of it again and again: a fifth of the time
of an event, and pauses of many milliseconds for whoever presses a key meanwhile.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_YOUNG, _MIDDLE, _OLD = 2_000, 5, 5
"""Objects made, less those freed, between two looks at the youngest; looks for each one at the next.
Rarer ones save little more: the screens leave cycles behind, 10 MB of them with (2_000, 10, 10)."""


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
