"""What runs at cgroups: each directory of the cgroup2 tree is asked, for the attach types of loaded programs.

Directories are walked by descriptors, so a path may be longer than PATH_MAX (where `bpftool cgroup tree`
stops). With no program of a cgroup type loaded nothing is walked.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator

from core.bpf import names, syscall
from core.bpf.namespaces import Namespaces, mounts
from core.bpf.records import Attachment, Link, Program, Refused
from core.system.host import Host

_MOST_DIRECTORIES = 5_000
_DEEPEST = 200
"""One descriptor is open for each level."""

_ATTACHES = {
    "cgroup_skb": ("cgroup_inet_ingress", "cgroup_inet_egress"),
    "cgroup_sock": (
        "cgroup_inet_sock_create", "cgroup_inet_sock_release",
        "cgroup_inet4_post_bind", "cgroup_inet6_post_bind",
    ),
    "sock_ops": ("cgroup_sock_ops",),
    "cgroup_device": ("cgroup_device",),
    "cgroup_sysctl": ("cgroup_sysctl",),
    "cgroup_sockopt": ("cgroup_getsockopt", "cgroup_setsockopt"),
}  # fmt: skip
"""Program type -> attach types. `cgroup_sock_addr` has all others."""


def cgroup_attachments(
    host: Host,
    namespaces: Namespaces,
    programs: tuple[Program, ...],
    links: tuple[Link, ...],
    refused: list[Refused],
) -> list[Attachment]:
    """Return the attachments of every cgroup; `where` is its path below the root of the hierarchy."""
    wanted = _wanted({program.type for program in programs})
    if not wanted:
        return []
    linked = {(link.program_id, link.cgroup_id): link.id for link in links if link.cgroup_id}
    found: list[Attachment] = []
    mount = next((m for m in mounts(host, namespaces, (b"cgroup2",)) if m.root == b"/"), None)
    if mount is None:
        return []
    root = os.fsencode(host.proc / str(mount.pid) / "root") + mount.place
    left = _MOST_DIRECTORIES
    try:
        for fd, path, inode in _cgroups(root):
            left -= 1
            if left < 0:
                refused.append(
                    Refused("cgroups", f"more than {_MOST_DIRECTORIES}; the others were not asked")
                )
                break
            for attach in tuple(wanted):
                try:
                    there = syscall.attached(fd, attach)
                except OSError as error:
                    if error.errno in (errno.EPERM, errno.EACCES):
                        refused.append(Refused("cgroups", "the kernel refuses to answer", "CAP_NET_ADMIN"))
                        return found
                    wanted.discard(attach)  # this kernel does not know it
                    continue
                for program in there:
                    link = linked.get((program, inode), 0)
                    found.append(Attachment(program, names.attach_type(attach), path or b"/", 0, link))
    except OSError as error:
        refused.append(Refused("cgroups", os.strerror(error.errno or 0)))
    return found


def _wanted(types: set[str]) -> set[int]:
    words = {word for type_ in types for word in _ATTACHES.get(type_, ())}
    others = {word for group in _ATTACHES.values() for word in group} | {"lsm_cgroup"}
    return {
        number
        for number in names.CGROUP_ATTACH_TYPES
        if names.attach_type(number) in words
        or ("cgroup_sock_addr" in types and names.attach_type(number) not in others)
    }


def _cgroups(root: bytes) -> Iterator[tuple[int, bytes, int]]:
    """Yield (descriptor, path, inode) of every directory; the descriptor is closed afterwards."""
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield from _walk(fd, b"", 0)
    finally:
        os.close(fd)


def _walk(fd: int, path: bytes, depth: int) -> Iterator[tuple[int, bytes, int]]:
    yield fd, path, os.fstat(fd).st_ino
    if depth >= _DEEPEST:
        return
    with os.scandir(fd) as entries:
        names_there = sorted(os.fsencode(e.name) for e in entries if e.is_dir(follow_symlinks=False))
    for name in names_there:
        try:
            inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
        except FileNotFoundError:
            continue
        try:
            yield from _walk(inner, path + b"/" + name, depth + 1)
        finally:
            os.close(inner)
