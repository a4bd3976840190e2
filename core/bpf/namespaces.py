"""Mount and network namespaces of a host: a process in each, and what is mounted there that matters here."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field

from core.system.host import Host

_MOST_NAMESPACES = 512
_MOUNTINFO = 8 << 20
_MAY_WAIT = ("fuse", "nfs", "cifs", "smb", "9p", "ceph", "afs", "lustre", "glusterfs", "virtiofs")
"""File systems whose server may never answer: nothing that lies on one is opened."""


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of mountinfo. `pid` is a process in whose mount namespace (`namespace`) it is."""

    pid: int
    namespace: int
    device: bytes
    root: bytes
    place: bytes
    type: bytes
    may_wait: bool


@dataclass(slots=True)
class Namespaces:
    """Inode of each namespace -> the lowest pid in it; our own first."""

    mount: dict[int, int] = field(default_factory=dict)
    network: dict[int, int] = field(default_factory=dict)


def find_namespaces(host: Host) -> Namespaces:
    """Return the namespaces of all processes that may be looked at."""
    found = Namespaces()
    try:
        pids = sorted(int(name) for name in os.listdir(host.proc) if name.isdecimal())
    except OSError:
        pids = []
    own = [os.getpid()] if host.is_local else []
    for pid in own + pids:
        for kind, table in (("mnt", found.mount), ("net", found.network)):
            with contextlib.suppress(OSError):
                inode = os.stat(host.proc / str(pid) / "ns" / kind).st_ino
                if len(table) < _MOST_NAMESPACES:
                    table.setdefault(inode, pid)
    return found


def mounts(host: Host, namespaces: Namespaces, types: tuple[bytes, ...]) -> Iterator[Mount]:
    """Yield the mounts of some file systems in every mount namespace, whole ones before parts of them."""
    found = []
    for inode, pid in namespaces.mount.items():
        try:
            with open(host.proc / str(pid) / "mountinfo", "rb", buffering=0) as file:
                lines = file.read(_MOUNTINFO).split(b"\n")
        except OSError:
            continue
        parsed = [fields for fields in map(_parse, lines) if fields]
        waiting = [place for _, _, place, kind in parsed if kind.decode("latin-1").startswith(_MAY_WAIT)]
        for device, root, place, kind in parsed:
            if kind in types:
                may_wait = any(_lies_on(place, other) for other in waiting)
                found.append(Mount(pid, inode, device, root, place, kind, may_wait))
    return iter(sorted(found, key=lambda mount: mount.root != b"/"))


def _lies_on(place: bytes, other: bytes) -> bool:
    return place == other or place.startswith(other.rstrip(b"/") + b"/")


def _parse(line: bytes) -> tuple[bytes, bytes, bytes, bytes] | None:
    """Return (device, root, mount point, file system type); proc(5)."""
    left, dash, right = line.partition(b" - ")
    fields = left.split(b" ")
    if not dash or len(fields) < 6:
        return None
    return fields[2], _unescaped(fields[3]), _unescaped(fields[4]), right.split(b" ")[0]


def _unescaped(path: bytes) -> bytes:
    for code, char in ((b"\\040", b" "), (b"\\011", b"\t"), (b"\\012", b"\n"), (b"\\134", b"\\")):
        path = path.replace(code, char)
    return path
