"""Writes files so that no link and no other user can redirect the write.

Root also writes where other users can write: below a checkout, in /tmp, in a home directory. So a new file is
created with O_EXCL and O_NOFOLLOW in a directory held by a descriptor, and gets its name only when it is
complete. `not_only` reports who else could change a path, judging by ownership and permissions.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import grp
import os
import pwd
import stat
from collections.abc import Iterator
from pathlib import Path

_MAX_LINKS = 40
"""How many symbolic links the kernel follows in one path (include/linux/namei.h, MAXSYMLINKS)."""
_LINK = "is a symbolic link, which is not followed"
_ACL = "system.posix_acl_access"
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


@contextlib.contextmanager
def acting_as(uid: int, gid: int) -> Iterator[None]:
    """Create and open files as this user in this thread (setfsuid(2)), without root's rights over files.

    Raises PermissionError when the kernel refuses it, as it does without CAP_SETUID.
    """
    libc = ctypes.CDLL(None)
    group, user = libc.setfsgid(gid), libc.setfsuid(uid)
    try:
        if (libc.setfsgid(-1), libc.setfsuid(-1)) != (gid, uid):  # the calls do not report errors
            raise PermissionError(errno.EPERM, f"cannot write as {name_of(uid)}: CAP_SETUID is missing")
        yield
    finally:
        libc.setfsuid(user)
        libc.setfsgid(group)


# --- who else could change a path ------------------------------------------------------------------


def name_of(uid: int) -> str:
    """Return a user's name, or `uid N` if there is none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except (KeyError, OverflowError):
        return f"uid {uid}"


def passed_through(path: str | Path) -> Iterator[tuple[str, os.stat_result]]:
    """Yield every directory and link on the way to `path`, and its end, each with its lstat.

    Links are followed by hand, because a user who can change the directory of a link controls where it leads.
    Raises OSError when a component is missing, and for a circle of links.
    """
    todo = [part for part in reversed(os.path.abspath(path).split("/")) if part]
    here, links = "/", 0
    yield here, os.lstat(here)
    while todo:
        part = todo.pop()
        if part == "..":
            here = os.path.dirname(here)
            continue
        step = os.path.join(here, part)
        about = os.lstat(step)
        yield step, about
        if not stat.S_ISLNK(about.st_mode):
            here = step
            continue
        links += 1
        if links > _MAX_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
        target = os.readlink(step)
        here = "/" if target.startswith("/") else here
        todo.extend(part for part in reversed(target.split("/")) if part not in ("", "."))


def not_only(uid: int, path: str | Path, *, as_parent: bool = False) -> str:
    """Return why somebody other than `uid` and root could change `path`; empty when nobody could.

    The reason is that `path`, or a directory or link on the way to it, belongs to another user or is writable
    by others. A sticky directory such as /tmp may be on the way; with `as_parent` also at the end.
    Raises OSError when `path` does not exist.
    """
    steps = list(passed_through(path))
    for number, (step, about) in enumerate(steps):
        on_the_way = as_parent or number < len(steps) - 1
        if problem := changed_by_others(uid, step, about, on_the_way=on_the_way):
            return problem
    return ""


def changed_by_others(uid: int, path: str, about: os.stat_result, *, on_the_way: bool) -> str:
    """Return why others than `uid` and root could change this file or directory; empty when nobody could."""
    if about.st_uid not in (0, uid):
        return f"{path} belongs to {name_of(about.st_uid)}"
    if stat.S_ISLNK(about.st_mode):
        return ""
    if on_the_way and stat.S_ISDIR(about.st_mode) and about.st_mode & stat.S_ISVTX:
        return ""  # others may create files there, but not rename or delete ours
    if about.st_mode & stat.S_IWOTH:
        return f"{path} is writable by every user"
    if _is_shared(uid, path, about):
        return f"{path} is writable by other users (through its group or access list)"
    return ""


def _is_shared(uid: int, path: str, about: os.stat_result) -> bool:
    return bool(about.st_mode & stat.S_IWGRP) and (_has_acl(path) or not _is_private(about.st_gid, uid))


def _has_acl(path: str) -> bool:
    """Return whether the file has an access list; the group's permission bits then show its mask."""
    try:
        return _ACL in os.listxattr(path, follow_symlinks=False)
    except OSError:
        return False


def _is_private(gid: int, uid: int) -> bool:
    """Return whether a group contains only this user or root: with such private groups the umask is 002."""
    for user in (uid, 0):
        try:
            entry, group = pwd.getpwuid(user), grp.getgrgid(gid)
        except (KeyError, OverflowError):
            continue
        if (entry.pw_gid, entry.pw_name) == (gid, group.gr_name) and set(group.gr_mem) <= {entry.pw_name}:
            return True
    return False


