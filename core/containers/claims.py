"""Rootless runc and crun keep their state in /run/user/UID, where a user may write anything.

So what is written there counts for the user's own cgroups only: those whose folder belongs to the user,
in every hierarchy that has it. A folder of another user, or of root, is not for anybody to claim.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence

import msgspec

from core.containers.oci_folder import Placed
from core.system.host import Host

_CHECKS = 512
_LEAST_CHECKS = 16
"""Cgroups that are looked at in one call, at 20 us each, in equal shares; and the least share of a user."""


class Claims:
    """Who owns the cgroups that users claim. Looks at cgroupfs alone, which always answers."""

    def __init__(self, host: Host) -> None:
        self._mount = os.fsencode(host.path("/sys/fs/cgroup"))
        self._is_own: dict[int, dict[bytes, bool]] = {}

    def verified(self, claimed: Mapping[int, Sequence[Placed]]) -> list[Placed]:
        """Return the containers of each user with those of their paths that are the user's own.

        Paths that were not looked at before come first, the others by turns: a cgroup may have been made
        by somebody else meanwhile.
        """
        places = [self._mount, *_folders(self._mount)] if claimed else []
        share = max(_LEAST_CHECKS, _CHECKS // max(1, len(claimed)))
        self._is_own = {
            uid: self._checked(uid, {path for one in containers for path in one.paths}, places, share)
            for uid, containers in claimed.items()
        }
        found = []
        for uid, containers in claimed.items():
            own = self._is_own[uid]
            for container in containers:
                paths = tuple(path for path in container.paths if own.get(path))
                if paths:
                    found.append(msgspec.structs.replace(container, paths=paths))
        return found

    def _checked(self, uid: int, paths: set[bytes], places: list[bytes], share: int) -> dict[bytes, bool]:
        before = self._is_own.get(uid, {})
        checked = {path: is_own for path, is_own in before.items() if path in paths}
        due = [*sorted(paths - checked.keys()), *checked][:share]
        for path in due:
            checked.pop(path, None)  # the one looked at last is the last one in turn
            checked[path] = _belongs_to(places, path, uid)
        return checked


def _folders(mount: bytes) -> list[bytes]:
    try:
        with os.scandir(mount) as entries:
            return [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []


def _belongs_to(places: list[bytes], path: bytes, uid: int) -> bool:
    """True when the cgroup `path` is there, and in each hierarchy where it is its folder is this user's."""
    if not path.startswith(b"/") or path == b"/" or {b"", b".", b".."} & set(path[1:].split(b"/")):
        return False
    is_there = False
    for place in places:
        try:
            status = os.lstat(place + path)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except (OSError, ValueError):
            return False
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != uid:
            return False
        is_there = True
    return is_there
