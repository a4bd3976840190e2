"""Where this host's daemons keep their state, when it is not the usual place."""

from __future__ import annotations

import os
import time
from typing import NamedTuple

import msgspec

from core.containers.state_files import StateError, StateFiles

_RESCAN_S = 5.0
"""A look through all of /proc costs 10 us a process; it is done only while something is not found."""

_ARGUMENTS_LIMIT = 64 * 1024


class Home(NamedTuple):
    """The user of a rootless runtime, from the `user-UID.slice` its containers are in."""

    uid: int
    path: str


class _DaemonJson(msgspec.Struct):
    data_root: str = msgspec.field(default="", name="data-root")
    graph: str = ""  # its name before Docker 17.05


class Daemons:
    """The folders that running daemons were told to use. Asks no daemon; reads argv and /etc."""

    def __init__(self, files: StateFiles) -> None:
        self._files = files
        self._scanned: float | None = None
        self._docker_roots: tuple[str, ...] = ()
        self._homes: dict[int, str] | None = None

    def docker_roots(self, search: bool) -> tuple[str, ...]:
        """Return Docker's data-roots that are not the default; `search` looks for new daemons, at times."""
        now = time.monotonic()
        if search and (self._scanned is None or now - self._scanned > _RESCAN_S):
            self._scanned = now
            self._docker_roots = tuple(dict.fromkeys((*self._configured_roots(), *self._running_roots())))
        return self._docker_roots

    def home(self, uid: int) -> Home | None:
        """Return the home folder of a user by the host's own /etc/passwd."""
        if self._homes is None:
            self._homes = {}
            for line in (
                (self._files.read("/etc/passwd") or b"").decode(errors="surrogateescape").splitlines()
            ):
                fields = line.split(":")
                if len(fields) == 7 and fields[2].isdecimal() and fields[5].startswith("/"):
                    self._homes.setdefault(int(fields[2]), fields[5])
        path = self._homes.get(uid)
        return Home(uid, path) if path else None

    def _configured_roots(self) -> list[str]:
        try:
            config = self._files.read_json("/etc/docker/daemon.json", _DaemonJson)
        except StateError:  # dockerd itself would not start with it
            return []
        return [root for root in (config.data_root, config.graph) if root] if config else []

    def _running_roots(self) -> list[str]:
        roots: list[str] = []
        proc = self._files.host.proc
        try:
            pids = [name for name in os.listdir(proc) if name.isdecimal()]
        except OSError:
            return []
        for pid in pids:
            try:
                if (proc / pid / "comm").read_bytes() != b"dockerd\n":
                    continue
                # Anybody can call a program dockerd and point it at state of his own making.
                if os.stat(proc / pid).st_uid == 0:
                    roots.extend(data_roots((proc / pid / "cmdline").read_bytes()[:_ARGUMENTS_LIMIT]))
            except OSError:  # it ended
                continue
        return roots


def data_roots(cmdline: bytes) -> list[str]:
    """Return the absolute folders given by `--data-root` (and its old names) in a dockerd's argv."""
    arguments = cmdline.decode(errors="surrogateescape").split("\0")
    roots = []
    for argument, following in zip(arguments, [*arguments[1:], ""], strict=True):
        name, equals, value = argument.partition("=")
        if name in ("--data-root", "-data-root", "--graph", "-g"):
            roots.append(value if equals else following)
    return [root for root in roots if root.startswith("/")]
