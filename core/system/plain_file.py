"""The one way to open a file of somebody else's making: whatever lies there, it neither waits nor grows.

A FIFO without a writer keeps whoever opens it, opening some devices does something, /dev/zero never ends,
and a file of 100 GB takes what memory there is. All of them can lie in a project, a home or another root.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path


class NotPlainError(OSError):
    """It is no regular file, or a bigger one than is read; `strerror` says which."""


def read_plain(path: Path | str, limit: int, *, follow: bool = True) -> bytes:
    """Return what is in a regular file of at most `limit` bytes; files of /proc and /sys are regular.

    Unless `follow`, a link is refused (ELOOP). Raises OSError; NotPlainError when it is no regular file, or
    has more than that.
    """
    data = read_start(path, limit + 1, follow=follow)
    if len(data) > limit:
        raise NotPlainError(errno.EFBIG, f"has more than {limit} bytes", str(path))
    return data


def read_start(path: Path | str, limit: int, *, follow: bool = True) -> bytes:
    """Return the first `limit` bytes of a regular file. Raises OSError, NotPlainError."""
    descriptor = open_plain(path, follow=follow)
    try:
        chunks = []
        while limit > 0 and (chunk := os.read(descriptor, min(limit, 1 << 20))):
            chunks.append(chunk)
            limit -= len(chunk)
        return b"".join(chunks)
    finally:
        os.close(descriptor)


def open_plain(path: Path | str, *, follow: bool = True) -> int:
    """Return a descriptor of a regular file, for reading. Raises OSError, NotPlainError.

    It is looked at before it is opened, and what was looked at is opened: opening some devices has effects.
    """
    link = 0 if follow else os.O_NOFOLLOW
    try:
        seen = os.open(path, os.O_PATH | os.O_CLOEXEC | link)
    except ValueError as error:  # a NUL in the path
        raise NotPlainError(errno.EINVAL, str(error), str(path)) from None
    try:
        mode = os.fstat(seen).st_mode
        if stat.S_ISLNK(mode):
            raise NotPlainError(errno.ELOOP, "is a symbolic link", str(path))
        if not stat.S_ISREG(mode):
            raise NotPlainError(errno.EINVAL, "is not a regular file", str(path))
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
        try:
            return os.open(f"/proc/self/fd/{seen}", flags)
        except FileNotFoundError:  # no /proc here
            return os.open(path, flags | link)
    finally:
        os.close(seen)
