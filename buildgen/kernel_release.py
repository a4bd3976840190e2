"""Kernel releases, as named by `uname -r`, header packages and their directories."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import total_ordering

from buildgen.errors import KernelReleaseError
from core.system.arch import without_arch

_VERSION = re.compile(r"(\d{1,9})\.(\d{1,9})(?:\.(\d{1,9}))?(?:-(\d{1,9}))?", re.ASCII)
_RESPIN = re.compile(r"(?:[.-]\d{1,9}(?![A-Za-z0-9]))*", re.ASCII)
_MINORS_PER_MAJOR = 20
"""A major series has about 20 minors (4.20, 5.19, 6.19), so 5.19 and 6.0 are adjacent."""

Version = tuple[int, int, int, int]


@total_ordering
@dataclass(frozen=True, slots=True)
class KernelRelease:
    """One release: its text, four numbers (major, minor, patch, ABI) and the rest.

    `respin` is the numeric rest of a distribution's ABI (`.19.1` in `5.14.0-503.19.1.el9.x86_64`),
    `flavour` the words after it (`el9.x86_64`, `cloud-amd64`, `generic`); both may be empty.
    Releases are ordered by number first, so `6.1.0-9` comes before `6.1.0-10`.
    """

    text: str
    version: Version
    respin: str = ""
    flavour: str = ""

    @property
    def bare(self) -> str:
        """The text without the architecture: equal for the same kernel built for another machine."""
        return without_arch(self.text)

    @property
    def bare_flavour(self) -> str:
        """The flavour without the architecture: `cloud` of `cloud-amd64`, nothing of `amd64`."""
        return without_arch(self.flavour)

    def distance(self, other: KernelRelease) -> Version:
        """Return how far apart two kernels are, most significant step first; zero for equal numbers.

        In an older series the newest release is nearest, in a newer series the oldest: of all 6.12 releases
        the newest is nearest to 6.18.44.
        """
        (major, minor, patch, abi), theirs = self.version, other.version
        facing = -1 if self.version > theirs else 1
        if series := abs((major - theirs[0]) * _MINORS_PER_MAJOR + minor - theirs[1]):
            return (series, facing * theirs[2], facing * theirs[3], 0)
        if patches := abs(patch - theirs[2]):
            return (0, patches, facing * theirs[3], 0)
        return (0, 0, abs(abi - theirs[3]), 0)

    def __lt__(self, other: KernelRelease) -> bool:
        return self._order() < other._order()

    def _order(self) -> tuple[Version, list[int], str]:
        return self.version, [int(number) for number in re.findall(r"\d+", self.respin)], self.flavour

    def __str__(self) -> str:
        return self.text


def parse_kernel_release(text: str) -> KernelRelease:
    """Return the release named anywhere in `text`: `N.N`, `N.N.N`, each with or without `-N`.

    Missing numbers are 0. Raises KernelReleaseError if there is no `N.N` at all.
    """
    numbers = _VERSION.search(text)
    if numbers is None:
        raise KernelReleaseError(f"cannot parse a kernel version from {text!r}")
    major, minor, patch, abi = (int(number or 0) for number in numbers.groups())
    rest = text[numbers.end() :]
    respin = _RESPIN.match(rest)
    tail = respin.end() if respin else 0
    return KernelRelease(
        text=text[numbers.start() :],
        version=(major, minor, patch, abi),
        respin=rest[:tail],
        flavour=rest[tail:].strip("-.+_"),
    )
