"""What /proc says about one process, as far as maps of agents say it too: ids, namespaces, cgroups, times.

Read without the process's memory (no cmdline, no environ): nothing here can wait for a process that is stuck.
"""

from __future__ import annotations

import contextlib
import os
import time

import msgspec

from core.containers.cgroup_file import parse_cgroup_file, read_cgroup_file
from core.system.host import Host

_MOST_THREADS = 64
_NAMESPACES = ("mnt", "pid", "net", "cgroup", "ipc", "uts", "user", "time")
_TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


class ProcessFacts(msgspec.Struct, frozen=True):
    """One process. `start_ns` is CLOCK_BOOTTIME in steps of a tick; `monotonic_ns` the same without sleep.

    `inner_pids`: its pid in each pid namespace, outermost first. `cgroup_ids`: one for each hierarchy.
    """

    pid: int
    ppid: int
    comm: bytes
    start_ns: int
    monotonic_ns: int
    tids: tuple[int, ...]
    inner_pids: tuple[int, ...]
    uids: tuple[int, ...]
    gids: tuple[int, ...]
    namespaces: dict[str, int]
    cgroup_ids: tuple[int, ...]
    exe: bytes = b""
    exe_inode: int = 0


def read_facts(host: Host, pid: int) -> ProcessFacts:
    """Read one process. Raises OSError (FileNotFoundError, ProcessLookupError: it is gone)."""
    directory = host.proc / str(pid)
    stat = _read(directory / "stat")
    left, _, right = stat.rpartition(b")")
    fields = right.split()
    status = dict(
        line.split(b":\t", 1) for line in _read(directory / "status").split(b"\n") if b":\t" in line
    )
    start = int(fields[19]) * _TICK_NS
    asleep = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.monotonic_ns()
    namespaces = {}
    for name in _NAMESPACES:
        with contextlib.suppress(OSError):
            namespaces[name] = os.stat(directory / "ns" / name).st_ino
    exe, inode = b"", 0
    with contextlib.suppress(OSError):
        exe = os.fsencode(os.readlink(directory / "exe"))
        inode = _exe_inode(directory / "exe")
    return ProcessFacts(
        pid=pid,
        ppid=int(fields[1]),
        comm=left.partition(b"(")[2],
        start_ns=start,
        monotonic_ns=start - asleep,
        tids=_tids(directory / "task"),
        inner_pids=tuple(map(int, status.get(b"NSpid", b"").split())),
        uids=tuple(map(int, status.get(b"Uid", b"").split())),
        gids=tuple(map(int, status.get(b"Gid", b"").split())),
        namespaces=namespaces,
        cgroup_ids=cgroup_ids(host, pid),
        exe=exe,
        exe_inode=inode,
    )


def _exe_inode(link: os.PathLike[str]) -> int:
    """Return the inode of the executable, found through a descriptor that opens nothing."""
    fd = os.open(link, os.O_PATH | os.O_CLOEXEC)
    try:
        return _inode(fd)
    finally:
        os.close(fd)


def _inode(fd: int) -> int:
    """fdinfo names the inode (Linux 5.14) without asking its file system, which may be a dead server."""
    with open(f"/proc/self/fdinfo/{fd}", "rb") as file:
        for line in file.read(4096).split(b"\n"):
            if line.startswith(b"ino:\t"):
                return int(line[5:])
    return 0


def _tids(directory: os.PathLike[str]) -> tuple[int, ...]:
    return tuple(sorted(int(name) for name in os.listdir(directory) if name.isdecimal())[:_MOST_THREADS])


def cgroup_ids(host: Host, pid: int) -> tuple[int, ...]:
    """Return the ids of a process's cgroups, v2 first: the inodes of their directories."""
    places = _hierarchies(host)
    found = []
    for line in sorted(parse_cgroup_file(read_cgroup_file(host, pid)), key=lambda line: line.hierarchy):
        place = places.get(line.controllers)
        if place is not None and b"/.." not in line.path:
            with contextlib.suppress(OSError):
                found.append(os.stat(place + line.path).st_ino)
    return tuple(dict.fromkeys(found))


def _hierarchies(host: Host) -> dict[bytes, bytes]:
    """Return controllers (b"" for v2) -> where the hierarchy's root is mounted."""
    found: dict[bytes, bytes] = {}
    root = os.fsencode(host.root).rstrip(b"/")
    for line in _read(host.proc / "self/mountinfo", 8 << 20).split(b"\n"):
        left, dash, right = line.partition(b" - ")
        fields, kind = left.split(b" "), right.split(b" ")
        if not dash or len(fields) < 5 or fields[3] != b"/" or len(kind) < 3:
            continue
        if kind[0] == b"cgroup2":
            found.setdefault(b"", root + fields[4])
        elif kind[0] == b"cgroup":
            words = [word for word in kind[2].split(b",") if word not in (b"rw", b"ro", b"xattr", b"none")]
            found.setdefault(b",".join(words), root + fields[4])
    return found


def _read(path: os.PathLike[str], limit: int = 65536) -> bytes:
    with open(path, "rb", buffering=0) as file:
        return file.read(limit)
