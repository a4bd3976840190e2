"""Names of packages in the distribution of a host, and the commands that install them."""

from __future__ import annotations

import re
import shlex

from core.system.arch import Arch, local_arch, without_arch
from core.system.host import LOCAL, Host

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

_KERNEL_NAMES = {
    kind: re.compile(pattern)
    for kind, pattern in {
        # 6.1.0-56-amd64, 6.12.9+bpo-cloud-amd64, Ubuntu's 6.8.0-45-generic, Raspberry Pi's 6.6.62+rpt-rpi-v8
        "debian": r"^\d+\.\d+\.\d+((-\d+(\.deb\d+\.\d+)?)|(\+(deb|bpo|rpt)[\d.]*))-[a-z]",
        "redhat": r"-[\d.]+\.(el|fc|amzn)\d+",
        "suse": r"^\d+\.\d+\.\d+-[\d.]+-[a-z]+$",
        "arch": r"-arch\d+-\d+$|-\d+-(lts|zen|hardened|rt)$",
        "alpine": r"^\d+\.\d+\.\d+-\d+-(lts|virt|rpi)$",
    }.items()
}
"""How each distribution names the kernels it builds."""


def family(host: Host = LOCAL) -> str:
    """Return `debian`, `redhat`, `suse`, `arch`, `alpine`, or an empty text for any other distribution."""
    return next((_FAMILY[word] for word in _distribution(host) if word in _FAMILY), "")


def install_hint(package: str, host: Host = LOCAL) -> str:
    """Return the command that installs `package` (a key of _PACKAGES), or advice that names it."""
    kind = family(host)
    names = _PACKAGES[package].get(kind)
    return f"{_INSTALL[kind]} {names}" if names else f"install the package that provides {package}"


def headers_hint(release: str, host: Host = LOCAL, arch: Arch | None = None) -> str:
    """Return the command that installs the headers of `release` for `arch` (default: this machine's).

    A package is named after `release` only if the distribution names its own kernels that way; for any other
    kernel the command installs the headers of the distribution's current kernel, and the text says why.
    """
    kind, target = family(host), arch or local_arch()
    if not kind:
        return f"install the headers of kernel {release}"
    if not is_distribution_kernel(release, host):
        package = _current_headers(kind, target, host)
        why = f"{release} is not a kernel of this distribution, so it has no package"
        return f"{_INSTALL[kind]} {package} ({why})"
    if kind == "debian" and target != local_arch():
        package = f"linux-headers-{without_arch(release)}-{_debian_flavour(target)}:{target.debian}"
        return f"dpkg --add-architecture {target.debian}, apt-get update, apt-get install {package}"
    return f"{_INSTALL[kind]} {_exact_headers(kind, release)}"


def is_distribution_kernel(release: str, host: Host = LOCAL) -> bool:
    """Return whether `release` is named like a kernel of the host's distribution; True if that is unknown."""
    naming = _KERNEL_NAMES.get(family(host))
    return naming is None or naming.search(release) is not None


def _exact_headers(kind: str, release: str) -> str:
    flavour = release.rpartition("-")[2]
    match kind:
        case "debian":
            return f"linux-headers-{release}"
        case "redhat":
            return f"kernel-devel-{release}"
        case "suse":
            return f"kernel-{flavour}-devel"
        case "arch":
            return f"linux-{flavour}-headers" if flavour.isalpha() else "linux-headers"
    return f"linux-{flavour}-dev"


def _current_headers(kind: str, arch: Arch, host: Host) -> str:
    """Return the package with the headers of the distribution's current kernel."""
    if kind == "debian":
        ubuntu = "ubuntu" in _distribution(host)
        return "linux-headers-generic" if ubuntu else f"linux-headers-{_debian_flavour(arch)}"
    current = {
        "redhat": "kernel-devel",
        "suse": "kernel-default-devel",
        "arch": "linux-headers",
        "alpine": "linux-lts-dev",
    }
    return current[kind]


def _debian_flavour(arch: Arch) -> str:
    """Return Debian's name of the plain kernel flavour of an architecture."""
    return {"arm": "armmp", "ppc64el": "powerpc64le"}.get(arch.name, arch.debian)


def _distribution(host: Host) -> list[str]:
    return _os_release(host, "/etc/os-release") or _os_release(host, "/usr/lib/os-release")


def _os_release(host: Host, path: str) -> list[str]:
    """Return the words of ID and ID_LIKE, the closest distribution first (os-release(5))."""
    try:
        lines = host.text(path).splitlines()
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
