"""The headers that a kernel carries in itself: made-up archives, hostile ones, and one that compiles."""

from __future__ import annotations

import io
import lzma
import os
import shutil
import stat
import subprocess
import tarfile
from pathlib import Path

import pytest

from buildgen.errors import KheadersError
from buildgen.events import Done
from buildgen.headers import kheaders
from buildgen.headers.candidates import Candidate
from buildgen.headers.find import HeadersNotFound, find_header_dirs
from buildgen.headers.kheaders import unpacked
from buildgen.headers.places import ARCHIVE
from buildgen.ninja.runner import run_build
from buildgen.plan.plan import plan
from buildgen.project.project import load_project
from core.system.arch import local_arch
from core.system.host import Host
from tests.buildgen.ebpf_sources import PREBUILT
from tests.buildgen.header_trees import FakeRoot

RELEASE = "6.6.1-made"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("SUDO_UID", raising=False)
    return tmp_path / "cache/ebpf-tui/kheaders"


@pytest.fixture
def carrying(fake: FakeRoot, tmp_path: Path, cache: Path) -> FakeRoot:
    """A host whose running kernel has its headers in /sys, laid out as the kernel's gen_kheaders.sh does."""
    fake.file("/proc/sys/kernel/osrelease", f"{RELEASE}\n")
    tree = FakeRoot(tmp_path).full("/tree", RELEASE, local_arch().kernel)
    tree.path("/tree/Makefile").unlink()
    with tarfile.open(placed(fake), "w:xz") as archive:
        archive.add(tree.path("/tree"), arcname=".")
    return fake


def placed(fake: FakeRoot) -> Path:
    path = fake.path(ARCHIVE)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def archive_of(fake: FakeRoot, *members: tarfile.TarInfo | tuple[str, bytes]) -> Host:
    with tarfile.open(placed(fake), "w:xz") as archive:
        for one in members:
            if isinstance(one, tarfile.TarInfo):
                archive.addfile(one)
            else:
                info = tarfile.TarInfo(one[0])
                info.size = len(one[1])
                archive.addfile(info, io.BytesIO(one[1]))
    return fake.host


def verdict(candidates: tuple[Candidate, ...]) -> Candidate:
    (one,) = [c for c in candidates if c.path.name == "kheaders.tar.xz"]
    return one


def test_it_is_used_when_nothing_else_is_of_the_running_kernel(carrying: FakeRoot, cache: Path) -> None:
    found = find_header_dirs(carrying.host)
    (tree,) = found.trees
    assert tree.parent == cache
    assert found.warnings == ()
    assert (verdict(found.candidates).chosen, verdict(found.candidates).holds) == (True, "full")
    assert tree / "include" in found.dirs
    assert stat.S_IMODE(cache.stat().st_mode) == stat.S_IMODE(tree.stat().st_mode) == 0o700
    before = tree.stat().st_ctime_ns
    assert find_header_dirs(carrying.host).trees == (tree,)
    assert tree.stat().st_ctime_ns == before  # the second time it is in the cache
    assert list(cache.iterdir()) == [tree]


def test_it_is_left_alone_when_the_package_is_there(carrying: FakeRoot, cache: Path) -> None:
    carrying.full(f"/usr/src/linux-headers-{RELEASE}", RELEASE, local_arch().kernel)
    found = find_header_dirs(carrying.host)
    assert "not unpacked" in verdict(found.candidates).reason
    assert not cache.exists()


@pytest.mark.parametrize(
    "options", [{"release": "5.10.0-1-amd64"}, {"arch": "arm64" if local_arch().name != "arm64" else "amd64"}]
)
def test_it_is_for_the_running_kernel_only(carrying: FakeRoot, cache: Path, options: dict[str, str]) -> None:
    with pytest.raises(HeadersNotFound) as error:
        find_header_dirs(carrying.host, **options)
    assert f"embedded in the running kernel, {RELEASE}" in verdict(error.value.candidates).reason
    assert not cache.exists()


