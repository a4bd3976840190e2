"""One process of the cache: its images, its place in the family, and whether the line above it is whole."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum

from core.model import Origin, ProcessEntry, Tier, Usage
from core.records import Sample

MAX_IMAGES = 16
"""Images kept per process, newest last."""


class Validity(StrEnum):
    """Whether the line from a process up to the first one is whole."""

    VALID = "valid"
    MISSING_PARENT = "missing parent"  # an event of it was lost, or another image was expected
    WRONG_PARENT = "wrong parent"  # the first process has a parent
    INCOMPLETE = "incomplete"  # it ends at a process whose parent is not cached


class Process:
    """One process. Owned by the Lineage; others read `entry` and follow `parent` and `children`."""

    __slots__ = (
        "children",
        "ended_ns",
        "entry",
        "exit_code",
        "exited_ns",
        "forgotten",
        "image_mark",
        "images",
        "key",
        "origin",
        "parent",
        "parent_missing",
        "settled",
        "source",
        "usage",
    )

    def __init__(self, entry: ProcessEntry, origin: Origin) -> None:
        self.entry = entry
        self.key = entry.key  # the lineage keeps it in step with the entry
        self.origin = origin
        self.source: Tier | None = None
        self.parent: Process | None = None
        self.children: dict[Process, None] = {}
        self.images: tuple[ProcessEntry, ...] = ()
        self.parent_missing = False
        self.usage: Usage | None = None  # as of the latest sweep
        self.settled: tuple[Sample, ProcessEntry, Usage | None] | None = None
        """What the latest sweep compared, when all of it agreed and no CPU was used."""
        self.image_mark = 0  # as of the latest sweep, where there are no generations
        self.exited_ns: int | None = None  # its last thread ended: a zombie from then on
        self.ended_ns: int | None = None  # it left the process table: history from then on
        self.exit_code: int | None = None
        self.forgotten = False  # dropped from the cache: it is not to be shown any more

    def remember(self, image: ProcessEntry) -> None:
        """Put an image that was replaced into the history."""
        self.images = (*self.images, image)[-MAX_IMAGES:]

    def ancestors(self) -> Iterator[Process]:
        """Yield parent, grandparent and so on."""
        process = self.parent
        while process is not None:
            yield process
            process = process.parent

    def validity(self) -> tuple[Validity, Process]:
        """Return whether the lineage can be trusted, and the process where the answer was found.

        It ends rightly at a process without a parent: the first of its pid namespace, or kthreadd.
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
