"""Which files belong to which targets, and which targets a save makes out of date."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from buildgen.ninja.dependencies import files_read
from buildgen.plan.plan import TargetStatus
from buildgen.project.project import FILE_NAME
from buildgen.session.board import Board, TargetRow
from buildgen.session.save_watch import key_of

_SOURCES = (".c", ".h")
Key = tuple[Path, str]
"""A target: its project's `out`, and its label there."""


@dataclass(frozen=True, slots=True)
class Watched:
    """The files of a board. `of`: file -> its targets. `own`: directories in which new files count."""

    of: dict[str, frozenset[Key]]
    own: frozenset[str]
    targets: frozenset[Key]

    @property
    def directories(self) -> frozenset[str]:
        return frozenset(os.path.dirname(path) for path in self.of) | self.own

    def wants(self, path: str) -> bool:
        """Return whether a save of `path` may concern a target: objects that we write ourselves do not."""
        return path in self.of or (path.endswith(_SOURCES) and os.path.dirname(path) in self.own)


def watched(board: Board) -> Watched:
    """Find the files of all targets. Runs ninja: for a worker."""
    of: dict[str, set[Key]] = {}
    own: set[str] = set()
    for plan in {row.plan.out: row.plan for row in board.targets}.values():
        project = plan.project
        own |= {os.path.realpath(path) for path in (project.root, *project.include)}
        of.setdefault(key_of(project.root / FILE_NAME), set())
        read = files_read(plan)
        for row in board.targets:
            if row.plan.out != plan.out:
                continue
            said = row.diagnosis.file if row.diagnosis is not None else None
            files = read.get(row.target.label, set()) | ({plan.out / said} if said else set())
            for path in files:
                for key in {key_of(path), os.path.realpath(path)}:  # a link is saved through, or replaced
                    of.setdefault(key, set()).add((plan.out, row.target.label))
                if path.is_relative_to(project.root):
                    own.add(os.path.realpath(path.parent))
    targets = frozenset((row.plan.out, row.target.label) for row in board.targets)
    return Watched({path: frozenset(keys) for path, keys in of.items()}, frozenset(own), targets)


def to_rebuild(board: Board, files: Watched, saved: Collection[str]) -> list[TargetRow]:
    """Return the targets of a board, just read, that these saves put out of date.

    Those made of a saved file, new ones, those that failed before, and all that a new ebpf.toml makes stale.
    """
    touched = {key for path in saved for key in files.of.get(path, ())}
    whole = any(os.path.basename(path) == FILE_NAME for path in saved)
    return [
        row
        for row in board.targets
        if row.state in (TargetStatus.STALE, TargetStatus.MISSING, TargetStatus.FAILED, TargetStatus.UNKNOWN)
        and row.plan.trust.may_build
        and (
            (key := (row.plan.out, row.target.label)) in touched
            or key not in files.targets
            or row.state == TargetStatus.FAILED
            or (whole and row.state == TargetStatus.STALE)
        )
    ]
