"""Finds the state directories of this host's daemons when they are not in the usual places."""

from __future__ import annotations

import os
import time
from typing import NamedTuple

import msgspec

from core.containers.executables import is_roots_daemon
from core.containers.state_files import Stamp, StateFiles
from core.containers.work import StateError

_RESCAN_S = 5.0
"""Interval of scans of /proc, in seconds; a scan costs 10 us per process and is made only when needed."""

_ARGUMENTS_LIMIT = 64 * 1024


class Home(NamedTuple):
    """The user of a rootless runtime, from the `user-UID.slice` of its containers."""

    uid: int
    path: str
    gid: int = 65534


class _DaemonJson(msgspec.Struct):
    data_root: str = msgspec.field(default="", name="data-root")
    graph: str = ""  # its name before Docker 17.05


class Daemons:
    """The directories that running daemons are configured to use, from argv and /etc; asks no daemon."""

    def __init__(self, files: StateFiles) -> None:
        self._files = files
        self._scanned: float | None = None
        self._docker_roots: tuple[str, ...] = ()
        self._docker_sockets: tuple[str, ...] = ()
        self._containerd_roots: tuple[str, ...] = ()
        self._homes: tuple[Stamp | None, dict[int, Home]] | None = None

    def docker_roots(self, search: bool) -> tuple[str, ...]:
        """Return Docker's data-roots that are not the default; `search` also scans for new daemons."""
        if search:
            self._scan()
        return self._docker_roots

    def docker_sockets(self) -> tuple[str, ...]:
        """Return the unix sockets that running Docker daemons listen on, from their argv."""
        self._scan()
        return self._docker_sockets

    def containerd_roots(self) -> tuple[str, ...]:
        """Return the directories with the databases of running containerds, from their argv."""
        self._scan()
        return self._containerd_roots

    def _scan(self) -> None:
        now = time.monotonic()
        if self._scanned is not None and now - self._scanned <= _RESCAN_S:
            return
        self._scanned = now
        running = self._running_daemons()
        roots = [root for line in running[b"dockerd"] for root in data_roots(line)]
        self._docker_roots = tuple(dict.fromkeys((*self._configured_roots(), *roots)))
        sockets = [path for line in running[b"dockerd"] for path in unix_sockets(line)]
        self._docker_sockets = tuple(dict.fromkeys(sockets))
        given = [root for line in running[b"containerd"] for root in _values(line, ("--root", "-root"))]
        self._containerd_roots = tuple(dict.fromkeys(root for root in given if root.startswith("/")))

    def home(self, uid: int) -> Home | None:
        """Return the home directory of a user from the host's own /etc/passwd."""
        stamp = self._files.stamp("/etc/passwd")
        if self._homes is None or self._homes[0] != stamp:
            self._homes = (stamp, _homes(self._files.read("/etc/passwd") or b""))
        return self._homes[1].get(uid)

    def _configured_roots(self) -> list[str]:
        try:
            config = self._files.read_json("/etc/docker/daemon.json", _DaemonJson)
        except StateError:  # dockerd itself would not start with it
            return []
        return [root for root in (config.data_root, config.graph) if root] if config else []

    def _running_daemons(self) -> dict[bytes, list[bytes]]:
        """Return the argv of each dockerd and containerd that root runs, as /proc has it."""
        running: dict[bytes, list[bytes]] = {b"dockerd": [], b"containerd": []}
        host = self._files.host
        try:
            pids = [name for name in os.listdir(host.proc) if name.isdecimal()]
        except OSError:
            return running
        for pid in pids:
            process = host.proc / pid
            try:
                # A cheap filter only: a process can have any name. So its executable is checked.
                name = (process / "comm").read_bytes().rstrip(b"\n")
                if name in running and is_roots_daemon(host, process, name.decode()):
                    with open(process / "cmdline", "rb") as file:
                        running[name].append(file.read(_ARGUMENTS_LIMIT))
            except OSError:  # it ended
                continue
        return running


def data_roots(cmdline: bytes) -> list[str]:
    """Return the absolute directories given by `--data-root` (and its old names) in a dockerd's argv."""
    given = _values(cmdline, ("--data-root", "-data-root", "--graph", "-g"))
    return [root for root in given if root.startswith("/")]


def unix_sockets(cmdline: bytes) -> list[str]:
    """Return the paths of the unix sockets given by `-H` in a dockerd's argv."""
    given = _values(cmdline, ("--host", "-host", "-H"))
    return [value.removeprefix("unix://") for value in given if value.startswith("unix:///")]


def _values(cmdline: bytes, names: tuple[str, ...]) -> list[str]:
    """Return the values of an option in an argv, written as `NAME=VALUE` or as `NAME VALUE`."""
    arguments = cmdline.decode(errors="surrogateescape").split("\0")
    values = []
    for argument, following in zip(arguments, [*arguments[1:], ""], strict=True):
        name, equals, value = argument.partition("=")
        if name in names:
            values.append(value if equals else following)
    return values


def _homes(passwd: bytes) -> dict[int, Home]:
    homes: dict[int, Home] = {}
    for line in passwd.decode(errors="surrogateescape").splitlines():
        fields = line.split(":")
        if len(fields) != 7 or not fields[5].startswith("/"):
            continue
        if all(number.isascii() and number.isdecimal() and len(number) < 11 for number in fields[2:4]):
            homes.setdefault(int(fields[2]), Home(int(fields[2]), fields[5], int(fields[3])))
    return homes
