"""How long each tier takes to answer: a histogram of fixed size per tier."""

from __future__ import annotations

import msgspec

from core.model.entities import Tier

_STEPS = 4  # buckets per doubling: times are exact to a quarter
_BUCKETS = 40 * _STEPS  # up to 2**39 ns, some 9 minutes


class TierLatency(msgspec.Struct, frozen=True, gc=False):
    """How long one tier's answers took since the start, hits and misses alike.

    `p50_ns` and `p95_ns` are upper bounds, at most a quarter too high; `max_ns` is exact.
    """

    tier: Tier
    count: int
    p50_ns: int
    p95_ns: int
    max_ns: int


class Latency:
    """The answers of one tier, counted by duration."""

    __slots__ = ("_buckets", "_max_ns")

    def __init__(self) -> None:
        self._buckets = [0] * _BUCKETS
        self._max_ns = 0

    def note(self, ns: int) -> None:
        """Count one answer that took `ns` nanoseconds."""
        bits = ns.bit_length()
        # The two bits below the leading one select the quarter of the doubling.
        index = bits * _STEPS + (ns >> (bits - 3) & 3) if bits > 2 else ns
        self._buckets[index if index < _BUCKETS else -1] += 1
        if ns > self._max_ns:  # noqa: PLR1730 - max() costs more than the rest
            self._max_ns = ns

    def summary(self, tier: Tier) -> TierLatency:
        """Return count, percentiles and maximum of the answers so far."""
        count = sum(self._buckets)
        return TierLatency(tier, count, self._below(count, 50), self._below(count, 95), self._max_ns)

    def _below(self, count: int, percent: int) -> int:
        """Return an upper bound of the time that `percent` of the answers took."""
        wanted = -(-count * percent // 100)
        answers = 0
        for index, number in enumerate(self._buckets):
            answers += number
            if number and answers >= wanted:
                return min(_end(index), self._max_ns)
        return 0


def _end(index: int) -> int:
    """Return the longest time, in ns, that a bucket counts."""
    bits, quarter = divmod(index, _STEPS)
    return index if bits <= 2 else (_STEPS + quarter + 1 << bits - 3) - 1
