"""The user that a build runs as. Under sudo it is the invoking user; for root in another user's checkout it
is the owner of the checkout. Compilers run as that user, and files belong to that user.

Root must not write into directories that another user controls: a symbolic link there could redirect it
anywhere. So files are created with that user's identity too, which Linux can change for a single thread.
"""

from __future__ import annotations

import contextlib
import errno
import os
import pwd
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path, user_config_path

from core.system.files import acting_as, not_only
from core.system.search_path import search_path

_PASSED_ON = ("LANG", "LANGUAGE", "TZ", "TERM")
"""Variables of root's that the tools of a checkout's owner receive, besides PATH and LC_*: no secrets."""
_LISTS = frozenset(
    ("LD_LIBRARY_PATH", "LD_PRELOAD", "PYTHONPATH", "COMPILER_PATH", "CPATH", "C_INCLUDE_PATH",
     "LIBRARY_PATH")
)  # fmt: skip
"""Variables with lists of directories that tools search for code and headers."""


@dataclass(frozen=True, slots=True)
class Owner:
    """The user that tools run as, if it is not the user of this process.

    `foreign`: it is the owner of a checkout that root builds, not the user at the keyboard.
    """

    uid: int
    gid: int
    name: str
    home: Path
    foreign: bool = False


def invoking_user(environ: Mapping[str, str] | None = None) -> Owner | None:
    """Return the invoking user of sudo, or None if we are not root or run without sudo."""
    environ = os.environ if environ is None else environ
    ids = environ.get("SUDO_UID", ""), environ.get("SUDO_GID", "")
    if os.geteuid() != 0 or not all(number.isdecimal() and len(number) < 10 for number in ids):
        return None
    uid, gid = map(int, ids)
    return None if uid == 0 else _owner(uid, gid)


def builder_of(directory: Path) -> Owner | None:
    """Return the user that builds the project in `directory`, None for the user of this process.

    Under sudo it is the invoking user, wherever the project is; in a root shell it is the directory's owner.
    """
    invoking = invoking_user()
    if invoking is not None or os.geteuid() != 0:
        return invoking
    try:
        about = os.stat(directory)
    except OSError:
        return None
    return None if about.st_uid == 0 else replace(_owner(about.st_uid, about.st_gid), foreign=True)


def person() -> int:
    """Return the user id of the user at the keyboard: under sudo the invoking user's, not root's."""
    invoking = invoking_user()
    return os.geteuid() if invoking is None else invoking.uid


def _owner(uid: int, gid: int) -> Owner:
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return Owner(uid, gid, "", Path("/nonexistent"))
    return Owner(uid, gid, entry.pw_name, Path(entry.pw_dir))


@contextlib.contextmanager
def acting_for(owner: Owner | None) -> Iterator[None]:
    """Create and open files as `owner` in this thread; with None nothing changes.

    Meanwhile the thread does not have root's capabilities over files; it regains them afterwards. Raises
    PermissionError if the kernel refuses the change.
    """
    if owner is None:
        yield
        return
    with acting_as(owner.uid, owner.gid):
        yield


def identity(owner: Owner | None) -> dict[str, Any]:
    """Return the arguments for subprocess to start a process as `owner`."""
    if owner is None:
        return {}
    groups = os.getgrouplist(owner.name, owner.gid) if owner.name else []
    return {"user": owner.uid, "group": owner.gid, "extra_groups": groups}


def environment(owner: Owner | None, root: Path | None = None, **more: str) -> dict[str, str]:
    """Return the environment of a tool: ours, with the owner's home (where ccache keeps its cache).

    PATH has no directories of the project in `root` (see `search_path`), and lists of directories have no
    relative entries, which would be resolved in the project. For the owner of a checkout that root builds,
    only the language and the terminal are kept from root's environment.
    """
    ours: Mapping[str, str] = os.environ
    if owner is not None and owner.foreign:
        ours = {name: v for name, v in ours.items() if name in _PASSED_ON or name.startswith("LC_")}
    ours = {name: v for name, v in ours.items() if name not in _LISTS or _absolute(v)}
    lists = {name: _absolute(v) for name, v in ours.items() if name in _LISTS}
    own = {} if owner is None else {"HOME": str(owner.home), "USER": owner.name, "LOGNAME": owner.name}
    return {**ours, **lists, "PATH": search_path(os.environ, root), **own, **more}


def _absolute(directories: str) -> str:
    return os.pathsep.join(entry for entry in directories.split(os.pathsep) if entry.startswith("/"))


def cache_directory(owner: Owner | None) -> Path:
    """Return this program's cache directory: under sudo the owner's, not root's."""
    return owner.home / ".cache" / "ebpf-tui" if owner else user_cache_path("ebpf-tui")


def config_directory(owner: Owner | None) -> Path:
    """Return the user's configuration directory: under sudo the owner's, not root's."""
    return owner.home / ".config" / "ebpf-tui" if owner else user_config_path("ebpf-tui")


def private_directory(directory: Path, owner: Owner | None) -> Path:
    """Return `directory`, created with mode 0700. Raises PermissionError if others own it or can write to it.

    Its parent is created and checked likewise, and no other user may control the path to them.
    """
    uid = owner.uid if owner else os.geteuid()
    directory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    for path in (directory.parent, directory):
        path.mkdir(mode=0o700, exist_ok=True)
        about = os.lstat(path)
        if not stat.S_ISDIR(about.st_mode) or about.st_uid != uid or about.st_mode & 0o022:
            raise PermissionError(
                errno.EPERM, "not a directory that only you can write to; remove it", str(path)
            )
    if problem := not_only(uid, directory):
        raise PermissionError(errno.EPERM, f"not safe for a private cache: {problem}", str(directory))
    return directory
