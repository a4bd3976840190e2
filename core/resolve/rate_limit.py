"""Limits how often a lower tier is asked for the same pid."""

from __future__ import annotations

from collections import OrderedDict

LIMIT_PIDS = 128
LIMIT_WINDOW_NS = 30_000_000_000


class RateLimiter:
    """One query per pid and window. The window starts at the first query; refused queries do not extend it.

    Beyond `size` pids the least recently used one is forgotten. A failed query counts too.
    """

    def __init__(self, size: int = LIMIT_PIDS, window_ns: int = LIMIT_WINDOW_NS) -> None:
        self._size = size
        self._window_ns = window_ns
        self._since: OrderedDict[int, int] = OrderedDict()

    def allow(self, pid: int, now_ns: int) -> bool:
        since = self._since.get(pid)
        if since is not None:
            self._since.move_to_end(pid)
            if now_ns - since < self._window_ns:
                return False
        self._since[pid] = now_ns
        if len(self._since) > self._size:
            self._since.popitem(last=False)
        return True
