"""Frozen cgroups: what the files of v1 and v2 say, and what a hostile host root has in their place."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from core.containers.freezer import FrozenCgroups
from core.system.host import Host


class Cgroups:
    """The cgroup file systems of a host root; plain files, which inotify tells of as well."""

    def __init__(self, root: Path, kind: str) -> None:
        self._mount = root / "sys/fs/cgroup"
        self._kind = kind
        for folder in {"v1": ("freezer",), "hybrid": ("freezer", "unified"), "v2": (".",)}[kind]:
            (self._mount / folder).mkdir(parents=True)
        if kind == "v2":
            (self._mount / "cgroup.controllers").touch()

    def file(self, path: str) -> Path:
        folder, name = {
            "v1": ("freezer", "freezer.state"),
            "hybrid": ("unified", "cgroup.events"),
            "v2": (".", "cgroup.events"),
        }[self._kind]
        return self._mount / folder / path / name

    def write(self, path: str, frozen: bool) -> None:
        file = self.file(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        if self._kind == "v1":
            file.write_text("FROZEN\n" if frozen else "THAWED\n")
        else:
            file.write_text(f"populated 1\nfrozen {frozen:d}\n")


@pytest.mark.parametrize("kind", ["v1", "hybrid", "v2"])
def test_a_change_is_told_once(tmp_path: Path, kind: str) -> None:
    cgroups = Cgroups(tmp_path, kind)
    cgroups.write("web", frozen=True)
    cgroups.write("db", frozen=False)
    frozen = FrozenCgroups(Host(tmp_path))
    assert (frozen.is_frozen(b"/web"), frozen.is_frozen(b"/db"), frozen.is_frozen(b"/none")) == (
        True,
        False,
        False,
    )
    for _ in range(10):  # they are not new any more, only watched
        assert frozen.refresh() == set()
    cgroups.write("db", frozen=True)
    assert frozen.refresh() == {b"/db"}
    assert frozen.is_frozen(b"/db")
    assert frozen.refresh() == set()


def test_nothing_is_read_while_nothing_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 500 containers some nine are looked at in a refresh, by turns."""
    cgroups = Cgroups(tmp_path, "v1")
    frozen = FrozenCgroups(Host(tmp_path))
    for number in range(500):
        cgroups.write(f"{number}", frozen=False)
        frozen.is_frozen(b"/%d" % number)
    for _ in range(30):
        frozen.refresh()
    looked: list[bytes] = []
    look = FrozenCgroups._look

    def look_and_note(self: FrozenCgroups, path: bytes) -> bool:
        looked.append(path)
        return look(self, path)

    monkeypatch.setattr(FrozenCgroups, "_look", look_and_note)
    for _ in range(10):
        frozen.refresh()
    assert len(looked) <= 100


def test_one_that_is_removed_and_made_again(tmp_path: Path) -> None:
    cgroups = Cgroups(tmp_path, "v1")
    cgroups.write("web", frozen=True)
    frozen = FrozenCgroups(Host(tmp_path))
    assert frozen.is_frozen(b"/web")
    cgroups.file("web").unlink()
    while frozen.is_frozen(b"/web"):
        frozen.refresh()
    cgroups.write("web", frozen=True)
    assert not frozen.is_frozen(b"/web")  # who asks knows of a new one: it is looked at again
    assert frozen.refresh() == {b"/web"}


def test_one_that_takes_a_while_to_freeze(tmp_path: Path) -> None:
    cgroups = Cgroups(tmp_path, "v1")
    cgroups.write("web", frozen=False)
    frozen = FrozenCgroups(Host(tmp_path))
    frozen.is_frozen(b"/web")
    for _ in range(10):
        frozen.refresh()
    cgroups.file("web").write_text("FREEZING\n")
    assert frozen.refresh() == set()
    # The kernel changes the state without a write, and so without a word: the watch is taken away.
    frozen._unwatch(b"/web")
    cgroups.write("web", frozen=True)
    assert frozen.refresh() == {b"/web"}


def _link_out(file: Path) -> None:
    outside = file.parents[6] / "outside"
    outside.write_text("FROZEN\n")
    file.symlink_to(outside)


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir, _link_out, lambda file: file.symlink_to("loop")])
def test_something_else_where_the_file_should_be(tmp_path: Path, make: Callable[[Path], None]) -> None:
    root = tmp_path / "root"
    cgroups = Cgroups(root, "v1")
    cgroups.write("web", frozen=True)
    cgroups.file("web").unlink()
    make(cgroups.file("web"))
    frozen = FrozenCgroups(Host(root))
    assert not frozen.is_frozen(b"/web")
    assert frozen.refresh() == set()


@pytest.mark.parametrize(
    "path", [b"/../web", b"/a/../../web", b"/web\0", b"/", b"", b"/..", b"/" + b"x" * 9000]
)
def test_paths_that_lead_elsewhere(tmp_path: Path, path: bytes) -> None:
    """`/../web` is what a cgroup namespace calls its siblings; nothing of the mount is that."""
    cgroups = Cgroups(tmp_path, "v1")
    cgroups.write("", frozen=True)
    cgroups.write("../web", frozen=True)
    frozen = FrozenCgroups(Host(tmp_path))
    assert not frozen.is_frozen(path)
    assert frozen.refresh() == set()


def test_what_is_kept_is_bounded(tmp_path: Path) -> None:
    cgroups = Cgroups(tmp_path, "v1")
    frozen = FrozenCgroups(Host(tmp_path))
    cgroups.write("0", frozen=False)
    frozen.is_frozen(b"/0")
    frozen.refresh()
    assert frozen._path_of
    for number in range(1, 20_000):
        frozen.is_frozen(b"/%d" % number)
    assert len(frozen._states) <= 16_384
    assert frozen._path_of == {}


def test_the_descriptor_is_closed_with_it(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    frozen = FrozenCgroups(Host(tmp_path))
    frozen.refresh()
    assert len(os.listdir("/proc/self/fd")) == before + 1
    del frozen
    assert len(os.listdir("/proc/self/fd")) == before
