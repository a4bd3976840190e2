"""Releases as distributions write them; hypothesis for everything else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildgen.errors import KernelReleaseError
from buildgen.kernel_release import parse_kernel_release


@pytest.mark.parametrize(
    ("text", "version", "respin", "flavour"),
    [
        ("6.1.0-56-amd64", (6, 1, 0, 56), "", "amd64"),
        ("6.1.0-56-cloud-amd64", (6, 1, 0, 56), "", "cloud-amd64"),
        ("6.8.0-45-generic", (6, 8, 0, 45), "", "generic"),
        ("6.14.0-rc3", (6, 14, 0, 0), "", "rc3"),
        ("5.15.167.4-microsoft-standard-WSL2", (5, 15, 167, 0), ".4", "microsoft-standard-WSL2"),
        ("6.6.62+rpt-rpi-v8", (6, 6, 62, 0), "", "rpt-rpi-v8"),
        ("5.14.0-503.19.1.el9.x86_64", (5, 14, 0, 503), ".19.1", "el9.x86_64"),
        ("5.14.0-503.11.1.el9", (5, 14, 0, 503), ".11.1", "el9"),
        ("6.4.0-150600.23.25-default", (6, 4, 0, 150600), ".23.25", "default"),
        ("6.6.31-0-lts", (6, 6, 31, 0), "", "lts"),
        ("6.9.7-arch1-1", (6, 9, 7, 0), "", "arch1-1"),
        ("linux-hwe-6.11-headers-6.11.0-21", (6, 11, 0, 0), "", "headers-6.11.0-21"),
        ("4.14", (4, 14, 0, 0), "", ""),
    ],
)
def test_distributions(text: str, version: tuple[int, ...], respin: str, flavour: str) -> None:
    release = parse_kernel_release(text)
    assert (release.version, release.respin, release.flavour) == (version, respin, flavour)


@pytest.mark.parametrize("text", ["", "abc", "6", "v6-1", "6,1", "٦.١"])
def test_no_version_is_one_error(text: str) -> None:
    with pytest.raises(KernelReleaseError, match="cannot parse"):
        parse_kernel_release(text)


def test_order_is_by_number() -> None:
    texts = [
        "5.19.17",
        "6.1.0-9-amd64",
        "6.1.0-10-amd64",
        "6.1.192",
        "6.10.2",
        "6.12.1-1.2.el9",
        "6.12.1-1.10.el9",
    ]
    shuffled = [*texts[3:], *texts[:3]]
    assert sorted(shuffled, key=parse_kernel_release) == texts


def test_a_new_major_is_near_the_end_of_the_old_one() -> None:
    wanted = parse_kernel_release("6.0.3")
    assert wanted.distance(parse_kernel_release("5.19")) < wanted.distance(parse_kernel_release("6.2"))


@given(st.text())
def test_any_text_is_a_release_or_one_error(text: str) -> None:
    try:
        release = parse_kernel_release(text)
    except KernelReleaseError:
        return
    assert text.endswith(release.text)
    assert len(release.version) == 4


@given(
    st.tuples(*[st.integers(0, 10**9 - 1)] * 4), st.sampled_from(["", "-amd64", "+rpt-rpi-v8", ".el9.x86_64"])
)
def test_what_is_written_is_read(version: tuple[int, int, int, int], tail: str) -> None:
    text = "{}.{}.{}-{}".format(*version) + tail
    release = parse_kernel_release(text)
    assert release.version == version
    assert release.text == text


def test_of_another_series_the_side_that_faces_the_wanted_one_is_nearest() -> None:
    def nearest(wanted: str, *others: str) -> str:
        return min(
            others, key=lambda other: parse_kernel_release(wanted).distance(parse_kernel_release(other))
        )

    assert nearest("6.18.44", "6.12.107", "6.12.117") == "6.12.117"
    assert nearest("6.1.44", "6.12.107", "6.12.117") == "6.12.107"
    assert nearest("6.12.44", "6.12.50", "6.12.117") == "6.12.50"
    assert nearest("6.12.44-3", "6.12.50-9", "6.12.50-1") == "6.12.50-1"
