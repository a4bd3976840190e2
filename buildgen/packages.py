"""What the distribution of a host calls the package that is missing, and how it is installed."""

from __future__ import annotations

import shlex
from pathlib import Path

from core.host import LOCAL, Host

_FAMILY = {
    "debian": "debian", "ubuntu": "debian", "raspbian": "debian",
    "fedora": "redhat", "rhel": "redhat", "centos": "redhat", "amzn": "redhat",
    "suse": "suse", "opensuse": "suse", "sles": "suse",
    "arch": "arch", "alpine": "alpine",
}  # fmt: skip

_INSTALL = {
    "debian": "apt-get install",
    "redhat": "dnf install",
    "suse": "zypper install",
    "arch": "pacman -S",
    "alpine": "apk add",
}

_PACKAGES = {
    "llvm": {"debian": "clang llvm", "redhat": "clang llvm", "suse": "clang llvm", "arch": "clang llvm",
             "alpine": "clang llvm"},
    "ninja": {"debian": "ninja-build", "redhat": "ninja-build", "suse": "ninja", "arch": "ninja",
              "alpine": "samurai"},
    "libbpf": {"debian": "libbpf-dev", "redhat": "libbpf-devel", "suse": "libbpf-devel", "arch": "libbpf",
               "alpine": "libbpf-dev"},
    "libbpf runtime": {"debian": "libbpf1", "redhat": "libbpf", "suse": "libbpf1", "arch": "libbpf",
                       "alpine": "libbpf"},
    "libc headers": {"debian": "libc6-dev", "redhat": "kernel-headers", "suse": "linux-glibc-devel",
                     "arch": "linux-api-headers", "alpine": "linux-headers"},
}  # fmt: skip


def family(host: Host = LOCAL) -> str:
    """Return `debian`, `redhat`, `suse`, `arch`, `alpine`, or nothing for a distribution not known here."""
    words = _os_release(host.path("/etc/os-release")) or _os_release(host.path("/usr/lib/os-release"))
    return next((_FAMILY[word] for word in words if word in _FAMILY), "")


def install_hint(package: str, host: Host = LOCAL) -> str:
    """Return the command that installs `package` (a key of _PACKAGES), or a sentence that names it."""
    kind = family(host)
    names = _PACKAGES[package].get(kind)
    return f"{_INSTALL[kind]} {names}" if names else f"install the package that brings {package}"


def headers_hint(release: str, host: Host = LOCAL) -> str:
    """Return the command that installs the kernel headers of `release` on that host."""
    name = {
        "debian": f"linux-headers-{release}",
        "redhat": f"kernel-devel-{release}",
        "suse": "kernel-default-devel",
        "arch": "linux-headers",
        "alpine": "linux-lts-dev",
    }.get(kind := family(host))
    return f"{_INSTALL[kind]} {name}" if name else f"install the headers of kernel {release}"


def _os_release(path: Path) -> list[str]:
    """Return the words of ID and ID_LIKE, the nearest relative first (os-release(5))."""
    try:
        lines = path.read_text("utf-8", "replace").splitlines()
    except OSError:
        return []
    values = dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    words: list[str] = []
    for key in ("ID", "ID_LIKE"):
        try:
            words += [word for part in shlex.split(values.get(key, "")) for word in part.split()]
        except ValueError:  # an unclosed quote
            continue
    return [word.lower().removeprefix("opensuse-") for word in words]
