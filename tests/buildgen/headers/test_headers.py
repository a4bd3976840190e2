"""Header discovery on the layouts of distributions, and on the headers of this machine."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from buildgen.errors import KernelReleaseError
from buildgen.headers.find import Candidate, HeaderDirs, HeadersNotFound, find_header_dirs
from core.system.arch import ArchError
from core.system.host import LOCAL
from tests.buildgen.header_trees import FakeRoot


def names(headers: HeaderDirs, root: Path) -> list[str]:
    return ["/" + str(tree.relative_to(root)) for tree in headers.trees]


def verdict(headers: HeaderDirs | HeadersNotFound, ending: str) -> Candidate:
    (found,) = [c for c in headers.candidates if str(c.path).endswith(ending)]
    return found


def test_debian_takes_one_flavour_and_its_common_half(fake: FakeRoot) -> None:
    fake.debian("6.1.0-56", "amd64", "cloud-amd64", "rt-amd64").debian("6.1.0-55", "amd64")
    headers = find_header_dirs(fake.host, "6.1.0-56-cloud-amd64", arch="amd64")
    assert names(headers, fake.root) == [
        "/usr/src/linux-headers-6.1.0-56-cloud-amd64",
        "/usr/src/linux-headers-6.1.0-56-common",
    ]
    assert headers.warnings == ()
    tree = fake.path("/usr/src/linux-headers-6.1.0-56-cloud-amd64")
    common = fake.path("/usr/src/linux-headers-6.1.0-56-common")
    assert headers.dirs == (
        tree / "include",
        tree / "arch/x86/include",
        tree / "arch/x86/include/generated",
        common / "include",
        common / "include/uapi",
        common / "arch/x86/include",
        common / "arch/x86/include/uapi",
    )
    assert [flag.flag for flag in headers.flags] == [f"-isystem{path}" for path in headers.dirs]
    other = verdict(headers, "linux-headers-6.1.0-56-rt-amd64")
    assert not other.chosen
    assert "complete, but not of 6.1.0-56-cloud-amd64" in other.reason
    assert (other.version, other.flavour, other.holds) == ((6, 1, 0, 56), "rt-amd64", "arch")
    assert verdict(headers, "6.1.0-56-common").holds == "common"
    assert verdict(headers, "/lib/modules/6.1.0-56-cloud-amd64/build").chosen


def test_the_plain_flavour_goes_before_cloud_and_rt_when_none_is_exact(fake: FakeRoot) -> None:
    fake.debian("6.1.0-56", "aws-amd64", "amd64", "rt-amd64")
    headers = find_header_dirs(fake.host, "6.18.44-fc-v595", arch="amd64")
    assert names(headers, fake.root)[0] == "/usr/src/linux-headers-6.1.0-56-amd64"
    fake.full("/usr/src/kernels/6.2.0-acme", "6.2.0-acme").full("/usr/src/kernels/6.2.0-x", "6.2.0-x")
    newer = find_header_dirs(fake.host, "6.2.0-zfs", arch="amd64")
    assert names(newer, fake.root) == ["/usr/src/kernels/6.2.0-x"]
    assert "nearest complete" in headers.warnings[0]


def test_cross_compiling_takes_the_same_kernel_of_the_other_architecture(fake: FakeRoot) -> None:
    fake.debian("6.1.0-56", "amd64").debian("6.1.0-55", "arm64", kernel_arch="arm64")
    fake.debian("6.1.0-56", "arm64", "cloud-arm64", kernel_arch="arm64")
    headers = find_header_dirs(fake.host, "6.1.0-56-amd64", arch="aarch64")
    assert names(headers, fake.root) == [
        "/usr/src/linux-headers-6.1.0-56-arm64",
        "/usr/src/linux-headers-6.1.0-56-common",
    ]
    assert headers.warnings == ()
    assert fake.path("/usr/src/linux-headers-6.1.0-56-common/arch/arm64/include") in headers.dirs
    assert verdict(headers, "src/linux-headers-6.1.0-56-amd64").reason == "configured for amd64, not arm64"


def test_two_versions_are_never_mixed(fake: FakeRoot) -> None:
    """An arch half whose own common half is not installed does not borrow another version's."""
    fake.arch_half(
        "/usr/src/linux-headers-6.1.0-56-amd64",
        "6.1.0-56-amd64",
        makefile="include /usr/src/linux-headers-6.1.0-56-common/Makefile\n",
    )
    fake.common_half("/usr/src/linux-headers-6.1.0-55-common")
    with pytest.raises(HeadersNotFound) as error:
        find_header_dirs(fake.host, "6.1.0-56-amd64", arch="amd64")
    assert "common half (include/linux/kconfig.h) was not found" in str(error.value)
    assert verdict(error.value, "6.1.0-56-amd64").holds == "arch"
    assert "only a common half" in verdict(error.value, "6.1.0-55-common").reason


