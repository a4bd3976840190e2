"""tools/setup with package lists as distributions have them, and the real apt on a root of its own."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.places import ROOT

TOOLS = (
    *("apt-cache", "apt-get", "bash", "cat", "chmod", "cut", "dpkg", "env", "find", "getent", "grep", "id"),
    "ln",
    *("ldd", "mktemp", "mount", "mv", "rm", "sed", "setpriv", "sh", "stat", "sudo", "tail", "touch", "true"),
)
UBUNTU_KERNEL = "6.8.0-49-generic"

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: mounts of its own"),
    pytest.mark.skipif(shutil.which("apt-get") is None, reason="no apt here"),
]


class Release:
    """A checkout on a release of packages of our own making, and what apt is asked to install there."""

    def __init__(self, root: Path, kernel: str = UBUNTU_KERNEL) -> None:
        self.root = root
        self.checkout = root / "checkout"
        self.repository = root / "repository"
        self.bin = root / "bin"
        for folder in (self.checkout / "tools", self.repository, self.bin, *self._state()):
            folder.mkdir(parents=True)
        shutil.copy(ROOT / "tools/setup", self.checkout / "tools/setup")
        (self.checkout / "pyproject.toml").touch()
        os.utime(self.checkout / "pyproject.toml", (0, 0))
        for tool in TOOLS:
            if found := shutil.which(tool):
                (self.bin / tool).symlink_to(found)
        self.tool("uname", f"echo {kernel}")
        self.tool("ldconfig", "echo nothing")
        self.tool("dpkg-recorder", f'echo "$@" >>{root}/dpkg.log')
        (root / "apt/status").touch()
        (root / "apt/etc/sources.list").write_text(f"deb [trusted=yes] file:{self.repository} ./\n")
        (root / "apt.conf").write_text(
            f'Dir "{root}/apt"; Dir::Etc "{root}/apt/etc"; Dir::State::status "{root}/apt/status";'
            f'Dir::Bin::dpkg "{self.bin}/dpkg-recorder"; APT::Sandbox::User "root"; Dir::Etc::parts "none";'
        )
        self.lists: list[str] = []

    def _state(self) -> list[Path]:
        below = self.root / "apt"
        return [
            below / name
            for name in ("etc", "var/log/apt", "var/lib/apt/lists/partial", "var/cache/apt/archives/partial")
        ]

    def tool(self, name: str, script: str) -> None:
        (self.bin / name).unlink(missing_ok=True)
        (self.bin / name).write_text(f"#!/bin/sh\n{script}\n")
        (self.bin / name).chmod(0o755)

    def package(self, name: str, version: str = "1.0", depends: str = "") -> None:
        """Put a real package into the repository."""
        tree = self.root / "tree" / name
        (tree / "DEBIAN").mkdir(parents=True)
        control = f"Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: a <a@b.c>\n"
        control += (
            f"Installed-Size: 2048\nDescription: x\n{f'Depends: {depends}{chr(10)}' if depends else ''}"
        )
        (tree / "DEBIAN/control").write_text(control)
        deb = self.repository / f"{name}.deb"
        subprocess.run(["dpkg-deb", "--build", tree, deb], stdout=subprocess.DEVNULL, check=True)
        digest = hashlib.sha256(deb.read_bytes()).hexdigest()
        self.lists.append(f"{control}Filename: ./{deb.name}\nSize: {deb.stat().st_size}\nSHA256: {digest}\n")

    def environment_is_made(self) -> None:
        """As after an earlier set-up; only packages of the distribution are left to do."""
        (self.checkout / ".venv/bin").mkdir(parents=True)
        (self.checkout / ".venv/bin/python").symlink_to("/bin/true")
        (self.checkout / ".venv/.set-up-for-run").touch()

    def run(self, *, uid: int = 0, **environ: str) -> subprocess.CompletedProcess[str]:
        """Run `tools/setup run` where there is no Python, no headers and no LLVM but what the test gives."""
        (self.repository / "Packages").write_text("\n".join(self.lists))
        hide = "".join(
            f"mount -t tmpfs none {folder};"
            for folder in ("/usr/src", "/usr/lib/modules", "/usr/include/bpf")
            if Path(folder).is_dir()
        )
        if Path("/usr/bin/python3").exists():
            hide += f"mount --bind /bin/false {Path('/usr/bin/python3').resolve()};"
        script = f"set -e; {hide} exec setpriv --reuid {uid} --clear-groups tools/setup run"
        kept = {name: value for name, value in os.environ.items() if name not in ("CI", "PYTHONPATH")}
        path = {"PATH": str(self.bin), "APT_CONFIG": str(self.root / "apt.conf")}
        return subprocess.run(
            [shutil.which("unshare") or "unshare", "-m", shutil.which("bash") or "bash", "-c", script],
            cwd=self.checkout, env=kept | path | environ, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    def installed(self) -> list[str]:
        """Return the packages that dpkg was given, in their order."""
        log = self.root / "dpkg.log"
        lines = log.read_text().splitlines() if log.exists() else []
        unpacked = [
            word for line in lines if "--unpack" in line or "-i" in line.split() for word in line.split()
        ]
        names = [
            Path(word).name.removesuffix(".deb").split("_")[0] for word in unpacked if word.endswith(".deb")
        ]
        return list(dict.fromkeys(names))


@pytest.fixture
def release() -> Iterator[Release]:
    with tempfile.TemporaryDirectory() as folder:  # others may enter it, unlike those of pytest
        Path(folder).chmod(0o755)
        yield Release(Path(folder))


def test_a_header_package_that_is_only_referred_to_is_not_asked_for(release: Release) -> None:
    """`apt-cache show` succeeds for such a name, and apt-get then refuses everything it was asked for."""
    release.environment_is_made()
    release.package("linux-headers-generic")
    release.package("libbpf1")
    release.package("libbpf-dev")
    release.package("some-module", depends=f"linux-headers-amd64, linux-headers-{UBUNTU_KERNEL}")
    ran = release.run()
    assert ran.returncode == 0, ran.stderr
    assert release.installed() == ["libbpf1", "libbpf-dev", "linux-headers-generic"]


def test_headers_of_the_running_kernel_go_first(release: Release) -> None:
    release.environment_is_made()
    for name in (f"linux-headers-{UBUNTU_KERNEL}", "linux-headers-generic", "linux-headers-amd64"):
        release.package(name)
    release.run()
    assert release.installed() == [f"linux-headers-{UBUNTU_KERNEL}"]


def test_a_package_that_cannot_be_installed_costs_itself(release: Release) -> None:
    release.environment_is_made()
    release.package("libbpf1")
    release.package("libbpf-dev", depends="not-there")
    release.package("linux-headers-generic")
    ran = release.run()
    assert ran.returncode == 0
    assert release.installed() == ["libbpf1", "linux-headers-generic"]
    assert "apt-get could not install libbpf-dev" in ran.stderr
    assert release.run(CI="true").returncode == 1


def test_it_says_what_why_and_how_large_before_it_begins(release: Release) -> None:
    release.environment_is_made()
    release.package("libbpf1", depends="libelf1")
    release.package("libelf1")
    release.package("libbpf-dev")
    release.package("linux-headers-generic")
    said = release.run().stderr
    begun = said.index("[1/3]")
    assert "(4 packages, 8 MB)" in said[:begun]
    assert "libbpf-dev: bpf/bpf_helpers.h, which most eBPF sources include" in said[:begun]
    assert "[3/3] linux-headers-generic (1 package, 2 MB)" in said
    assert "lld" not in said


def test_what_could_not_be_had_is_not_asked_for_at_every_start(release: Release) -> None:
    release.environment_is_made()
    release.package("libbpf1")
    assert "no package 'libbpf-dev'" in release.run().stderr
    (release.root / "dpkg.log").unlink()
    release.run()
    again = release.run()
    assert (again.returncode, again.stderr) == (0, "")


def test_python_comes_first_and_is_one_that_is_new_enough(release: Release) -> None:
    """Ubuntu 22.04: python3-venv brings 3.10, and would be asked for again and again."""
    release.package("python3", "3.10.6-1~22.04")
    release.package("python3-venv", "3.10.6-1~22.04")
    release.package("python3.11-venv", "3.11.0~rc1-1~22.04")
    release.package("libbpf1")
    (release.root / "real").symlink_to(os.path.realpath(sys.executable))
    makes = (
        f'case "$*" in *unpack*python3.11-venv*) ln -sf {release.root}/real {release.bin}/python3.11;; esac'
    )
    release.tool("dpkg-recorder", f'echo "$@" >>{release.root}/dpkg.log; {makes}')
    ran = release.run(PIP_NO_INDEX="1", PIP_CONFIG_FILE="/dev/null")
    assert release.installed()[0] == "python3.11-venv"
    assert "python3-venv" not in release.installed()
    assert "making .venv with Python 3" in ran.stderr
    assert ran.returncode == 1
    assert "no network?" in ran.stderr.splitlines()[-1]


@pytest.mark.parametrize("newer", [True, False])
def test_the_advice_for_python_does_not_lead_in_a_circle(release: Release, newer: bool) -> None:
    release.package("python3", "3.10.6-1")
    release.package("python3-venv", "3.10.6-1")
    if newer:
        release.package("python3.12-venv", "3.12.3-1")
    ran = release.run()  # dpkg does nothing here: as if it had failed
    assert ran.returncode == 1
    last = ran.stderr.splitlines()[-1]
    assert last.startswith("setup: Python 3.11 or newer with the venv module is required")
    assert "python3-venv" not in last
    assert ("apt-get install python3.12-venv" if newer else "add-apt-repository universe") in last
    assert release.installed() == (["python3.12-venv"] if newer else [])


def test_without_sudo_it_names_the_packages_and_goes_on(release: Release) -> None:
    release.environment_is_made()
    release.tool("sudo", "exit 1")
    release.package("linux-headers-generic")
    release.package("libbpf1")
    release.repository.joinpath("Packages").write_text("\n".join(release.lists))
    update = {**os.environ, "APT_CONFIG": str(release.root / "apt.conf")}
    subprocess.run(["apt-get", "-qq", "update"], env=update, check=True)
    ran = release.run(uid=65534)
    assert ran.returncode == 0, ran.stderr
    assert "as root: apt-get install libbpf1 linux-headers-generic" in ran.stderr
    assert release.installed() == []


def test_without_apt_it_goes_on(release: Release) -> None:
    release.environment_is_made()
    release.bin.joinpath("apt-get").unlink()
    ran = release.run()
    assert ran.returncode == 0
    assert "missing: libbpf1" in ran.stderr


def test_without_a_network_it_goes_on(release: Release) -> None:
    release.environment_is_made()
    sources = release.root / "apt/etc/sources.list"
    sources.write_text("deb [trusted=yes] http://127.0.0.1:9/ ./\n")
    ran = release.run()
    assert ran.returncode == 0
    assert "no network?" in ran.stderr
    assert "no package 'libbpf1'" in ran.stderr
