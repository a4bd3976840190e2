"""Verifies claims of users. Rootless runc and crun keep state in /run/user/UID, which a user can write.

So this state counts only for the user's own cgroups: those with a directory that belongs to the user in
every hierarchy that has it. A user cannot claim a cgroup of another user or of root.
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
"""Cgroups checked in one call, at 20 us each, in equal shares; and the smallest share of a user."""


class Claims:
    """Checks the owners of claimed cgroups. Reads only cgroupfs, which always answers."""

    def __init__(self, host: Host) -> None:
        self._mount = os.fsencode(host.path("/sys/fs/cgroup"))
        self._is_own: dict[int, dict[bytes, bool]] = {}

    def verified(self, claimed: Mapping[int, Sequence[Placed]]) -> list[Placed]:
        """Return the claimed containers, each with the paths that belong to its user.

        Paths not checked before come first, the others in turn: meanwhile somebody else may have created a
        cgroup with that path.
        """
        places = [self._mount, *_folders(self._mount)] if claimed else []
        share = max(_LEAST_CHECKS, _CHECKS // max(1, len(claimed)))
        self._is_own = {
            uid: self._checked(
                uid, {path for container in containers for path in container.paths}, places, share
            )
            for uid, containers in claimed.items()
        }
        verified = []
        for uid, containers in claimed.items():
            own = self._is_own[uid]
            for container in containers:
                paths = tuple(path for path in container.paths if own.get(path))
                if paths:
                    verified.append(msgspec.structs.replace(container, paths=paths))
        return verified

    def _checked(self, uid: int, paths: set[bytes], places: list[bytes], share: int) -> dict[bytes, bool]:
        before = self._is_own.get(uid, {})
        checked = {path: is_own for path, is_own in before.items() if path in paths}
        due = [*sorted(paths - checked.keys()), *checked][:share]
        for path in due:
            checked.pop(path, None)  # move it to the end of the turn
            checked[path] = _belongs_to(places, path, uid)
        return checked


def _folders(mount: bytes) -> list[bytes]:
    try:
        with os.scandir(mount) as entries:
            return [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []


def _belongs_to(places: list[bytes], path: bytes, uid: int) -> bool:
    """Return whether the cgroup `path` exists, and belongs to this user in every hierarchy that has it."""
    if not path.startswith(b"/") or path == b"/" or {b"", b".", b".."} & set(path[1:].split(b"/")):
        return False
    exists = False
    for place in places:
        try:
            status = os.lstat(place + path)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except (OSError, ValueError):
            return False
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != uid:
            return False
        exists = True
    return exists
