"""The growth of counters over the last four minutes, for sparklines. Bounded."""

from __future__ import annotations

from collections import deque

BUCKET_NS = 2_000_000_000
BUCKETS = 120
"""Four minutes."""

_BARS = "▁▂▃▄▅▆▇█"


class History:
    """Keeps, for each counter, its growth in each bucket of two seconds."""

    def __init__(self) -> None:
        self._latest: dict[str, int] = {}
        self._buckets: deque[tuple[int, dict[str, int]]] = deque(maxlen=BUCKETS)
        self._first = True

    def add(self, now_ns: int, counters: tuple[tuple[str, int], ...]) -> None:
        """Take the counters of a frame. The values of the first frame are the baseline, not growth."""
        number = now_ns // BUCKET_NS
        if not self._buckets or number > self._buckets[-1][0]:
            self._buckets.append((number, {}))
        grown = self._buckets[-1][1]
        for name, value in counters:
            growth = value - self._latest.get(name, 0)
            if growth > 0 and not self._first:
                grown[name] = grown.get(name, 0) + growth
            self._latest[name] = value
        self._first = False

    def note(self, now_ns: int, gauges: tuple[tuple[str, int], ...]) -> None:
        """Take values that rise and fall, under names that no counter has; a bucket keeps the largest."""
        number = now_ns // BUCKET_NS
        if self._buckets and number == self._buckets[-1][0]:
            bucket = self._buckets[-1][1]
            for name, value in gauges:
                bucket[name] = max(bucket.get(name, 0), value)

    @property
    def counters(self) -> dict[str, int]:
        """The counters of the latest frame."""
        return self._latest

    def series(self, name: str, length: int) -> list[int]:
        """Return the growth of a counter in each of the latest `length` buckets, the newest last."""
        if not self._buckets:
            return [0] * length
        last = self._buckets[-1][0]
        grown = {number: bucket.get(name, 0) for number, bucket in self._buckets}
        return [grown.get(number, 0) for number in range(last - length + 1, last + 1)]


def sparkline(series: list[int]) -> str:
    """Draw a series scaled from zero to its largest value; a zero is a blank."""
    top = max(series, default=0)
    if not top:
        return " " * len(series)
    steps = len(_BARS) - 1
    return "".join(_BARS[round(value * steps / top)] if value else " " for value in series)
