"""Where tools are looked for: PATH without anything that a project could bring with it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

_OF_THE_SYSTEM = frozenset(
    f"{prefix}/{name}" for prefix in ("", "/usr", "/usr/local") for name in ("bin", "sbin")
)
"""Never those of a project, also not of one in `/usr`."""
_PROJECT_FILE = "ebpf.toml"


def search_path(environ: Mapping[str, str], root: Path | None = None) -> str:
    """Return PATH without relative and empty entries, and without directories of the project in `root`.

    Relative entries mean the working directory, which may be anybody's checkout. `root` defaults to that
    when it has an ebpf.toml. `/` and the directories above the person's home are no projects here.
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
    return {one for one in (place, os.path.realpath(place)) if os.path.commonpath((one, home)) != one}


def _is_below(entry: str, project: str) -> bool:
    return any(
        place not in _OF_THE_SYSTEM and os.path.commonpath((place, project)) == project
        for place in (os.path.normpath(entry), os.path.realpath(entry))
    )
