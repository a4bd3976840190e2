"""Whether a process is the daemon of a runtime that it looks like.

Anybody can start a program under any name, and make it point at state of their own; started through a link
called `dockerd`, root's own `su` looks like it and has root's effective uid. So the real uid counts, and the
executable: nobody but root may have been able to write it, or to put it where it is.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from core.system.host import Host

_STATUS_LIMIT = 64 << 10
_DELETED = " (deleted)"


def is_roots_daemon(host: Host, process: Path, name: str) -> bool:
    """Return whether a process (its folder in /proc) is root's, and so is its program, called `name`.

    Raises OSError when it has ended.
    """
    # A process in a container has files of its own: the paths in its arguments mean nothing here.
    return (
        _uids(process) == {0}
        and os.path.samefile(process / "root", host.root)
        and _is_roots_program(host, os.readlink(process / "exe"), name)
    )


def _uids(process: Path) -> set[int]:
    """Return the real, effective and saved uid of a process."""
    with open(process / "status", "rb") as file:
        status = file.read(_STATUS_LIMIT)
    for line in status.split(b"\n"):
        if line.startswith(b"Uid:"):
            return {int(uid) for uid in line.split()[1:4]}
    return set()


def _is_roots_program(host: Host, exe: str, name: str) -> bool:
    """Return whether a path has the base name `name`, and only root may write the file and its folders.

    After an update the old file is gone: then the one that is there now is looked at.
    """
    path = exe.removesuffix(_DELETED)
    if os.path.basename(path) != name or not path.startswith("/"):
        return False
    place = host.realpath(path)
    inside = host.root
    parts = place.relative_to(inside).parts
    for part in ("", *parts):
        inside = inside / part
        if not _only_root_writes(inside):
            return False
    return stat.S_ISREG(os.lstat(place).st_mode)


def _only_root_writes(path: Path) -> bool:
    status = os.lstat(path)
    writable = stat.S_IWOTH | (stat.S_IWGRP if status.st_gid else 0)
    return status.st_uid == 0 and not status.st_mode & writable
