"""Names of users by uid, as the host that is looked at knows them."""

from __future__ import annotations

import pwd

from core.host import LOCAL, Host
from core.text import safe_text


class Users:
    """Looks a uid up once. A uid without a name is shown as its number."""

    def __init__(self, host: Host = LOCAL) -> None:
        self._names: dict[int, str] = {}
        self._local = host.is_local
        if not self._local:
            self._read(host)

    def name(self, uid: int) -> str:
        found = self._names.get(uid)
        if found is None:
            found = self._names[uid] = self._look_up(uid)
        return found

    def _look_up(self, uid: int) -> str:
        if self._local:
            try:
                return safe_text(pwd.getpwuid(uid).pw_name, 64)
            except (KeyError, OverflowError):
                pass
        return str(uid)

    def _read(self, host: Host) -> None:
        """Take the names from the other host's own passwd: ours would be somebody else's."""
        try:
            data = host.path("/etc/passwd").read_bytes()
        except OSError:
            return
        for line in data.splitlines():
            fields = line.split(b":")
            if len(fields) > 2 and fields[2].isdigit():
                self._names.setdefault(int(fields[2]), safe_text(fields[0], 64))
