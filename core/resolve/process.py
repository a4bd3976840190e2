"""One process of the cache: its images, its parent and children, and whether its lineage is whole."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum

import msgspec

from core.model.entities import Origin, ProcessEntry, ProcessKey, Tier, Usage
from core.model.events import Sample

MAX_IMAGES = 16
"""Images kept per process, newest last."""


class Validity(StrEnum):
    """Whether the line from a process up to the first process is whole."""

    VALID = "valid"
    MISSING_PARENT = "missing parent"  # one of its events was lost, or another image was expected
    WRONG_PARENT = "wrong parent"  # the first process has a parent
    INCOMPLETE = "incomplete"  # it ends at a process with a parent that is not cached


class Process(msgspec.Struct, eq=False):
    """One process. Owned by the ProcessCache; others read `entry` and follow `parent` and `children`.

    A Struct because every fork makes one, in a sixth of the time that a Python class takes.
    """

    entry: ProcessEntry
    origin: Origin
    key: ProcessKey
    """The cache keeps it in step with the entry."""
    source: Tier | None = None
    parent: Process | None = None
    children: dict[Process, None] = {}  # a Struct copies the default for each instance
    images: tuple[ProcessEntry, ...] = ()
    parent_missing: bool = False
    usage: Usage | None = None
    """As of the latest sweep."""
    settled: tuple[Sample, ProcessEntry, Usage | None] | None = None
    """What the latest sweep compared, if everything agreed and no CPU was used."""
    image_mark: int = 0
    """`Sample.image_mark` of the latest sweep, for feeds without generations."""
    exited_ns: int | None = None
    """When its last thread ended: it is a zombie from then on."""
    ended_ns: int | None = None
    """When it left the process table: it is history from then on."""
    exit_code: int | None = None
    forgotten: bool = False
    """Dropped from the cache: it must not be shown any more."""

    def remember(self, image: ProcessEntry) -> None:
        """Add a replaced image to the history."""
        self.images = (*self.images[1 - MAX_IMAGES :], image)

    def ancestors(self) -> Iterator[Process]:
        """Yield parent, grandparent and so on."""
        process = self.parent
        while process is not None:
            yield process
            process = process.parent

    def validity(self) -> tuple[Validity, Process]:
        """Return whether the lineage can be trusted, and the process that decides it.

        A whole lineage ends at a process without a parent: the first of its pid namespace, or kthreadd.
        """
        process = self
        while not process.parent_missing:
            above = process.parent
            if above is None:
                whole = process.entry.ppid == 0
                return Validity.VALID if whole else Validity.INCOMPLETE, process
            if process.entry.pid == 1:
                return Validity.WRONG_PARENT, process
            process = above
        return Validity.MISSING_PARENT, process