def test_a_source_link_left_over_from_another_series_is_not_followed(fake: FakeRoot) -> None:
    fake.arch_half("/usr/src/linux-headers-6.1.0-56-amd64", "6.1.0-56-amd64")
    fake.common_half("/usr/src/linux-headers-5.10.0-9-common")
    fake.link("/usr/src/linux-headers-6.1.0-56-amd64/source", "/usr/src/linux-headers-5.10.0-9-common")
    with pytest.raises(HeadersNotFound):
        find_header_dirs(fake.host, "6.1.0-56-amd64", arch="amd64")


def test_ubuntu_generic_has_links_into_its_base(fake: FakeRoot) -> None:
    base, generic = "/usr/src/linux-headers-6.8.0-45", "/usr/src/linux-headers-6.8.0-45-generic"
    fake.common_half(base).arch_half(generic, "6.8.0-45-generic")
    fake.path(f"{generic}/Makefile").unlink()
    fake.file(f"{base}/Makefile").link(f"{generic}/Makefile", "../linux-headers-6.8.0-45/Makefile")
    fake.link("/lib/modules/6.8.0-45-generic/build", generic)
    headers = find_header_dirs(fake.host, "6.8.0-45-generic", arch="amd64")
    assert names(headers, fake.root) == [generic, base]
    fake.link(f"{generic}/include/linux", "../../linux-headers-6.8.0-45/include/linux")
    # Generated headers alone are not those of the architecture: the base has them.
    assert names(find_header_dirs(fake.host, "6.8.0-45-generic", arch="amd64"), fake.root) == [generic, base]
    fake.link(f"{generic}/arch/x86/include/asm", "../../../../linux-headers-6.8.0-45/arch/x86/include/asm")
    assert names(find_header_dirs(fake.host, "6.8.0-45-generic", arch="amd64"), fake.root) == [generic]


def test_ubuntu_hwe_base_is_found_by_its_version(fake: FakeRoot) -> None:
    base, generic = "/usr/src/linux-hwe-6.11-headers-6.11.0-21", "/usr/src/linux-headers-6.11.0-21-generic"
    fake.common_half(base).arch_half(generic, "6.11.0-21-generic")
    headers = find_header_dirs(fake.host, "6.11.0-21-generic", arch="amd64")
    assert names(headers, fake.root) == [generic, base]
    assert verdict(headers, "headers-6.11.0-21").version == (6, 11, 0, 21)


def test_redhat_respins_of_one_abi(fake: FakeRoot) -> None:
    for respin in ("5.14.0-503.11.1.el9_5.x86_64", "5.14.0-503.19.1.el9_5.x86_64"):
        fake.full(f"/usr/src/kernels/{respin}", respin)
        fake.link(f"/lib/modules/{respin}/build", f"/usr/src/kernels/{respin}")
        fake.link(f"/lib/modules/{respin}/source", "build")
    for wanted in ("5.14.0-503.11.1.el9_5.x86_64", "5.14.0-503.19.1.el9_5.x86_64"):
        headers = find_header_dirs(fake.host, wanted, arch="amd64")
        assert names(headers, fake.root) == [f"/usr/src/kernels/{wanted}"]
        assert headers.warnings == ()
    third = find_header_dirs(fake.host, "5.14.0-503.40.1.el9_5.x86_64", arch="amd64")
    assert "5.14.0-503" in third.warnings[0]


