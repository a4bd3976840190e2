"""The values of the counters that core/model/counters.py lists."""

from __future__ import annotations

from collections import defaultdict

from core.model.counters import Counter


class Counters:
    """Counter values by name. Code that runs for every event increments `counters` directly."""

    __slots__ = ("counters",)

    def __init__(self) -> None:
        self.counters: defaultdict[Counter, int] = defaultdict(int)

    def count(self, name: Counter, by: int = 1) -> None:
        self.counters[name] += by

    def get(self, name: Counter) -> int:
        return self.counters.get(name, 0)

    def snapshot(self) -> tuple[tuple[Counter, int], ...]:
        """Return all counters that are not zero, sorted by name."""
        return tuple(sorted(self.counters.items()))
