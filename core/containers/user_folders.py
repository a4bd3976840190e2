"""Finds the users with rootless runtimes, by the directories /run/user/UID/runc and crun.

/run/user is root's, but a user may mount a file system that never answers on the directory there. So each
check runs in a thread that can be abandoned.
"""

from __future__ import annotations

import os
import re
import threading
import time

from core.containers.user_protocol import RUNTIME_FOLDERS
from core.system.host import Host

_RUN_USER = "/run/user"
_UID = re.compile(r"[1-9][0-9]{0,9}")
_USERS = 256
_WAIT_S = 0.2


class _Look(threading.Thread):
    """One check of a user's directories; `seen` is None until it is done."""

    def __init__(self, folder: str) -> None:
        super().__init__(name=folder, daemon=True)
        self._folder = folder
        self.seen: bool | None = None
        self.start()

    def run(self) -> None:
        self.seen = any(os.path.lexists(f"{self._folder}/{name}") for name in RUNTIME_FOLDERS)


class UserFolders:
    """Checks the directories of all users, with at most one running thread per user."""

    def __init__(self, host: Host) -> None:
        self._folder = str(host.path(_RUN_USER))
        self._looks: dict[int, _Look] = {}
        self._has_folders: dict[int, bool] = {}

    def look(self) -> dict[int, bool]:
        """Return for each user with a directory in /run/user whether runc or crun keeps state there.

        The result is from the checks that the previous call started; only the first call waits briefly.
        """
        uids = self._uids()
        is_first = not self._looks
        self._looks = {uid: self._looks.get(uid) or _Look(f"{self._folder}/{uid}") for uid in uids}
        if is_first:
            until = time.monotonic() + _WAIT_S
            for look in self._looks.values():
                look.join(max(0.0, until - time.monotonic()))
        for uid, look in self._looks.items():
            if look.seen is not None:
                self._has_folders[uid] = look.seen
                self._looks[uid] = _Look(f"{self._folder}/{uid}")
        self._has_folders = {uid: self._has_folders.get(uid, False) for uid in uids}
        return dict(self._has_folders)

    def _uids(self) -> list[int]:
        """Return the uids that have an entry in /run/user. The entries themselves are not accessed."""
        uids: list[int] = []
        own = os.geteuid()
        try:
            with os.scandir(self._folder) as entries:
                for entry in entries:
                    if _UID.fullmatch(entry.name) and own in (0, int(entry.name)):
                        uids.append(int(entry.name))
                    if len(uids) >= _USERS:
                        break
        except OSError:
            pass
        return uids
