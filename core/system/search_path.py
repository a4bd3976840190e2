"""The search path for tools: PATH without anything that a project could supply."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

_OF_THE_SYSTEM = frozenset(
    f"{prefix}/{name}" for prefix in ("", "/usr", "/usr/local") for name in ("bin", "sbin")
)
"""Directories that count as the system's even if the project is in `/usr`."""
_PROJECT_FILE = "ebpf.toml"


def search_path(environ: Mapping[str, str], root: Path | None = None) -> str:
    """Return PATH without relative and empty entries, and without directories of the project in `root`.

    Relative entries are relative to the working directory, which may be anybody's checkout. `root` defaults
    to the working directory if it has an ebpf.toml. `/`, the user's home and the directories above it do not
    count as projects.
    """
    projects = _spellings(root)
    return os.pathsep.join(
        entry
        for entry in environ.get("PATH", os.defpath).split(os.pathsep)
        if entry.startswith("/") and not any(_is_below(entry, project) for project in projects)
    )


def _spellings(root: Path | None) -> set[str]:
    if root is None and not os.path.lexists(_PROJECT_FILE):
        return set()
    try:
        place = os.path.abspath(root or os.getcwd())
    except OSError:  # the working directory was deleted
        return set()
    home = os.path.expanduser("~")
    spellings = (place, os.path.realpath(place))
    return {path for path in spellings if os.path.commonpath((path, home)) != path}


def _is_below(entry: str, project: str) -> bool:
    return any(
        place not in _OF_THE_SYSTEM and os.path.commonpath((place, project)) == project
        for place in (os.path.normpath(entry), os.path.realpath(entry))
    )
