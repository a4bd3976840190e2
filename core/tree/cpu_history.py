"""The CPU share of each group of processes over the last minutes, for the line that is drawn of it."""

from __future__ import annotations

from collections import deque

from core.model.view import RowKey

SPAN_NS = 180_000_000_000
"""How far back it goes: three minutes."""

GROUPS = 1_000
"""Groups that are kept at each moment; the rest of a larger host has no line."""

_MOMENTS = 180


class CpuHistory:
    """What sweeps found, group by group: at most 180 moments of 1,000 groups. One thread owns it.

    A moment costs one number a group (thousandths of a percent). A group that is gone is forgotten as its
    moments leave.
    """

    def __init__(self) -> None:
        self._moments: deque[tuple[int, dict[str, int]]] = deque(maxlen=_MOMENTS)

    def add(self, now_ns: int, groups: dict[str, int]) -> None:
        """Note what every group uses now."""
        self._moments.append((now_ns, groups))

    def series(self, key: RowKey, now_ns: int, length: int) -> tuple[float | None, ...]:
        """Return the percents of the last minutes before `now_ns` in `length` equal spans, the newest last.

        Of a span the largest counts; one in which nothing was seen is None (not there yet, or paused).
        """
        found: list[float | None] = [None] * length
        for ns, groups in self._moments:
            cpu = groups.get(str(key))
            back = now_ns - ns
            if cpu is not None and 0 <= back < SPAN_NS:
                at = length - 1 - back * length // SPAN_NS
                found[at] = max(found[at] or 0.0, cpu / 1000)
        return tuple(found)