def link(name: str, to: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, to
    return info


@pytest.mark.parametrize(
    "name", ["../evil", "include/../../evil", "/tmp/evil-of-a-test", "etc/evil", "include/.."]
)
def test_names_that_lead_elsewhere_are_refused(fake: FakeRoot, cache: Path, name: str) -> None:
    host = archive_of(fake, ("include/linux/kconfig.h", b""), (name, b"x"))
    with pytest.raises(KheadersError, match="not a kernel header"):
        unpacked(host)
    assert list(cache.iterdir()) == []  # nothing half unpacked stays
    assert not list(cache.parent.rglob("evil*"))
    assert not Path("/tmp/evil-of-a-test").exists()


def test_links_and_devices_are_not_made(fake: FakeRoot, cache: Path, tmp_path: Path) -> None:
    device, target = tarfile.TarInfo("include/device"), tmp_path / "target"
    device.type = tarfile.CHRTYPE
    target.mkdir()
    host = archive_of(
        fake,
        link("include/out", str(target)),
        ("include/out/evil", b"x"),
        link("include/hard", "/etc/passwd", tarfile.LNKTYPE),
        device,
    )
    tree = unpacked(host)
    assert sorted(str(path.relative_to(tree)) for path in tree.rglob("*")) == [
        "include", "include/out", "include/out/evil",
    ]  # fmt: skip
    assert not list(target.iterdir())


def test_permissions_in_the_archive_mean_nothing(fake: FakeRoot, cache: Path) -> None:
    info = tarfile.TarInfo("include/x.h")
    info.mode, info.uid = 0o6777, 12345
    path = unpacked(archive_of(fake, info)) / "include/x.h"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.stat().st_uid == os.geteuid()


def test_the_same_name_twice_is_refused(fake: FakeRoot, cache: Path) -> None:
    with pytest.raises(KheadersError, match="exists"):
        unpacked(archive_of(fake, ("include/x.h", b"1"), ("include/x.h", b"2")))
    assert list(cache.iterdir()) == []


def test_an_archive_without_end_is_refused(
    fake: FakeRoot, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kheaders, "_MOST_BYTES", 1 << 20)
    with pytest.raises(KheadersError, match="unpacks to more than"):
        unpacked(archive_of(fake, ("include/x.h", bytes(8 << 20))))
    monkeypatch.setattr(kheaders, "_MOST_MEMBERS", 3)
    with pytest.raises(KheadersError, match="more than 3 members"):
        unpacked(archive_of(fake, *((f"include/{n}.h", b"") for n in range(4))))
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize(
    "content", [b"", b"no archive", lzma.compress(b"no tar"), lzma.compress(bytes(9999))[:-30]]
)
def test_a_damaged_archive_is_one_verdict(carrying: FakeRoot, cache: Path, content: bytes) -> None:
    placed(carrying).write_bytes(content)
    with pytest.raises(HeadersNotFound) as error:
        find_header_dirs(carrying.host)
    assert "damaged" in verdict(error.value.candidates).reason


def test_a_cache_that_others_can_write_to_is_refused(carrying: FakeRoot, cache: Path) -> None:
    cache.mkdir(parents=True)
    cache.chmod(0o777)
    with pytest.raises(KheadersError, match="only you can write to"):
        unpacked(carrying.host)


def test_old_kernels_leave_the_cache(fake: FakeRoot, cache: Path) -> None:
    for number in range(6):
        newest = unpacked(archive_of(fake, ("include/x.h", b"%d" % number)))
    assert newest in cache.iterdir()
    assert len(list(cache.iterdir())) == 3


def test_a_program_compiles_with_it(fake: FakeRoot, cache: Path, tmp_path: Path, needs_llvm: None) -> None:
    """Debian's two halves, packed as the kernel packs its own."""
    try:
        halves = find_header_dirs().trees
    except HeadersNotFound:
        pytest.skip("no kernel headers here")
    merged = tmp_path / "merged"
    for half in reversed(halves):
        for part in ("include", f"arch/{local_arch().kernel}/include"):
            if (half / part).is_dir():
                shutil.copytree(half / part, merged / part, symlinks=False, dirs_exist_ok=True)
    subprocess.run(["tar", "-c", "-I", "xz -0", "-f", placed(fake), "."], cwd=merged, check=True)
    release = Path(merged, "include/generated/utsrelease.h").read_text().split('"')[1]
    fake.file("/proc/sys/kernel/osrelease", f"{release}\n")
    project = tmp_path / "project"
    project.mkdir()
    (project / "exit_kern.c").write_text(PREBUILT)
    events = list(run_build(plan(load_project(project), host=fake.host)))
    assert isinstance(events[-1], Done)
    assert events[-1].ok, events
