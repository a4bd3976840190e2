"""The observed host: where its /proc, /sys, /usr/src and /lib/modules are.

With `--host-root DIR` everything is read below DIR, and absolute symbolic links are followed below DIR too,
as on the host itself.
"""

from __future__ import annotations

import errno
import os
import platform
from dataclasses import dataclass
from pathlib import Path

from core.system.plain_file import read_plain

READ_LIMIT = 1 << 20
"""Default limit of a file in bytes: no file of the host that is read with it is longer."""

_MAX_LINKS = 40
"""How many symbolic links the kernel follows in one path (include/linux/namei.h, MAXSYMLINKS)."""


class DanglingPathError(OSError):
    """A path of the host leads to something that does not exist.

    `missing` is the path up to the first component that does not exist, as on the host (without the root in
    front), so that one can see which mount or package is absent.
    """

    def __init__(self, path: str, missing: str) -> None:
        super().__init__(f"{path}: {missing} does not exist")
        self.path = path
        self.missing = missing


@dataclass(frozen=True, slots=True)
class Host:
    """One host, seen through a directory that is its root."""

    root: Path = Path("/")

    def path(self, absolute: str) -> Path:
        """Return our path for the host's `absolute` path; links in it are not followed."""
        return self.root / absolute.lstrip("/")

    @property
    def proc(self) -> Path:
        return self.path("/proc")

    @property
    def sys(self) -> Path:
        return self.path("/sys")

    @property
    def is_local(self) -> bool:
        """Whether the observed host is the one that this program runs on."""
        return self.root == Path("/")

    def inside(self, path: Path) -> str:
        """Return the host's own path for `path`, which is below the root."""
        return "/" + str(path.relative_to(self.root)).removeprefix(".")

    def realpath(self, absolute: str) -> Path:
        """Follow every symbolic link of the host's `absolute` path, never leaving the root.

        Raises DanglingPathError when a component does not exist, OSError on a loop.
        """
        todo = [part for part in reversed(absolute.split("/")) if part]
        done: list[str] = []
        links = 0
        while todo:
            part = todo.pop()
            if part == ".":
                continue
            if part == "..":
                if done:
                    done.pop()
                continue
            here = self.root.joinpath(*done, part)
            try:
                target = os.readlink(here)
            except FileNotFoundError:
                raise DanglingPathError(absolute, "/" + "/".join([*done, part])) from None
            except OSError:  # EINVAL: not a link
                done.append(part)
                continue
            links += 1
            if links > _MAX_LINKS:
                raise OSError(f"{absolute}: too many symbolic links")
            if target.startswith("/"):
                done = []
            todo.extend(p for p in reversed(target.split("/")) if p)
        return self.root.joinpath(*done)

    def read(self, absolute: str, limit: int = READ_LIMIT) -> bytes:
        """Return the content of a regular file of the host, at most `limit` bytes; links stay below its root.

        Raises OSError: FileNotFoundError; NotPlainError if it is not a regular file or is too long.
        """
        if self.is_local:
            return read_plain(absolute, limit)
        try:
            return read_plain(self.realpath(absolute), limit, follow=False)
        except DanglingPathError as error:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), error.missing) from None

    def text(self, absolute: str, limit: int = READ_LIMIT) -> str:
        """Return the same as text; bytes that are not UTF-8 become U+FFFD. Raises OSError."""
        return self.read(absolute, limit).decode(errors="replace")

    def kernel_release(self) -> str:
        """Return the release of the running kernel, e.g. `6.1.0-56-amd64`."""
        try:
            return self.text("/proc/sys/kernel/osrelease").strip()
        except OSError:
            return platform.release()

    def machine(self) -> str:
        """Return Debian's name of this machine's architecture: `amd64`, `arm64`, …"""
        name = platform.machine()
        debian_names = {
            "x86_64": "amd64",
            "aarch64": "arm64",
            "armv7l": "arm",
            "ppc64le": "ppc64el",
            "loongarch64": "loong64",
        }
        return debian_names.get(name, name)

    def hostname(self) -> str:
        """Return the host's name, not yet safe to show."""
        try:
            return self.read("/proc/sys/kernel/hostname").decode(errors="surrogateescape").strip()
        except OSError:
            return platform.node()


LOCAL = Host()
