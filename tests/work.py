"""How the work of a function grows with its input: by CPU time of its own thread, as a ratio."""

from __future__ import annotations

import time
from collections.abc import Callable

TIMES = 8
"""How much larger the larger input is. Linear work is 8 times as much, quadratic 64 times."""

LINEAR = 24
"""What still counts as linear: caches and the machine's other work are in it."""


def growth(work: Callable[[bytes], object], small: bytes, large: bytes) -> float:
    """Return how many times as long `large` takes as `small`, each at its best of several."""
    return _least(work, large, 2) / max(_least(work, small, 4), 50_000)


def _least(work: Callable[[bytes], object], given: bytes, tries: int) -> int:
    least = 1 << 62
    for _ in range(tries):
        began = time.thread_time_ns()
        work(given)
        least = min(least, time.thread_time_ns() - began)
        if least > 2_000_000_000:  # long enough to be wrong
            break
    return least
