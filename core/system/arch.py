"""The architectures and their names in the kernel, gcc, Debian, LLVM, Go and `uname -m`.

The name is the one of Debian and Go where these agree. "x86", "powerpc" and "arm" are directories in the
kernel tree; here they mean the architecture that eBPF is built for today (amd64, ppc64el, arm).
"""

from __future__ import annotations

import platform
import re
import sys
from dataclasses import dataclass, field

from core.text.safe import safe_text


class ArchError(Exception):
    """A word that does not name an architecture of ARCHES; the message is one safe line."""

    def __init__(self, message: str) -> None:
        super().__init__(safe_text(message))


@dataclass(frozen=True, slots=True)
class Arch:
    """One architecture. Two are equal when their names are."""

    name: str
    kernel: str = field(compare=False)
    """Directory under arch/ in the kernel tree, and the suffix in `__TARGET_ARCH_<suffix>`."""
    gcc: str = field(compare=False)
    """First part of gcc's triple; also the argument of `clang -target` for kernel-header objects."""
    debian: str = field(compare=False)
    triple: str = field(compare=False)
    """Debian's multiarch directory, as in /usr/include/<triple>/asm."""
    llvm: str = field(compare=False)
    uname: str = field(compare=False)
    macros: tuple[str, ...] = field(compare=False)
    """Macros that the compiler of that architecture predefines and the headers test."""
    others: tuple[str, ...] = field(default=(), compare=False)
    bits: int = field(default=64, compare=False)
    big_endian: bool = field(default=False, compare=False)

    @property
    def spellings(self) -> frozenset[str]:
        """All names of this architecture, in lower case."""
        names = (self.name, self.kernel, self.gcc, self.debian, self.llvm, self.uname)
        return frozenset({*names, *self.others})

    @property
    def byte_order(self) -> str:
        """`little` or `big`, as in sys.byteorder."""
        return "big" if self.big_endian else "little"

    @property
    def bpf_target(self) -> str:
        """LLVM's name of the BPF target with this byte order; `bpf` means the byte order of this host."""
        if self.byte_order == sys.byteorder:
            return "bpf"
        return "bpfeb" if self.big_endian else "bpfel"

    def __str__(self) -> str:
        return self.name


ARCHES = (
    Arch(
        "amd64", "x86", "x86_64", "amd64", "x86_64-linux-gnu", "x86-64", "x86_64",
        ("__x86_64__",), ("x64",),
    ),
    Arch(
        "arm64", "arm64", "aarch64", "arm64", "aarch64-linux-gnu", "aarch64", "aarch64",
        ("__aarch64__",), ("armv8", "armv8-a"),
    ),
    Arch(
        "arm", "arm", "arm", "armhf", "arm-linux-gnueabihf", "arm", "armv7l",
        ("__arm__",), ("armel", "armv7", "armv6l", "armv7hl", "armv8l"), bits=32,
    ),
    Arch(
        "riscv64", "riscv", "riscv64", "riscv64", "riscv64-linux-gnu", "riscv64", "riscv64",
        ("__riscv", "__riscv_xlen=64"),
    ),
    Arch(
        "s390x", "s390", "s390x", "s390x", "s390x-linux-gnu", "systemz", "s390x",
        ("__s390x__",), big_endian=True,
    ),
    Arch(
        "ppc64el", "powerpc", "powerpc64le", "ppc64el", "powerpc64le-linux-gnu", "ppc64le", "ppc64le",
        ("__powerpc64__",),
    ),
    Arch(
        "loong64", "loongarch", "loongarch64", "loong64", "loongarch64-linux-gnu", "loongarch64",
        "loongarch64", ("__loongarch__", "__loongarch_grlen=64"), ("loong",),
    ),
)  # fmt: skip

_BY_SPELLING = {spelling: arch for arch in ARCHES for spelling in arch.spellings}

_IN_NAME = re.compile(
    "(?<![a-z0-9])(" + "|".join(sorted(map(re.escape, _BY_SPELLING), key=len, reverse=True)) + ")(?![a-z0-9])"
)
"""A spelling as a word of its own: `arm` in `-arm`, never in `-arm64`, `charm` or `alarm`."""


def parse_arch(text: str | Arch) -> Arch:
    """Return the architecture that `text` names, in any spelling and case; `local` is this machine's.

    Raises ArchError, with the list of names in its text, for anything else.
    """
    if isinstance(text, Arch):
        return text
    word = text.strip().lower()
    if word == "local":
        word = platform.machine().lower()
    try:
        return _BY_SPELLING[word]
    except KeyError:
        names = " ".join(arch.name for arch in ARCHES)
        raise ArchError(f"unknown architecture {text!r}: use one of {names}") from None


def local_arch() -> Arch:
    """Return the architecture of this machine; raises ArchError if it is not in ARCHES."""
    return parse_arch("local")


def arches_in(name: str) -> frozenset[Arch]:
    """Return the architectures that a directory or release name mentions, e.g. `6.1.0-56-cloud-amd64`."""
    return frozenset(_BY_SPELLING[spelling] for spelling in _IN_NAME.findall(name.lower()))


def without_arch(name: str) -> str:
    """Return `name` without the architectures it mentions and the leftover separators.

    `6.1.0-56-cloud-amd64` -> `6.1.0-56-cloud`: the part that is the same on another architecture.
    """
    return re.sub(r"[-._+]{2,}", "-", _IN_NAME.sub("", name.lower())).strip("-._+")
