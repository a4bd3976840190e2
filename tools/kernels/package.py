"""Finds and unpacks the kernel packages of Debian. Nothing is installed on this machine."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path


class KernelUnavailable(Exception):
    """The kernel cannot be downloaded or booted on this machine; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """An unpacked kernel package. `modules` is the directory that belongs at /lib/modules/RELEASE."""

    release: str
    image: Path
    modules: Path


def cache_directory() -> Path:
    """Return the directory of unpacked kernels, one subdirectory for each release."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base, "ebpf-tui", "kernels").resolve()


def get_kernel(version: str) -> Kernel:
    """Return the newest amd64 kernel of a version such as "6.1", downloaded on first use (some 100 MB).

    Raises KernelUnavailable if the apt sources of this machine have no such kernel.
    """
    release = newest_release(version)
    directory = cache_directory() / release
    if not directory.is_dir():
        _download(release, directory)
    images = [*directory.glob("boot/vmlinuz-*"), *directory.glob("usr/lib/modules/*/vmlinuz")]
    modules = [*directory.glob("lib/modules/*"), *directory.glob("usr/lib/modules/*")]
    if not images or not modules:
        raise KernelUnavailable(f"{directory} has no kernel image or no modules; delete it and try again")
    return Kernel(release, images[0], modules[0])


def newest_release(version: str) -> str:
    """Return the newest release of `version` that apt offers, without cloud and real-time kernels."""
    listed = subprocess.run(
        ["apt-cache", "pkgnames", f"linux-image-{version}."], capture_output=True, text=True, check=False
    )
    releases: list[str] = re.findall(
        rf"^linux-image-({re.escape(version)}\.[\d.]+\S*-amd64)$", listed.stdout, re.M
    )
    plain = [release for release in releases if not re.search(r"-(cloud|rt)-", release)]
    if not plain:
        raise KernelUnavailable(f"apt offers no linux-image-{version}.*-amd64; run apt-get update")
    return max(plain, key=lambda release: [int(number) for number in re.findall(r"\d+", release)])


def _download(release: str, directory: Path) -> None:
    """Unpack the packages of a release into `directory`, which appears only when it is complete."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    print(f"downloading the kernel {release}", flush=True)
    with tempfile.TemporaryDirectory(dir=directory.parent) as scratch:
        unpacked = Path(scratch, "root")
        names = [f"linux-image-{release}", *_parts(release)]
        try:
            # As root, apt would download as the user _apt, which may not write here.
            command = ["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", *names]
            subprocess.run(command, cwd=scratch, check=True, stdout=subprocess.DEVNULL)
            for archive in Path(scratch).glob("*.deb"):
                subprocess.run(["dpkg-deb", "--extract", archive, unpacked], check=True)
        except subprocess.CalledProcessError as error:
            raise KernelUnavailable(f"{error.cmd[0]} failed for linux-image-{release}") from None
        shutil.move(unpacked, directory)


def _parts(release: str) -> list[str]:
    """Return the packages that hold parts of the image: recent releases of Debian split it."""
    depends = subprocess.run(
        ["apt-cache", "depends", f"linux-image-{release}"], capture_output=True, text=True, check=False
    )
    pattern = rf"Depends: (linux-(?:binary|modules)-{re.escape(release)})$"
    return sorted(set(re.findall(pattern, depends.stdout, re.M)))
