"""Host: links are followed below the root, as the host itself would follow them."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.system.host import LOCAL, DanglingPathError, Host


def test_absolute_links_stay_below_the_root(tmp_path: Path) -> None:
    (tmp_path / "usr/src/linux").mkdir(parents=True)
    (tmp_path / "lib/modules/6.1").mkdir(parents=True)
    (tmp_path / "lib/modules/6.1/build").symlink_to("/usr/src/linux")
    assert Host(tmp_path).realpath("/lib/modules/6.1/build") == tmp_path / "usr/src/linux"


def test_dots_cannot_leave_the_root(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "up").symlink_to("../../../../etc")
    assert Host(tmp_path).realpath("/up/../../etc") == tmp_path / "etc"


def test_a_dangling_link_names_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "build").symlink_to("/usr/src/linux-headers")
    with pytest.raises(DanglingPathError) as caught:
        Host(tmp_path).realpath("/build")
    assert caught.value.missing == "/usr"


def test_a_loop_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("/b")
    (tmp_path / "b").symlink_to("/a")
    with pytest.raises(OSError, match="too many symbolic links"):
        Host(tmp_path).realpath("/a")


def test_the_local_host_resolves_as_the_kernel_does() -> None:
    assert LOCAL.realpath("/proc/self/../self/exe/..") == Path("/proc/self/exe").resolve().parent
    assert LOCAL.kernel_release() == Path("/proc/sys/kernel/osrelease").read_text().strip()