# --- directories -----------------------------------------------------------------------------------


def open_below(directory: int, name: str, where: Path, *, make: bool) -> int:
    """Return a descriptor of the directory `name` in an open directory, never following a link.

    `where` is the open directory's path, for messages. With `make` a missing `name` is created (0755).
    Raises OSError; NotADirectoryError when `name` is a link or a file.
    """
    if make:
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, 0o755, dir_fd=directory)
    try:
        return os.open(name, _DIRECTORY | os.O_NOFOLLOW, dir_fd=directory)
    except OSError as error:
        raise _in_the_way(error, name, directory, where / name) from None


def _in_the_way(error: OSError, name: str, directory: int, path: Path) -> OSError:
    if error.errno in (errno.ELOOP, errno.ENOTDIR):
        with contextlib.suppress(OSError):
            if stat.S_ISLNK(os.lstat(name, dir_fd=directory).st_mode):
                return NotADirectoryError(errno.ENOTDIR, _LINK, str(path))
        return NotADirectoryError(errno.ENOTDIR, "is not a directory", str(path))
    return OSError(error.errno, error.strerror, str(path))


# --- files -----------------------------------------------------------------------------------------


def write_whole(directory: int, name: str, content: bytes, mode: int = 0o644) -> None:
    """Write a file `name` in an open directory, completely or not at all, replacing an existing one.

    A link with that name is replaced, not followed. Raises OSError.
    """
    temporary = f".{name}.{os.urandom(8).hex()}.new"
    descriptor = os.open(temporary, _NEW, mode, dir_fd=directory)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        os.replace(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary, dir_fd=directory)
        raise


def write_file(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Write a file at `path`, as `write_whole` does. Raises OSError."""
    directory = os.open(path.parent, _DIRECTORY)
    try:
        write_whole(directory, path.name, content, mode)
    finally:
        os.close(directory)


def create(path: str | Path, mode: int = 0o600) -> int:
    """Return a descriptor of a new file. An existing file is not replaced, and a link is not followed.

    In a directory that another user controls, the file is created as that user. Raises OSError.
    """
    with _as_who_controls(Path(path).parent):
        return os.open(path, _NEW, mode)


def append(path: str | Path, mode: int = 0o600) -> int:
    """Return a descriptor that appends to a regular file of our own; it is created when missing.

    Raises OSError, also for a link, a FIFO, a file with several hard links, and a file of another user.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with _as_who_controls(Path(path).parent) as uid:
        try:
            descriptor = os.open(path, flags, mode)
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise OSError(errno.ELOOP, _LINK, str(path)) from None
            raise
    about = os.fstat(descriptor)
    problem = (
        "is not a plain file"
        if not stat.S_ISREG(about.st_mode)
        else f"belongs to {name_of(about.st_uid)}"
        if about.st_uid not in (uid, os.geteuid())
        else "has another hard link elsewhere"
        if about.st_nlink > 1
        else ""
    )
    if problem:
        os.close(descriptor)
        raise PermissionError(errno.EPERM, problem, str(path))
    return descriptor


@contextlib.contextmanager
def _as_who_controls(directory: Path) -> Iterator[int]:
    """Act as the user who controls `directory` if that is not root; yield the owner that new files get.

    Only root needs this: other users have no rights that somebody could misuse. Raises PermissionError when
    more than one other user could redirect the write.
    """
    if os.geteuid() != 0:
        yield os.geteuid()
        return
    steps = list(passed_through(directory))
    strangers = {about.st_uid: about.st_gid for _, about in steps if about.st_uid != 0}
    for step, about in steps[:-1]:
        writable = about.st_mode & stat.S_IWOTH or _is_shared(about.st_uid, step, about)
        moved = stat.S_ISDIR(about.st_mode) and writable and not about.st_mode & stat.S_ISVTX
        if (moved and not strangers) or len(strangers) > 1:
            why = f"other users control {step}, so nothing is written below it"
            raise PermissionError(errno.EPERM, why, str(directory))
    if not strangers:
        yield 0
        return
    ((uid, gid),) = strangers.items()
    with acting_as(uid, gid):
        yield uid


def read_regular(
    path: str | Path, limit: int, *, dir_fd: int | None = None, from_end: bool = False, link: bool = False
) -> bytes | None:
    """Return the first (or last) `limit` bytes of a regular file; None when it cannot be read.

    A FIFO or device in its place does not block, and a link is followed only with `link`.
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if link else os.O_NOFOLLOW)
    try:
        descriptor = os.open(path, flags, dir_fd=dir_fd)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        try:
            if from_end:
                file.seek(max(0, file.seek(0, os.SEEK_END) - limit))
            return file.read(limit)
        except OSError:
            return None
