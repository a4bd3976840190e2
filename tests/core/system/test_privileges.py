"""The privilege matrix as it was measured, and advice that fits the distribution."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from core.system.distribution import family, install_libbpf
from core.system.host import Host
from core.system.privileges import (
    Capability,
    Privileges,
    as_root,
    current_privileges,
)

ALL = (1 << 41) - 1


def bits(*capabilities: Capability) -> int:
    return sum(1 << capability for capability in capabilities)


@pytest.mark.parametrize(
    ("held", "missing"),
    [
        ((), ["CAP_BPF", "CAP_PERFMON"]),
        ((Capability.BPF,), ["CAP_PERFMON"]),
        ((Capability.PERFMON,), ["CAP_BPF"]),
        ((Capability.BPF, Capability.PERFMON), []),
        ((Capability.SYS_ADMIN,), []),
        ((Capability.SYS_PTRACE, Capability.SYS_RESOURCE), ["CAP_BPF", "CAP_PERFMON"]),
    ],
)
def test_what_the_probe_needs(held: tuple[Capability, ...], missing: list[str]) -> None:
    assert Privileges(0, bits(*held), ALL).missing_for_probe() == missing


def test_capabilities_of_a_user_namespace_do_not_count() -> None:
    inside = Privileges(0, ALL, ALL, initial_user_namespace=False)
    assert inside.missing_for_probe() == ["CAP_BPF", "CAP_PERFMON"]
    assert "user namespace" in inside.way_to("CAP_BPF")


def test_the_way_depends_on_what_is_in_the_way() -> None:
    assert Privileges(1000, 0, ALL).way_to("CAP_BPF") == as_root()
    before_5_8 = Privileges(1000, 0, (1 << 38) - 1)
    assert before_5_8.way_to("CAP_BPF", "CAP_PERFMON") == as_root()
    contained = Privileges(0, 0, bits(Capability.BPF))
    assert "--cap-add PERFMON" in contained.way_to("CAP_BPF", "CAP_PERFMON")


def test_root_has_what_proc_says() -> None:
    own = current_privileges()
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith("CapEff"))
    assert own.effective == int(line.split()[1], 16)
    assert own.uid == os.geteuid()


@pytest.mark.parametrize("path", ["/home/me/.local/bin/ebpf-tui", "./bin/ebpf-tui"])
def test_a_program_outside_of_sudos_path_is_named_in_full(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.setattr("sys.argv", [path])
    if shutil.which("ebpf-tui", path="/usr/local/bin:/usr/bin:/bin"):
        pytest.skip("ebpf-tui is installed where sudo looks")
    assert as_root().endswith(str(Path(path).absolute()))


@pytest.mark.parametrize(
    ("release", "kind", "advice"),
    [
        ('ID=debian\nVERSION_ID="12"\n', "debian", "apt-get install libbpf1"),
        ('ID=debian\nVERSION_ID="11"\n', "debian", "no libbpf 1.0"),
        ("ID=debian\n", "debian", "apt-get install libbpf1"),  # testing has no VERSION_ID
        ('ID=ubuntu\nID_LIKE=debian\nVERSION_ID="24.04"\n', "debian", "apt-get install libbpf1"),
        ('ID=ubuntu\nID_LIKE=debian\nVERSION_ID="22.04"\n', "debian", "no libbpf 1.0"),
        ('ID=linuxmint\nID_LIKE="ubuntu debian"\n', "debian", "apt-get install libbpf1"),
        ("ID=fedora\nVERSION_ID=41\n", "redhat", "dnf install libbpf"),
        ('ID="rhel"\nVERSION_ID="8.10"\n', "redhat", "no libbpf 1.0"),
        ('ID="rocky"\nID_LIKE="rhel centos fedora"\nVERSION_ID="9.4"\n', "redhat", "dnf install libbpf"),
        ('ID="opensuse-leap"\nID_LIKE="suse opensuse"\n', "suse", "zypper install libbpf1"),
        ("ID=arch\n", "arch", "pacman -S libbpf"),
        ("ID=alpine\nVERSION_ID=3.20.1\n", "alpine", "apk add libbpf"),
        ("ID=nixos\n", "", "install the package libbpf"),
        ("garbage\n=\n\x00\xff", "", "install the package libbpf"),
    ],
)
def test_advice_fits_the_distribution(tmp_path: Path, release: str, kind: str, advice: str) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/os-release").write_text(release)
    assert family(Host(tmp_path)) == kind
    assert advice in install_libbpf(Host(tmp_path))


def test_usr_lib_is_the_second_place(tmp_path: Path) -> None:
    (tmp_path / "usr/lib").mkdir(parents=True)
    (tmp_path / "usr/lib/os-release").write_text("ID=arch\n")
    assert family(Host(tmp_path)) == "arch"
    assert family(Host(tmp_path / "nothing")) == ""
