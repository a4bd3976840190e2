"""Textual's lines of text, kept from holding themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from textual.strip import Strip

_cut: Callable[[Strip, Iterable[int]], Sequence[Strip]] = Strip.divide


def release_strips() -> None:
    """From now on a strip that nobody holds is freed at once.

    Textual (8.2) keeps what a strip was cut into in the strip. Cut nowhere, that is the strip itself: every
    line that was ever painted would wait for the garbage collector, a megabyte of them a second while
    somebody pages, and the heap grows to hold them.
    """
    Strip.divide = _divide  # type: ignore[method-assign]


def _divide(self: Strip, cuts: Iterable[int]) -> Sequence[Strip]:
    """Cut as Strip.divide does; what stays whole is not kept."""
    inside = [cut for cut in cuts if cut <= self.cell_length]
    return [self] if inside == [self.cell_length] else _cut(self, inside)
