"""Rootless runc and crun keep their state in /run/user/UID, where a user may write whatever he likes.

So what stands there counts for his own cgroups only: those whose folder belongs to him, in every hierarchy
that has it. A folder of another user, or of root, is nobody's to claim.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator

from core.containers.state_files import StateError, StateFiles
from core.host import Host

_RUN_USER = "/run/user"
_UID = re.compile(r"[1-9][0-9]{0,9}")
_RUNTIMES = ("runc", "crun")
_USERS = 256

CONTAINERS = 256
"""Folders of one user and runtime that are looked at, so that a user cannot keep us busy."""

STATE_LIMIT = 256 << 10
"""Bytes of one state file; runc's has some 20 kB."""


def rootless_folders(files: StateFiles) -> Iterator[tuple[str, int]]:
    """Yield the folders where rootless runtimes keep their state, each with the user they belong to."""
    try:
        users = [int(name) for name, _ in files.folders(_RUN_USER, _USERS) if _UID.fullmatch(name)]
    except StateError:  # what is in it is not root's: without it nothing is missing
        return
    for uid in users:
        for runtime in _RUNTIMES:
            yield f"{_RUN_USER}/{uid}/{runtime}", uid


def belongs_to(host: Host, path: bytes, uid: int) -> bool:
    """True when the cgroup `path` is there, and in each hierarchy where it is its folder is this user's."""
    if not path.startswith(b"/") or path == b"/" or {b"", b".", b".."} & set(path[1:].split(b"/")):
        return False
    mount = os.fsencode(host.path("/sys/fs/cgroup"))
    found = False
    try:
        for place in (mount, *(entry.path for entry in os.scandir(mount) if entry.is_dir())):
            try:
                status = os.lstat(place + path)
            except (FileNotFoundError, NotADirectoryError):
                continue
            if not stat.S_ISDIR(status.st_mode) or status.st_uid != uid:
                return False
            found = True
    except (OSError, ValueError):
        return False
    return found