def test_suse_object_tree(fake: FakeRoot) -> None:
    source, objects = "/usr/src/linux-6.4.0-150600.21", "/usr/src/linux-6.4.0-150600.21-obj/x86_64/default"
    fake.common_half(source).arch_half(
        objects, "6.4.0-150600.21-default", makefile="include ../../../linux-6.4.0-150600.21/Makefile\n"
    )
    fake.link("/lib/modules/6.4.0-150600.21-default/build", objects)
    fake.link("/lib/modules/6.4.0-150600.21-default/source", source)
    headers = find_header_dirs(fake.host, "6.4.0-150600.21-default", arch="amd64")
    assert names(headers, fake.root) == [objects, source]


def test_arch_linux_keeps_a_real_directory_called_build(fake: FakeRoot) -> None:
    fake.full("/usr/lib/modules/6.9.7-arch1-1/build", None)
    fake.link("/lib", "usr/lib").link("/usr/src/linux", "../lib/modules/6.9.7-arch1-1/build")
    headers = find_header_dirs(fake.host, "6.9.7-arch1-1", arch="amd64")
    assert names(headers, fake.root) == ["/usr/lib/modules/6.9.7-arch1-1/build"]
    assert headers.warnings == ()


def test_alpine_and_raspberry_pi(fake: FakeRoot) -> None:
    fake.full("/usr/src/linux-headers-6.6.31-0-lts", "6.6.31-0-lts")
    pi = "/usr/src/linux-headers-6.6.62+rpt"
    fake.common_half(f"{pi}-common-rpi")
    for flavour in ("rpi-v8", "rpi-2712"):
        fake.arch_half(
            f"{pi}-{flavour}", f"6.6.62+rpt-{flavour}", "arm64", f"include {pi}-common-rpi/Makefile\n"
        )
    assert names(find_header_dirs(fake.host, "6.6.31-0-lts", arch="x86"), fake.root) == [
        "/usr/src/linux-headers-6.6.31-0-lts"
    ]
    headers = find_header_dirs(fake.host, "6.6.62+rpt-rpi-2712", arch="arm64")
    assert names(headers, fake.root) == [f"{pi}-rpi-2712", f"{pi}-common-rpi"]


def test_content_goes_before_the_name(fake: FakeRoot) -> None:
    """A directory whose name promises the release but that is empty (datadog #10906, bcc PR 3588)."""
    fake.file("/usr/src/linux-headers-6.1.0-56-amd64/.config")
    fake.full("/usr/src/kernels/renamed", "6.1.0-56-amd64")
    headers = find_header_dirs(fake.host, "6.1.0-56-amd64", arch="amd64")
    assert names(headers, fake.root) == ["/usr/src/kernels/renamed"]
    assert "neither include/linux/kconfig.h nor" in verdict(headers, "6.1.0-56-amd64").reason


def test_the_nearest_tree_and_the_minimum(fake: FakeRoot) -> None:
    for release in ("4.19.0-9-amd64", "5.19.1", "6.6.4", "6.12.1"):
        fake.full(f"/usr/src/kernels/{release}", release)

    def nearest(wanted: str, minimal: str | None = None) -> str:
        return names(find_header_dirs(fake.host, wanted, minimal, "amd64"), fake.root)[0]

    assert nearest("6.0.1") == "/usr/src/kernels/5.19.1"
    assert nearest("6.8.1") == "/usr/src/kernels/6.6.4"
    assert nearest("7.0.0") == "/usr/src/kernels/6.12.1"
    assert nearest("6.0.1", "6.6.4") == "/usr/src/kernels/6.6.4"
    headers = find_header_dirs(fake.host, "4.19.0-9-amd64", "4.19.1", "amd64")
    assert "below the minimum 4.19.1" in verdict(headers, "4.19.0-9-amd64").reason
    assert not verdict(headers, "4.19.0-9-amd64").chosen


