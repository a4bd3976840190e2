"""Who a build runs as. Under sudo that is the person who typed it; for root in the checkout of somebody
else it is the owner of the checkout. Compilers run as that user, and files belong to that user.

Root has no business in writing into directories that somebody else controls: a symbolic link there would
lead it anywhere. So files are made with that identity too, which Linux can change for one thread.
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
"""What the tools of a checkout's owner get of root's environment, beside PATH and LC_*: no secrets."""
_LISTS = frozenset(
    ("LD_LIBRARY_PATH", "LD_PRELOAD", "PYTHONPATH", "COMPILER_PATH", "CPATH", "C_INCLUDE_PATH",
     "LIBRARY_PATH")
)  # fmt: skip
"""Variables with directories in which tools look for code and headers."""


@dataclass(frozen=True, slots=True)
class Owner:
    """The user that tools run as, when that is somebody else than who we run as.

    `foreign`: it is not the person at the keyboard, but the owner of a checkout that root builds.
    """

    uid: int
    gid: int
    name: str
    home: Path
    foreign: bool = False


def invoking_user(environ: Mapping[str, str] | None = None) -> Owner | None:
    """Return who called sudo, or None when we are not root or root acts for itself."""
    environ = os.environ if environ is None else environ
    said = environ.get("SUDO_UID", ""), environ.get("SUDO_GID", "")
    if os.geteuid() != 0 or not all(number.isdecimal() and len(number) < 10 for number in said):
        return None
    uid, gid = map(int, said)
    return None if uid == 0 else _owner(uid, gid)


def builder_of(directory: Path) -> Owner | None:
    """Return who builds the project in `directory`, None when that is us.

    Under sudo the invoking user, wherever the project is; for root in a root shell the directory's owner.
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
    """Return the user id of the person at the keyboard: under sudo not root's."""
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
    """Make and open files as `owner` in this thread; with None nothing changes.

    The kernel takes root's power over files away from the thread meanwhile, and gives it back after.
    Raises PermissionError when it does not let us.
    """
    if owner is None:
        yield
        return
    with acting_as(owner.uid, owner.gid):
        yield


def identity(owner: Owner | None) -> dict[str, Any]:
    """Return the arguments with which subprocess starts a process as `owner`."""
    if owner is None:
        return {}
    groups = os.getgrouplist(owner.name, owner.gid) if owner.name else []
    return {"user": owner.uid, "group": owner.gid, "extra_groups": groups}


def environment(owner: Owner | None, root: Path | None = None, **more: str) -> dict[str, str]:
    """Return the environment of a tool: ours, with the owner's home (ccache keeps its cache there).

    PATH has no directories of the project in `root` (see `search_path`), and no list of directories has
    relative ones: they would be looked for in the project. The owner of a checkout that root builds gets
    nothing else of root's but the language and the terminal.
    """
    ours: Mapping[str, str] = os.environ
    if owner is not None and owner.foreign:
        ours = {name: v for name, v in ours.items() if name in _PASSED_ON or name.startswith("LC_")}
    ours = {name: v for name, v in ours.items() if name not in _LISTS or _absolute(v)}
    lists = {name: _absolute(v) for name, v in ours.items() if name in _LISTS}
    own = {} if owner is None else {"HOME": str(owner.home), "USER": owner.name, "LOGNAME": owner.name}
    return {**ours, **lists, "PATH": search_path(os.environ, root), **own, **more}


def _absolute(directories: str) -> str:
    return os.pathsep.join(one for one in directories.split(os.pathsep) if one.startswith("/"))


def cache_directory(owner: Owner | None) -> Path:
    """Return where this program's caches are: the owner's, not root's, under sudo."""
    return owner.home / ".cache" / "ebpf-tui" if owner else user_cache_path("ebpf-tui")


def config_directory(owner: Owner | None) -> Path:
    """Return where the person's own configuration is: not root's, under sudo."""
    return owner.home / ".config" / "ebpf-tui" if owner else user_config_path("ebpf-tui")


def private_directory(directory: Path, owner: Owner | None) -> Path:
    """Return `directory`, made with mode 0700. Raises PermissionError when others own it or may write to it.

    The directory above it is made and held to the same, and nobody else may control the way to them.
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
    if problem := not_only(uid, directory):
        raise PermissionError(
            errno.EPERM, f"not a place for a cache of yours alone: {problem}", str(directory)
        )
    return directory
