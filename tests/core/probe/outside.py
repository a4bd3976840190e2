"""The facts of a process as the probe says them, each beside how the outside knows it: /proc, ps, stat."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

from core.model.entities import TICK_NS, ProcessEntry


def status(pid: int, name: str) -> list[str]:
    text = Path(f"/proc/{pid}/status").read_bytes().decode("latin-1")
    return str(re.findall(rf"^{name}:\t(.*)$", text, re.MULTILINE)[0]).split()


def ids(pid: int, name: str) -> tuple[int, ...]:
    """Real, effective and file system id; between the last two stands the saved one."""
    real, effective, _, of_files = map(int, status(pid, name))
    return real, effective, of_files


def ps(pid: int, column: str) -> str:
    return subprocess.check_output(["ps", "-o", f"{column}=", "-p", str(pid)], text=True).strip()


def exe(pid: int) -> os.stat_result:
    return os.stat(f"/proc/{pid}/exe")


def device_of_exe(pid: int) -> tuple[int, int]:
    """Of the mount that the executable is on: stat tells another one for files on overlayfs."""
    file = os.open(f"/proc/{pid}/exe", os.O_PATH)
    try:
        (mount,) = re.findall(r"^mnt_id:\s*(\d+)$", Path(f"/proc/self/fdinfo/{file}").read_text(), re.M)
    finally:
        os.close(file)
    # Its own mounts, and ours: in a chroot it does not see the one that it was started from.
    mounts = Path(f"/proc/{pid}/mountinfo").read_text() + Path("/proc/self/mountinfo").read_text()
    major, minor = re.findall(rf"^{mount} \d+ (\d+):(\d+) ", mounts, re.M)[0]
    return int(major), int(minor)


def cgroup(pid: int) -> tuple[bytes, int]:
    """The path of a process in no container, and the id of its directory: named hierarchies before v2."""
    lines = [line.split(":", 2) for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines()]
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    places = []
    for _, controllers, path in lines:
        for _, where, kind, options, *_ in mounts:
            named = controllers.startswith("name=") and controllers in options.split(",")
            if (kind == "cgroup2" and not controllers) or (kind == "cgroup" and named):
                places.append((not named, path, where))
    places.sort()
    _, path, where = next((place for place in places if place[1] != "/"), places[0])
    return path.encode(), os.stat(where + path).st_ino


def script_of(pid: int) -> bytes:
    """What a shell's first argument is: our only interpreter. Nobody outside remembers what was executed."""
    arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    return arguments[1] if arguments[0] == b"/bin/sh" else b""


def login(pid: int) -> int | None:
    number = int(Path(f"/proc/{pid}/loginuid").read_text())
    return None if number == 0xFFFFFFFF else number


Facts = dict[str, tuple[Callable[[ProcessEntry], object], Callable[[int], object]]]

FACTS: Facts = {
    # what                what the probe says                        what is seen from outside
    "parent": (lambda e: e.ppid, lambda pid: int(ps(pid, "ppid"))),
    "start": (
        lambda e: e.start_ns // TICK_NS,
        lambda pid: int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[19]),
    ),
    "uids": (
        lambda e: (e.credentials.uid, e.credentials.euid, e.credentials.fsuid),
        lambda pid: ids(pid, "Uid"),
    ),
    "gids": (
        lambda e: (e.credentials.gid, e.credentials.egid, e.credentials.fsgid),
        lambda pid: ids(pid, "Gid"),
    ),
    "login": (lambda e: e.credentials.login_uid, login),
    "effective": (lambda e: e.credentials.cap_effective, lambda pid: int(status(pid, "CapEff")[0], 16)),
    "permitted": (lambda e: e.credentials.cap_permitted, lambda pid: int(status(pid, "CapPrm")[0], 16)),
    "tty": (lambda e: e.tty.decode() or "?", lambda pid: ps(pid, "tty")),
    "comm": (lambda e: e.comm + b"\n", lambda pid: Path(f"/proc/{pid}/comm").read_bytes()),
    "exe": (lambda e: e.exe, lambda pid: os.fsencode(os.readlink(f"/proc/{pid}/exe"))),
    "inode": (lambda e: e.inode, lambda pid: exe(pid).st_ino),
    "mode": (lambda e: e.mode, lambda pid: exe(pid).st_mode),
    "mtime": (lambda e: e.mtime_ns, lambda pid: exe(pid).st_mtime_ns),
    "device": (lambda e: (e.device >> 20, e.device & 0xFFFFF), device_of_exe),
    "argv": (lambda e: e.cmdline, lambda pid: Path(f"/proc/{pid}/cmdline").read_bytes()),
    "script": (lambda e: e.script, script_of),
    "cgroup": (lambda e: (e.cgroup, e.cgroup_id), cgroup),
    "pid_ns": (lambda e: e.pid_ns, lambda pid: os.stat(f"/proc/{pid}/ns/pid").st_ino),
    "mnt_ns": (lambda e: e.mnt_ns, lambda pid: os.stat(f"/proc/{pid}/ns/mnt").st_ino),
    "inner_pid": (lambda e: e.inner_pid, lambda pid: int(status(pid, "NSpid")[-1])),
}


def differing(entries: dict[str, ProcessEntry], pid: int, unknown: dict[str, set[str]]) -> list[str]:
    found = []
    for name, (ours, outside) in FACTS.items():
        seen = outside(pid)
        for source, entry in entries.items():
            told = ours(entry)
            if name in unknown.get(source, ()) or (name == "script" and source != "cache"):
                continue  # only an event knows what was executed
            if name == "argv" and entry.cmdline_truncated:
                assert isinstance(seen, bytes)
                if seen.startswith(entry.cmdline) and len(seen) > len(entry.cmdline):
                    continue
            if told != seen:
                found.append(f"{source}: {name} {told!r}, outside {seen!r}"[:300])
    return found
