"""Names of users by uid, as the observed host has them, without waiting for a name service."""

from __future__ import annotations

import pwd
import queue
import threading
import time

from core.system.host import LOCAL, Host
from core.text.safe import safe_text

PASSWD_LIMIT = 16 << 20
"""Limit of /etc/passwd in bytes; a longer file is not read."""

MAX_PENDING = 4096
"""Limit of pending look-ups; beyond it a uid is looked up when it is next shown."""

NAMES_WAIT_S = 1.0
"""How long a command waits for names before it prints numbers, in seconds."""


class Users:
    """Names of uids: from /etc/passwd at once, from this host's name services when they answer.

    A name service (LDAP, SSSD, systemd) may take seconds for each uid, or never answer: it is asked once per
    uid, on a separate thread that ends with the program. Until then, and without a name, a uid is shown as
    its number. For another host only its /etc/passwd is used: our name services have other users. Any thread
    may use it.
    """

    def __init__(self, host: Host = LOCAL) -> None:
        self._local = host.is_local
        self._names = _passwd(host)
        self._changes = 0
        self._seen_changes = 0
        self._asked: set[int] = set()
        self._pending: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._answered = threading.Condition()
        self._thread: threading.Thread | None = None

    def name(self, uid: int) -> str:
        """Return the name of a user if it is known by now, else the number. Never waits."""
        name = self._names.get(uid)
        if name is not None:
            return name
        if self._local:
            self._ask(uid)
        return str(uid)

    def settle(self, wait_s: float = 0.0) -> bool:
        """Wait until all pending names have arrived, `wait_s` at most.

        Return whether any arrived since the last call: some uids shown as numbers have names now.
        """
        until = time.monotonic() + wait_s
        with self._answered:
            while self._asked and (left := until - time.monotonic()) > 0:
                self._answered.wait(left)
            has_new_names = self._changes != self._seen_changes
            self._seen_changes = self._changes
        return has_new_names

    def _ask(self, uid: int) -> None:
        with self._answered:
            if uid in self._asked or uid in self._names or len(self._asked) >= MAX_PENDING:
                return
            self._asked.add(uid)
            self._pending.put(uid)
            if self._thread is None:
                self._thread = threading.Thread(target=self._look_up, name="users", daemon=True)
                self._thread.start()

    def _look_up(self) -> None:
        while True:
            uid = self._pending.get()
            try:
                name = safe_text(pwd.getpwuid(uid).pw_name, 64)
            except (KeyError, OverflowError, OSError):
                name = str(uid)
            with self._answered:
                self._names[uid] = name
                self._changes += name != str(uid)
                self._asked.discard(uid)
                self._answered.notify_all()


def _passwd(host: Host) -> dict[int, str]:
    try:
        data = host.read("/etc/passwd", PASSWD_LIMIT)
    except OSError:
        return {}
    names: dict[int, str] = {}
    for line in data.splitlines():
        fields = line.split(b":", 3)
        if len(fields) > 3 and fields[0] and fields[2].isdigit() and len(fields[2]) < 11:
            names.setdefault(int(fields[2]), safe_text(fields[0], 64))
    return names
