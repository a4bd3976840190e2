"""One directory that may contain kernel headers: what it really contains, whatever its name.

Distributions split a kernel's headers in two: the *arch half*, made by building one flavour
(include/generated/autoconf.h, arch/K/include/generated), and the *common half*, the part of the source
tree that every flavour shares (include/linux/kconfig.h). A *full* tree has both. Neither half suffices.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from buildgen.errors import KernelReleaseError
from buildgen.kernel_release import KernelRelease, parse_kernel_release
from core.system.arch import ARCHES, Arch, arches_in
from core.system.host import Host

Holds = Literal["arch", "common", "full", "none"]

_NAME_PREFIX = re.compile(r"^(?:linux-(?:[^/]*-)?(?:headers|kbuild)-|linux-)")
_UTS_RELEASE = re.compile(r'^#define\s+UTS_RELEASE\s+"([^"]+)"', re.MULTILINE)
_MAKEFILE_POINTS = re.compile(
    r"^(?:include\s+(?P<file>\S+)/Makefile\s*$|(?:KERNELSRC|MAKEARGS)\s*:?=\s*(?:-C\s+)?(?P<dir>/\S+))",
    re.MULTILINE,
)
_MAKEFILE_NUMBER = re.compile(r"^(VERSION|PATCHLEVEL|SUBLEVEL)\s*=\s*(\d+)\s*$", re.MULTILINE)
_POINTER = 4096
"""Bytes searched in a Makefile: one that only points elsewhere is a few lines long."""
_SMALL = 256 * 1024
"""Limit for every file read here (the kernel's top Makefile has 75 kB)."""


@dataclass(frozen=True, slots=True)
class HeaderTree:
    """What `examine` found in one resolved directory."""

    path: Path
    release: KernelRelease | None
    configured: frozenset[Arch]
    """The architectures it was configured for; empty if its content does not show any."""
    kconfig: bool
    autoconf: bool
    arch_dirs: frozenset[str]
    """The directories below arch/ that contain an include directory."""
    own_asm: frozenset[str]
    """Those of `arch_dirs` with source headers, not only with generated ones."""
    points_to: tuple[Path, ...] = field(default=())
    """Where its Makefile or `source` link locates the rest of the tree."""

    def holds(self, arch: Arch) -> Holds:
        """Return which part of the headers of `arch` this directory has."""
        if self.autoconf:
            return "full" if self.kconfig and arch.kernel in self.own_asm else "arch"
        return "common" if self.kconfig else "none"

    def fits(self, arch: Arch) -> bool:
        """Return False if the tree was configured for other architectures only."""
        return not self.configured or arch in self.configured


def examine(host: Host, path: Path, module_release: str | None = None) -> HeaderTree:
    """Examine `path`, a directory with its links resolved. Never raises because of its content.

    `module_release` is the R of the /lib/modules/R/build that led here: on Arch Linux, where the
    directory itself is called `build`, only its content and R name the kernel.
    """
    arch_dirs = frozenset(
        entry.name for entry in _scan(path / "arch") if (path / "arch" / entry.name / "include").is_dir()
    )
    autoconf = _is_file(path / "include/generated/autoconf.h") or _is_file(path / "include/linux/autoconf.h")
    return HeaderTree(
        path=path,
        release=_release(path, module_release if autoconf else None),
        configured=_configured(path, arch_dirs) if autoconf else frozenset(),
        kconfig=_is_file(path / "include/linux/kconfig.h"),
        autoconf=autoconf,
        arch_dirs=arch_dirs,
        own_asm=frozenset(name for name in arch_dirs if (path / "arch" / name / "include/asm").is_dir()),
        points_to=_points_to(host, path),
    )


def named_release(name: str) -> KernelRelease | None:
    """Return the release in a directory's name; `linux-hwe-6.11-headers-6.11.0-21` is 6.11.0-21."""
    try:
        return parse_kernel_release(_NAME_PREFIX.sub("", name))
    except KernelReleaseError:
        return None


def _release(path: Path, module_release: str | None) -> KernelRelease | None:
    """Return the release, from the content first: a directory can be renamed, a build cannot."""
    made = _UTS_RELEASE.search(_read(path / "include/generated/utsrelease.h"))
    if made:
        return named_release(made[1])
    # SUSE calls its directory `default`, Arch Linux `build`: the version is in a parent directory or in R.
    for name in (path.name, module_release, path.parent.parent.name, path.parent.name):
        if name and (release := named_release(name)):
            return release
    numbers = dict(_MAKEFILE_NUMBER.findall(_read(path / "Makefile")[:1024]))
    if len(numbers) == 3:
        return named_release("{VERSION}.{PATCHLEVEL}.{SUBLEVEL}".format_map(numbers))
    return None


def _configured(path: Path, arch_dirs: frozenset[str]) -> frozenset[Arch]:
    made = frozenset(
        arch
        for arch in ARCHES
        if arch.kernel in arch_dirs and (path / "arch" / arch.kernel / "include/generated").is_dir()
    )
    return made or arches_in(path.name)


def _points_to(host: Host, path: Path) -> tuple[Path, ...]:
    """Return the other trees that this tree points to; broken pointers are dropped."""
    wanted = []
    makefile = path / "Makefile"
    if makefile.is_symlink():
        wanted.append(os.path.dirname(os.path.join(host.inside(path), os.readlink(makefile))))
    else:
        wanted += [
            pointer["file"] or pointer["dir"]
            for pointer in _MAKEFILE_POINTS.finditer(_read(makefile)[:_POINTER])
        ]
    if (path / "source").is_symlink():
        wanted.append(os.path.join(host.inside(path), "source"))
    reached = []
    for target in wanted:
        try:
            reached.append(host.realpath(os.path.join(host.inside(path), target)))
        except OSError:
            continue
    return tuple(dict.fromkeys(tree for tree in reached if tree != path and tree.is_dir()))


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False


def _scan(path: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(path) as entries:
            return list(entries)
    except OSError:
        return []


def _read(path: Path) -> str:
    """Return the start of a regular file, else an empty text: a FIFO in a hostile tree must not block us."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    with os.fdopen(fd, "rb") as file:
        try:
            return file.read(_SMALL).decode("utf-8", "replace") if path.is_file() else ""
        except OSError:
            return ""
