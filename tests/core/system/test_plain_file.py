"""Whatever lies where a file is expected, opening it neither waits nor takes all memory."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from core.system.distribution import _distribution, family
from core.system.host import Host
from core.system.plain_file import NotPlainError, read_plain, read_start
from tests.core.system.hostile_places import place

KINDS = ["fifo", "zero", "huge", "folder", "loop"]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_plain_file_is_an_error(tmp_path: Path, kind: str) -> None:
    place(tmp_path / "file", kind)
    with pytest.raises(OSError, match=r"\w"):
        read_plain(tmp_path / "file", 1000)


def test_a_file_is_read_up_to_its_limit_and_not_beyond(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"12345")
    assert read_plain(file, 5) == b"12345"
    assert read_start(file, 3) == b"123"
    with pytest.raises(NotPlainError, match="more than 4 bytes"):
        read_plain(file, 4)
    (tmp_path / "link").symlink_to(file)
    assert read_plain(tmp_path / "link", 5) == b"12345"
    with pytest.raises(NotPlainError, match="symbolic link"):
        read_plain(tmp_path / "link", 5, follow=False)
    assert read_plain("/proc/self/comm", 100).endswith(b"\n")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "name", ["etc/os-release", "proc/sys/kernel/hostname", "proc/sys/kernel/osrelease", "proc/self/mounts"]
)
def test_another_root_may_hold_anything(tmp_path: Path, kind: str, name: str) -> None:
    (tmp_path / name).parent.mkdir(parents=True)
    place(tmp_path / name, kind)
    host = Host(tmp_path)
    assert family(host) == ""
    assert _distribution(host) == []
    assert host.hostname() == os.uname().nodename
    assert host.kernel_release() == os.uname().release
    with pytest.raises(OSError, match=r"\w"):
        host.read(f"/{name}")


def test_an_absolute_link_of_another_root_stays_below_it(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "real").write_text("ID=debian\n")
    (tmp_path / "etc/os-release").symlink_to("/real")
    assert family(Host(tmp_path)) == "debian"
