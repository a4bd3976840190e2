"""Pins: names of objects in a bpffs, which is per mount. Those of private mount namespaces are found, too.

Each file system is walked once, by its device number, through /proc/PID/root of a process that sees it.
A file is opened through its directory's descriptor, so that no path is followed a second time.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator

from core.bpf import syscall
from core.bpf.listing import refusal
from core.bpf.namespaces import Mount, Namespaces, mounts
from core.bpf.records import Hold, HoldKind, Kind, Refused
from core.system.host import Host

_MOST_FILES = 10_000
_DEEPEST = 32
_KINDS = {
    "anon_inode:bpf-prog": Kind.PROGRAM,
    "anon_inode:bpf-map": Kind.MAP,
    "anon_inode:bpf_link": Kind.LINK,
}


def pins(host: Host, namespaces: Namespaces, refused: list[Refused]) -> list[Hold]:
    """Return the pins of every bpffs that may be looked at; `place` is the path in its mount namespace."""
    found: list[Hold] = []
    walked: set[bytes] = set()
    for mount in mounts(host, namespaces, (b"bpf",)):
        if mount.device in walked:
            continue
        shown = mount.place.decode("utf-8", "backslashreplace")
        if mount.may_wait:
            refused.append(Refused(f"pins below {shown}", "it lies on a network or FUSE file system"))
            continue
        walked.add(mount.device)
        try:
            found += _walk_mount(host, mount, refused)
        except OSError as error:
            refused.append(Refused(f"pins below {shown}", refusal(error), "CAP_SYS_PTRACE"))
    return found


def _walk_mount(host: Host, mount: Mount, refused: list[Refused]) -> Iterator[Hold]:
    root = os.fsencode(host.proc / str(mount.pid) / "root") + mount.place
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        device = os.fstat(fd).st_dev
        if b"%d:%d" % (os.major(device), os.minor(device)) != mount.device:
            return  # something else is mounted over it
        left = [_MOST_FILES]
        yield from _walk(fd, mount.place.rstrip(b"/"), mount.namespace, left, 0)
        if left[0] < 0:
            shown = mount.place.decode("utf-8", "backslashreplace")
            refused.append(Refused(f"pins below {shown}", f"more than {_MOST_FILES} files"))
    finally:
        os.close(fd)


def _walk(fd: int, path: bytes, namespace: int, left: list[int], depth: int) -> Iterator[Hold]:
    with os.scandir(fd) as entries:
        names = sorted((os.fsencode(entry.name), entry.is_dir(follow_symlinks=False)) for entry in entries)
    for name, is_directory in names:
        left[0] -= 1
        if left[0] < 0:
            return
        place = path + b"/" + name
        if is_directory:
            if depth < _DEEPEST:
                try:
                    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
                    inner = os.open(name, flags, dir_fd=fd)
                except OSError:
                    continue
                try:
                    yield from _walk(inner, place, namespace, left, depth + 1)
                finally:
                    os.close(inner)
            continue
        hold = _pinned(fd, name, place, namespace)
        if hold is not None:
            yield hold


def _pinned(directory: int, name: bytes, place: bytes, namespace: int) -> Hold | None:
    """Return what is pinned; None for the plain files of a bpffs (`maps.debug`) and symbolic links."""
    try:
        fd = syscall.pinned(b"/proc/self/fd/%d/%s" % (directory, name))
    except OSError:
        return None
    try:
        kind = _KINDS.get(os.readlink(f"/proc/self/fd/{fd}"))
        if kind is None:
            return None
        (number,) = struct.unpack_from("=I", syscall.info(kind, fd), 4)
    except OSError:
        return None
    finally:
        os.close(fd)
    return Hold(kind, number, HoldKind.PIN, place=place, namespace=namespace)
