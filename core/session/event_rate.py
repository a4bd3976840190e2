"""The current rate of events."""

from __future__ import annotations

from collections import deque


class Rate:
    """Events per second over the last few seconds."""

    _SPAN_NS = 3_000_000_000

    def __init__(self) -> None:
        self._counts: deque[tuple[int, int]] = deque()

    def add(self, count: int, now_ns: int) -> None:
        if count:
            self._counts.append((now_ns, count))

    def per_second(self, now_ns: int) -> float:
        while self._counts and self._counts[0][0] < now_ns - self._SPAN_NS:
            self._counts.popleft()
        return sum(count for _, count in self._counts) * 1_000_000_000 / self._SPAN_NS
