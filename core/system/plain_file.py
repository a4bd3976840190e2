"""Opens files that somebody else made, without blocking and with a limit on their size.

Opening a FIFO without a writer blocks, opening some devices has effects, /dev/zero never ends, and a file of
100 GB exhausts the memory. All of them may be in a project, a home directory or another root.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path


class NotPlainError(OSError):
    """The file is not a regular file, or is larger than the limit; `strerror` says which."""


def read_plain(path: Path | str, limit: int, *, follow: bool = True) -> bytes:
    """Return the content of a regular file of at most `limit` bytes; files of /proc and /sys are regular.

    Without `follow` a symbolic link is refused (ELOOP). Raises OSError; NotPlainError when it is not a
    regular file or is longer.
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

    The type is checked first, and exactly the checked file is then opened: opening some devices has effects.
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
        except FileNotFoundError:  # /proc is not mounted
            return os.open(path, flags | link)
    finally:
        os.close(seen)
