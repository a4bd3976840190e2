"""Who a build is for. Under sudo that is the person who typed it: compilers run as him, files are his.

Root has no business in writing into directories that somebody else controls: a symbolic link there would
lead it anywhere. So files are made with his identity too, which Linux can change for one thread.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import pwd
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path


@dataclass(frozen=True, slots=True)
class Owner:
    """The invoking user, when that is somebody else than who we run as."""

    uid: int
    gid: int
    name: str
    home: Path


def invoking_user(environ: Mapping[str, str] | None = None) -> Owner | None:
    """Return who called sudo, or None when we are not root or root acts for itself."""
    environ = os.environ if environ is None else environ
    said = environ.get("SUDO_UID", ""), environ.get("SUDO_GID", "")
    if os.geteuid() != 0 or not all(number.isdecimal() and len(number) < 10 for number in said):
        return None
    uid, gid = map(int, said)
    if uid == 0:
        return None
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return Owner(uid, gid, "", Path("/nonexistent"))
    return Owner(uid, gid, entry.pw_name, Path(entry.pw_dir))


@contextlib.contextmanager
def acting_for(owner: Owner | None) -> Iterator[None]:
    """Make and open files as `owner` in this thread (setfsuid(2)); with None nothing changes.

    The kernel takes root's power over files away from the thread meanwhile, and gives it back after.
    """
    if owner is None:
        yield
        return
    libc = ctypes.CDLL(None)
    group, user = libc.setfsgid(owner.gid), libc.setfsuid(owner.uid)
    try:
        yield
    finally:
        libc.setfsuid(user)
        libc.setfsgid(group)


def identity(owner: Owner | None) -> dict[str, Any]:
    """Return the arguments with which subprocess starts a process as `owner`."""
    if owner is None:
        return {}
    groups = os.getgrouplist(owner.name, owner.gid) if owner.name else []
    return {"user": owner.uid, "group": owner.gid, "extra_groups": groups}


def environment(owner: Owner | None, **more: str) -> dict[str, str]:
    """Return the environment of a tool: ours, with the owner's home (ccache keeps its cache there)."""
    own = {} if owner is None else {"HOME": str(owner.home), "USER": owner.name, "LOGNAME": owner.name}
    return {**os.environ, **own, **more}


def cache_directory(owner: Owner | None) -> Path:
    """Return where this program's caches are: the owner's, not root's, under sudo."""
    return owner.home / ".cache" / "ebpf-tui" if owner else user_cache_path("ebpf-tui")


def private_directory(directory: Path, owner: Owner | None) -> Path:
    """Return `directory`, made with mode 0700. Raises PermissionError when others own it or may write to it.

    The directory above it is made and held to the same.
    """
    uid = owner.uid if owner else os.geteuid()
    directory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    for path in (directory.parent, directory):
        path.mkdir(mode=0o700, exist_ok=True)
        found = os.lstat(path)
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != uid or found.st_mode & 0o022:
            raise PermissionError(
                errno.EPERM, "not a directory that only you can write to; remove it", str(path)
            )
    return directory
