"""Checks whether a process really is the runtime daemon that its name suggests.

Any user can start a program under any name, with arguments that point at state of their own. Started through
a link called `dockerd`, even root's `su` has that name and root's effective uid. So the real uid is checked,
and that only root could have written the executable or placed it there.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from core.system.host import Host

_STATUS_LIMIT = 64 << 10
_DELETED = " (deleted)"


def is_roots_daemon(host: Host, process: Path, name: str) -> bool:
    """Return whether a process (its directory in /proc) is root's, and its program `name` is root's too.

    Raises OSError when it has ended.
    """
    # A process in a container has another root: the paths in its arguments are not ours.
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
    """Return whether a path has the base name `name` and only root can write the file and its directories.

    After an update the old file is gone: then the file that replaced it is checked.
    """
    path = exe.removesuffix(_DELETED)
    if os.path.basename(path) != name or not path.startswith("/"):
        return False
    file = host.realpath(path)
    ancestor = host.root
    parts = file.relative_to(ancestor).parts
    for part in ("", *parts):
        ancestor = ancestor / part
        if not _only_root_writes(ancestor):
            return False
    return stat.S_ISREG(os.lstat(file).st_mode)


def _only_root_writes(path: Path) -> bool:
    status = os.lstat(path)
    writable = stat.S_IWOTH | (stat.S_IWGRP if status.st_gid else 0)
    return status.st_uid == 0 and not status.st_mode & writable
