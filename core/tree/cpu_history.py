"""The CPU use of each group of processes over the last minutes, for the line that is drawn from it."""

from __future__ import annotations

from collections import deque

from core.model.view import RowKey

SPAN_NS = 180_000_000_000
"""How far back the history reaches, in ns: three minutes."""

GROUPS = 1_000
"""Limit of groups per moment; on a larger host the other groups have no line."""

_MOMENTS = 180


class CpuHistory:
    """CPU use by group at the latest sweeps: at most 180 moments of 1,000 groups. One thread owns it.

    A moment holds one number per group (thousandths of a percent). A removed group is forgotten when its last
    moment is dropped.
    """

    def __init__(self) -> None:
        self._moments: deque[tuple[int, dict[str, int]]] = deque(maxlen=_MOMENTS)

    def add(self, now_ns: int, groups: dict[str, int]) -> None:
        """Add the current use of every group."""
        self._moments.append((now_ns, groups))

    def series(self, key: RowKey, now_ns: int, length: int) -> tuple[float | None, ...]:
        """Return CPU percents of the three minutes before `now_ns` in `length` equal spans, newest last.

        A span has its largest value, or None without a sample (the group was not there yet, or paused).
        """
        percents: list[float | None] = [None] * length
        for ns, groups in self._moments:
            cpu = groups.get(str(key))
            back = now_ns - ns
            if cpu is not None and 0 <= back < SPAN_NS:
                span = length - 1 - back * length // SPAN_NS
                percents[span] = max(percents[span] or 0.0, cpu / 1000)
        return tuple(percents)
