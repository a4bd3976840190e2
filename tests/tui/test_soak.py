"""A session under fork load does not grow: the soak of benchmarks/soak.py, shortened."""

from __future__ import annotations

import pytest

from benchmarks.soak import soak


@pytest.mark.slow
def test_memory_is_flat_after_warming_up() -> None:
    taken = soak(30, samples=15)
    warm = taken[len(taken) // 3][1]
    assert len(taken) > 10
    assert taken[-1][1] - warm < 8 << 20, taken
