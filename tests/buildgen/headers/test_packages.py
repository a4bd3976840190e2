"""What a host's distribution calls the package with the headers of a kernel, and when it has none."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from core.system.arch import local_arch, parse_arch
from core.system.distribution import family, headers_hint
from tests.buildgen.header_trees import FakeRoot

OWN = [
    ("debian", "", "6.1.0-56-amd64", "apt-get install linux-headers-6.1.0-56-amd64"),
    ("debian", "", "6.12.9+bpo-cloud-amd64", "apt-get install linux-headers-6.12.9+bpo-cloud-amd64"),
    ("debian", "", "6.12.117+deb12-amd64", "apt-get install linux-headers-6.12.117+deb12-amd64"),
    ("debian", "", "6.1.0-0.deb11.5-amd64", "apt-get install linux-headers-6.1.0-0.deb11.5-amd64"),
    ("ubuntu", "debian", "6.8.0-45-generic", "apt-get install linux-headers-6.8.0-45-generic"),
    ("raspbian", "debian", "6.6.62+rpt-rpi-v8", "apt-get install linux-headers-6.6.62+rpt-rpi-v8"),
    ("rocky", "rhel centos fedora", "5.14.0-503.19.1.el9.x86_64",
     "dnf install kernel-devel-5.14.0-503.19.1.el9.x86_64"),
    ("fedora", "", "6.9.7-200.fc40.x86_64", "dnf install kernel-devel-6.9.7-200.fc40.x86_64"),
    ("opensuse-leap", "suse opensuse", "6.4.0-150600.23.25-azure", "zypper install kernel-azure-devel"),
    ("arch", "", "6.9.7-arch1-1", "pacman -S linux-headers"),
    ("arch", "", "6.6.36-1-lts", "pacman -S linux-lts-headers"),
    ("alpine", "", "6.6.31-0-virt", "apk add linux-virt-dev"),
]  # fmt: skip

FOREIGN = [
    ("debian", "", "6.18.44-fc-v595", f"linux-headers-{local_arch().debian}"),
    ("debian", "", "5.15.167.4-microsoft-standard-WSL2", f"linux-headers-{local_arch().debian}"),
    ("debian", "", "6.9.7-arch1-1", f"linux-headers-{local_arch().debian}"),
    ("ubuntu", "debian", "6.10.14-linuxkit", "linux-headers-generic"),
    ("fedora", "", "6.1.0-56-amd64", "kernel-devel"),
    ("arch", "", "6.9.7-200.fc40.x86_64", "linux-headers"),
    ("alpine", "", "6.10.14-linuxkit", "linux-lts-dev"),
]


def os_release(fake: FakeRoot, name: str, like: str) -> None:
    fake.file("/etc/os-release", f'NAME="x"\nID={name}\nID_LIKE="{like}"\n')


@pytest.mark.parametrize(("name", "like", "release", "command"), OWN)
def test_a_kernel_of_the_distribution(
    fake: FakeRoot, name: str, like: str, release: str, command: str
) -> None:
    os_release(fake, name, like)
    assert headers_hint(release, fake.host) == command


@pytest.mark.parametrize(("name", "like", "release", "package"), FOREIGN)
def test_no_package_is_made_up_for_any_other_kernel(
    fake: FakeRoot, name: str, like: str, release: str, package: str
) -> None:
    os_release(fake, name, like)
    said = headers_hint(release, fake.host)
    assert said.split(" (")[0].split()[-1] == package
    assert f"{release} is not a kernel of this distribution" in said


def test_another_architecture(fake: FakeRoot) -> None:
    os_release(fake, "debian", "")
    other = parse_arch("arm64" if local_arch().name != "arm64" else "amd64")
    said = headers_hint(f"6.1.0-56-{local_arch().debian}", fake.host, other)
    assert f"linux-headers-6.1.0-56-{other.debian}:{other.debian}" in said


def test_an_unknown_distribution(fake: FakeRoot) -> None:
    assert headers_hint("6.1.0", fake.host) == "install the headers of kernel 6.1.0"


def test_apt_knows_the_package_that_is_named_here() -> None:
    if family() != "debian" or not shutil.which("apt-cache"):
        pytest.skip("no apt here")
    listed = subprocess.run(["apt-cache", "pkgnames", "linux-headers-"], capture_output=True, check=False)
    if not listed.stdout:
        pytest.skip("apt has no lists here")
    package = headers_hint("1.2.3-mine").split(" (")[0].split()[-1]
    assert package.encode() in listed.stdout.split()