def test_a_dangling_link_names_what_is_missing_and_where_to_mount_it(fake: FakeRoot) -> None:
    fake.link("/lib/modules/6.1.0-56-amd64/build", "/usr/src/linux-headers-6.1.0-56-amd64")
    with pytest.raises(HeadersNotFound) as error:
        find_header_dirs(fake.host, "6.1.0-56-amd64", arch="amd64")
    assert f"broken link: /usr does not exist below {fake.root}; mount it there" in str(error.value)


@pytest.mark.parametrize("directory", ["/usr/src", "/usr/src/kernels", "/lib", "/lib/modules"])
def test_a_directory_of_candidates_that_leads_nowhere_is_one(fake: FakeRoot, directory: str) -> None:
    fake.link(directory, "/mnt/elsewhere/x")
    with pytest.raises(HeadersNotFound) as caught:
        find_header_dirs(fake.host, "6.1.0-56-amd64", arch="amd64")
    reason = f"broken link: /mnt does not exist below {fake.root}; mount it there"
    assert verdict(caught.value, directory).reason == reason
    assert reason in str(caught.value)


def test_another_respin_is_not_another_flavour(fake: FakeRoot) -> None:
    fake.full("/usr/src/kernels/5.14.0-503.11.1.el9_5.x86_64", "5.14.0-503.11.1.el9_5.x86_64")
    headers = find_header_dirs(fake.host, "5.14.0-503.15.1.el9_5.x86_64", arch="amd64")
    assert "the nearest complete" in headers.warnings[0]
    assert "flavour" not in headers.warnings[0]


def test_absolute_links_stay_below_the_root(fake: FakeRoot) -> None:
    """/usr/src/… exists on this machine too: it must not be taken for the other host's."""
    fake.full("/opt/headers", "6.1.0-56-amd64").link("/lib/modules/6.1.0-56-amd64/build", "/opt/headers")
    assert names(find_header_dirs(fake.host, "6.1.0-56-amd64", arch="amd64"), fake.root) == ["/opt/headers"]


def test_nothing_at_all_is_one_error_that_says_where_it_looked(fake: FakeRoot) -> None:
    with pytest.raises(HeadersNotFound) as error:
        find_header_dirs(fake.host, "6.1.0-56-amd64", arch="amd64")
    assert "/usr/src/kernels, /usr/src/linux-*, /lib/modules" in str(error.value)
    assert "\n" not in str(error.value)


def test_hostile_names_and_loops_are_verdicts_not_exceptions(fake: FakeRoot) -> None:
    fake.link("/usr/src/linux-6.1-loop", "linux-6.1-loop").file("/usr/src/linux-6.2-file")
    fake.full("/usr/src/linux-6.1.0\x1b[2J", None)
    headers = find_header_dirs(fake.host, "6.1.0", arch="amd64")
    assert "too many symbolic links" in verdict(headers, "loop").reason
    assert verdict(headers, "linux-6.2-file").reason == "not a directory"
    assert all("\x1b" not in c.reason + (c.release or "") + c.flavour for c in headers.candidates)


def test_words_that_cannot_be_read(fake: FakeRoot) -> None:
    with pytest.raises(KernelReleaseError):
        find_header_dirs(fake.host, "no version", arch="amd64")
    with pytest.raises(ArchError):
        find_header_dirs(fake.host, "6.1", arch="vax")


def test_this_machines_headers_compile(tmp_path: Path, needs_llvm: None) -> None:
    try:
        headers = find_header_dirs(LOCAL)
    except HeadersNotFound as error:
        pytest.skip(f"no kernel headers here: {error}")
    assert len({c.release for c in headers.candidates if c.chosen and c.holds != "common"}) == 1
    source = tmp_path / "all.c"
    source.write_text(
        "#include <linux/sched.h>\n#include <net/sock.h>\nint size = sizeof(struct task_struct);\n"
    )
    subprocess.run(
        ["clang", "-emit-llvm", "-D__KERNEL__", "-D__BPF_TRACING__", "-include", "linux/kconfig.h"]
        + [flag.flag for flag in headers.flags]
        + ["-Werror", "-c", str(source), "-o", str(tmp_path / "all.bc")],
        check=True,
    )
