"""The host that is looked at: where its /proc, /sys, /usr/src and /lib/modules are.

With `--host-root DIR` everything is read below DIR, and absolute symbolic links found there are
followed below DIR too, as they would be on the host itself.
"""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path

_MAX_LINKS = 40
"""As many symbolic links as the kernel follows in one path (include/linux/namei.h, MAXSYMLINKS)."""


class DanglingPathError(OSError):
    """A path of the host ends at something that is not there.

    `missing` is the first component that does not exist, as the host names it (never with the root
    in front), so that a person can tell which mount or package is absent.
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
        """Return where the host's `absolute` path is for us; links in it are not followed."""
        return self.root / absolute.lstrip("/")

    @property
    def proc(self) -> Path:
        return self.path("/proc")

    @property
    def sys(self) -> Path:
        return self.path("/sys")

    @property
    def is_local(self) -> bool:
        """True when the host that is looked at is the one this program runs on."""
        return self.root == Path("/")

    def inside(self, path: Path) -> str:
        """Return how the host itself names `path` (which lies below the root)."""
        return "/" + str(path.relative_to(self.root)).removeprefix(".")

    def realpath(self, absolute: str) -> Path:
        """Follow every symbolic link of the host's `absolute` path, never leaving the root.

        Raises DanglingPathError when something on the way does not exist, OSError on a loop.
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

    def kernel_release(self) -> str:
        """Return the release of the running kernel, e.g. `6.1.0-56-amd64`."""
        try:
            return self.path("/proc/sys/kernel/osrelease").read_text().strip()
        except OSError:
            return platform.release()

    def machine(self) -> str:
        """Return the architecture of this machine in Debian's words: `amd64`, `arm64`, …"""
        name = platform.machine()
        known = {
            "x86_64": "amd64",
            "aarch64": "arm64",
            "armv7l": "arm",
            "ppc64le": "ppc64el",
            "loongarch64": "loong64",
        }
        return known.get(name, name)

    def hostname(self) -> str:
        """Return the host's name, not yet safe to show."""
        try:
            return self.path("/proc/sys/kernel/hostname").read_text(errors="surrogateescape").strip()
        except OSError:
            return platform.node()


LOCAL = Host()
