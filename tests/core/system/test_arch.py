"""Every spelling of every architecture, checked against the tools that use it."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path

import pytest

from core.system.arch import ARCHES, ArchError, arches_in, local_arch, parse_arch, without_arch


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        *[(word, "amd64") for word in ("amd64", "x86_64", "x64", "x86-64", "x86", "X86_64", " AMD64 ")],
        *[(word, "arm64") for word in ("arm64", "aarch64", "AArch64")],
        *[(word, "arm") for word in ("arm", "armhf", "armv7l", "armel")],
        *[(word, "riscv64") for word in ("riscv64", "riscv")],
        *[(word, "s390x") for word in ("s390x", "s390", "systemz")],
        *[(word, "ppc64el") for word in ("ppc64el", "ppc64le", "powerpc64le", "powerpc")],
        *[(word, "loong64") for word in ("loong64", "loongarch64", "loongarch")],
    ],
)
def test_spellings(spelling: str, name: str) -> None:
    assert parse_arch(spelling).name == name


@pytest.mark.parametrize("word", ["", "i386", "sparc64", "ppc64", "mips", "amd 64", "arm6", "local64"])
def test_unknown_names_are_one_error_that_lists_the_known_ones(word: str) -> None:
    with pytest.raises(ArchError, match="amd64 arm64 arm riscv64 s390x ppc64el loong64"):
        parse_arch(word)


def test_no_spelling_means_two_architectures() -> None:
    words = [word for arch in ARCHES for word in arch.spellings]
    assert len(words) == len(set(words))


def test_local_is_what_uname_says() -> None:
    assert platform.machine() in parse_arch("local").spellings
    assert parse_arch(local_arch()) is local_arch()


def test_names_mention_architectures_only_as_whole_words() -> None:
    assert {a.name for a in arches_in("linux-headers-6.1.0-56-cloud-amd64")} == {"amd64"}
    assert {a.name for a in arches_in("6.5.6-300.fc39.aarch64")} == {"arm64"}
    assert arches_in("linux-headers-6.1.0-charm-alarm") == frozenset()
    assert {a.name for a in arches_in("x-arm64")} == {"arm64"}  # and not arm, which is a part of the word


def test_without_arch() -> None:
    assert without_arch("6.1.0-56-cloud-amd64") == without_arch("6.1.0-56-cloud-arm64") == "6.1.0-56-cloud"
    assert without_arch("amd64") == ""


def test_byte_order_of_bpf() -> None:
    assert parse_arch("s390x").bpf_target == ("bpf" if local_arch().big_endian else "bpfeb")
    assert parse_arch(local_arch()).bpf_target == "bpf"


@pytest.mark.needs("dpkg-architecture")
@pytest.mark.parametrize("arch", ARCHES, ids=str)
def test_debian_agrees(arch: object) -> None:
    one = parse_arch(arch)  # type: ignore[arg-type]
    said = subprocess.run(
        ["dpkg-architecture", "-a", one.debian, "-q", "DEB_HOST_MULTIARCH"],
        capture_output=True,
        text=True,
        check=False,
    )
    if said.returncode:
        pytest.skip(f"this dpkg does not know {one.debian}")
    assert said.stdout.strip() == one.triple


@pytest.mark.parametrize("arch", ARCHES, ids=str)
def test_the_kernel_tree_has_that_directory(arch: object) -> None:
    one = parse_arch(arch)  # type: ignore[arg-type]
    common = sorted(Path("/usr/src").glob("linux-headers-*-common"))
    if not common:
        pytest.skip("no Debian kernel headers here")
    if one.name == "loong64" and not (common[-1] / "arch/loongarch").exists():
        pytest.skip("these headers leave out loongarch")
    assert (common[-1] / "arch" / one.kernel / "include").is_dir() or len(
        list((common[-1] / "arch").iterdir())
    ) == 1
