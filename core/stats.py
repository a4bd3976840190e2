"""Counters of the resolver, named as people see them: `hits cache`, `miss`, `added event`, …"""

from __future__ import annotations

from collections import Counter


class Stats:
    """Counts what happened. `count("hits", "cache")` adds to `hits cache`."""

    def __init__(self) -> None:
        self._counters: Counter[str] = Counter()

    def count(self, name: str, tag: str = "", by: int = 1) -> None:
        self._counters[f"{name} {tag}" if tag else name] += by

    def get(self, name: str) -> int:
        return self._counters[name]

    def snapshot(self) -> tuple[tuple[str, int], ...]:
        """Return all counters that are not zero, by name."""
        return tuple(sorted(self._counters.items()))
