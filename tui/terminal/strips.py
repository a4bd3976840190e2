"""Breaks the reference cycle in Textual's strips."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from textual.strip import Strip

_cut: Callable[[Strip, Iterable[int]], Sequence[Strip]] = Strip.divide


def release_strips() -> None:
    """Patch Strip.divide so that an unreferenced strip is freed at once.

    Textual (8.2) caches in each strip the parts it was divided into. A strip that is not divided caches
    itself: every painted line would then wait for the garbage collector, a megabyte per second while paging,
    and the heap would grow accordingly.
    """
    Strip.divide = _divide  # type: ignore[method-assign]


def _divide(self: Strip, cuts: Iterable[int]) -> Sequence[Strip]:
    """Divide like Strip.divide, but do not cache an undivided strip."""
    inside = [cut for cut in cuts if cut <= self.cell_length]
    return [self] if inside == [self.cell_length] else _cut(self, inside)
