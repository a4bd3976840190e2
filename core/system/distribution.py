"""Names of packages in the distribution of a host, and the commands that install them."""

from __future__ import annotations

import contextlib
import os
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

_LIBBPF_SINCE = {"debian": 12.0, "ubuntu": 23.04, "rhel": 9.2, "rocky": 9.2, "almalinux": 9.2, "centos": 9.0}
"""The first release with libbpf 1.0 in its own packages."""

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


def install_libbpf(host: Host) -> str:
    """Return the command that installs libbpf 1.0 or newer on this host, or advice if there is none."""
    fields = _os_release(host)
    since = _LIBBPF_SINCE.get(fields.get("ID", ""))
    try:
        too_old = since is not None and float(fields.get("VERSION_ID", "")) < since
    except ValueError:
        too_old = False
    if too_old:
        return f"{fields['ID']} {fields['VERSION_ID']} has no libbpf 1.0; upgrade it or build libbpf"
    kind = family(host)
    if not kind:
        return "install the package libbpf (1.0 or newer)"
    sudo = "" if os.geteuid() == 0 else "sudo "
    return f"{sudo}{_INSTALL[kind]} {_PACKAGES['libbpf runtime'][kind]}"


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
    """Return the words of ID and ID_LIKE, the closest distribution first (os-release(5))."""
    fields = _os_release(host)
    words = [fields.get("ID", ""), *fields.get("ID_LIKE", "").split()]
    return [word.lower().removeprefix("opensuse-") for word in words if word]


def _os_release(host: Host) -> dict[str, str]:
    """Return the fields of os-release(5), unquoted; a field that cannot be read is left out."""
    for path in ("/etc/os-release", "/usr/lib/os-release"):
        try:
            lines = host.text(path).splitlines()
        except OSError:
            continue
        fields: dict[str, str] = {}
        for line in lines:
            name, equals, value = line.partition("=")
            if equals and not name.startswith("#"):
                with contextlib.suppress(ValueError):  # an unclosed quote
                    fields[name.strip()] = " ".join(shlex.split(value))
        return fields
    return {}
