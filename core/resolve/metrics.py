"""Counters of the resolver, named as people see them: `hits cache`, `miss`, `added event`, …"""

from __future__ import annotations

from collections import defaultdict


class Stats:
    """Counts what happened, by whole names: `count("hits cache")`.

    `counters` is for what is counted with every event: `counters["hits cache"] += 1` needs no call.
    """

    __slots__ = ("counters",)

    def __init__(self) -> None:
        self.counters: defaultdict[str, int] = defaultdict(int)

    def count(self, name: str, by: int = 1) -> None:
        self.counters[name] += by

    def get(self, name: str) -> int:
        return self.counters.get(name, 0)

    def snapshot(self) -> tuple[tuple[str, int], ...]:
        """Return all counters that are not zero, by name."""
        return tuple(sorted(self.counters.items()))
