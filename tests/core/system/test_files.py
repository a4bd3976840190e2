"""Writing where others can, too: what they planted is neither followed nor overwritten."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.system import files
from tests.places import ROOT

NOBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make files of others")
ME = os.geteuid()


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    path = tmp_path / "victim"
    path.write_text("precious\n")
    return path


@pytest.fixture
def shared() -> Iterator[Path]:
    """A directory that everybody can reach."""
    with tempfile.TemporaryDirectory() as made:
        place = Path(made)
        place.chmod(0o755)
        yield place


def test_a_whole_file_replaces_a_link_and_not_what_it_leads_to(tmp_path: Path, victim: Path) -> None:
    (tmp_path / "x").symlink_to(victim)
    (tmp_path / ".x.new").symlink_to(victim)
    files.write_file(tmp_path / "x", b"new")
    assert victim.read_text() == "precious\n"
    assert not (tmp_path / "x").is_symlink()
    assert (tmp_path / "x").read_bytes() == b"new"
    assert sorted(os.listdir(tmp_path)) == [".x.new", "victim", "x"]


def test_a_write_that_fails_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    with pytest.raises(IsADirectoryError):
        files.write_file(tmp_path / "x", b"new")
    assert os.listdir(tmp_path) == ["x"]


@pytest.mark.parametrize("to", ["victim", "missing"])
def test_a_new_file_is_new(tmp_path: Path, victim: Path, to: str) -> None:
    (tmp_path / "link").symlink_to(tmp_path / to)
    with pytest.raises(FileExistsError):
        os.close(files.create(tmp_path / "link"))
    assert victim.read_text() == "precious\n"
    assert not (tmp_path / "missing").exists()


def test_a_log_is_appended_to(tmp_path: Path) -> None:
    for _ in range(2):
        with os.fdopen(files.append(tmp_path / "log"), "a") as file:
            file.write("line\n")
    assert (tmp_path / "log").read_text() == "line\nline\n"
    assert stat.S_IMODE((tmp_path / "log").stat().st_mode) == 0o600


def test_a_log_is_no_link_second_name_fifo_or_socket(tmp_path: Path, victim: Path) -> None:
    (tmp_path / "link").symlink_to(victim)
    os.link(victim, tmp_path / "second")
    os.mkfifo(tmp_path / "fifo")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "socket"))
        for name in ("link", "second", "fifo", "socket"):
            with pytest.raises(OSError, match=r"link|another name|plain file|device or address"):
                files.append(tmp_path / name)
    assert victim.read_text() == "precious\n"


@as_root
def test_a_log_of_somebody_else_is_left_alone(shared: Path) -> None:
    shared.chmod(0o1777)
    (shared / "log").write_text("theirs\n")
    os.chown(shared / "log", NOBODY, NOBODY)
    with pytest.raises(PermissionError, match="belongs to nobody"):
        files.append(shared / "log")


@as_root
def test_in_a_place_of_somebody_else_root_writes_as_that_user(shared: Path, tmp_path: Path) -> None:
    home = shared / "home"
    home.mkdir()
    os.chown(home, NOBODY, NOBODY)
    for make in (files.create, files.append):
        os.close(make(home / make.__name__))
        assert (home / make.__name__).stat().st_uid == NOBODY
    (tmp_path / "roots").mkdir(mode=0o755)
    os.symlink(tmp_path / "roots", home / "leads", target_is_directory=True)
    os.lchown(home / "leads", NOBODY, NOBODY)
    with pytest.raises(PermissionError):
        files.create(home / "leads/file")
    assert not os.listdir(tmp_path / "roots")


@as_root
def test_below_a_directory_that_everybody_can_rename_in_nothing_is_written(shared: Path) -> None:
    (shared / "sub").mkdir()
    shared.chmod(0o777)
    with pytest.raises(PermissionError, match="other users control"):
        files.create(shared / "sub/file")
    shared.chmod(0o1777)
    os.close(files.create(shared / "sub/file"))


def test_directories_are_made_and_links_in_their_place_refused(tmp_path: Path) -> None:
    base = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for _ in range(2):
            os.close(files.open_below(base, "a", tmp_path, make=True))
        assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o755
        (tmp_path / "link").symlink_to("a")
        (tmp_path / "file").touch()
        with pytest.raises(NotADirectoryError, match="symbolic link") as caught:
            files.open_below(base, "link", tmp_path, make=True)
        assert caught.value.filename == str(tmp_path / "link")
        with pytest.raises(NotADirectoryError, match="not a directory"):
            files.open_below(base, "file", tmp_path, make=True)
        with pytest.raises(FileNotFoundError):
            files.open_below(base, "none", tmp_path, make=False)
    finally:
        os.close(base)


def test_only_plain_files_are_read(tmp_path: Path, victim: Path) -> None:
    (tmp_path / "link").symlink_to(victim)
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "zero").symlink_to("/dev/zero")
    assert files.read_regular(victim, 100) == b"precious\n"
    assert files.read_regular(victim, 4) == b"prec"
    assert files.read_regular(victim, 4, from_end=True) == b"ous\n"
    assert files.read_regular(tmp_path / "link", 100) is None
    assert files.read_regular(tmp_path / "link", 100, link=True) == b"precious\n"
    for name in ("fifo", "zero", "none"):
        assert files.read_regular(tmp_path / name, 100, link=True) is None


# --- who else could change a path ------------------------------------------------------------------


def test_my_own_file_is_mine_also_in_a_sticky_directory(tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    (tmp_path / "tmp").chmod(0o1777)
    (tmp_path / "tmp/mine").touch(mode=0o644)
    assert files.not_only(ME, tmp_path / "tmp/mine") == ""
    assert "every user" in files.not_only(ME, tmp_path / "tmp")
    assert files.not_only(ME, tmp_path / "tmp", as_parent=True) == ""


@pytest.mark.parametrize("loose", ["", "a", "a/b", "a/b/file"])
def test_a_mode_for_everybody_anywhere_on_the_way_is_found(tmp_path: Path, loose: str) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/file").touch()
    (tmp_path / loose).chmod(0o777)
    assert str(tmp_path / loose) in files.not_only(ME, tmp_path / "a/b/file")


@as_root
@pytest.mark.parametrize("theirs", ["a", "a/b", "a/b/file"])
def test_another_owner_anywhere_on_the_way_is_found(tmp_path: Path, theirs: str) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/file").touch()
    os.chown(tmp_path / theirs, NOBODY, NOBODY)
    assert files.not_only(0, tmp_path / "a/b/file") == f"{tmp_path / theirs} belongs to nobody"


@as_root
def test_a_link_is_followed_through_every_directory_that_it_leads_through(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "theirs").mkdir()
    os.chown(tmp_path / "theirs", NOBODY, NOBODY)
    (tmp_path / "theirs/hop").symlink_to(tmp_path / "mine")
    (tmp_path / "start").symlink_to(tmp_path / "theirs/hop")
    assert "theirs belongs to nobody" in files.not_only(0, tmp_path / "start")
    assert files.not_only(0, tmp_path / "mine") == ""


@as_root
def test_a_group_of_one_is_private_and_another_is_not(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    path.chmod(0o664)
    assert files.not_only(0, path) == ""  # root's own group
    os.chown(path, 0, 1)
    assert "group" in files.not_only(0, path)


@as_root
def test_an_access_list_for_another_user_is_found(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    entries = [(1, 6, -1), (2, 6, NOBODY), (4, 4, -1), (16, 6, -1), (32, 4, -1)]  # user::rw user:nobody:rw
    value = b"\2\0\0\0" + b"".join(
        tag.to_bytes(2, "little") + bits.to_bytes(2, "little") + (who & 0xFFFFFFFF).to_bytes(4, "little")
        for tag, bits, who in entries
    )
    try:
        os.setxattr(path, "system.posix_acl_access", value)
    except OSError as error:
        pytest.skip(f"no access lists on this file system: {error.strerror}")
    assert "access list" in files.not_only(0, path)


def test_a_circle_of_links_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(OSError, match="symbolic links"):
        files.not_only(ME, tmp_path / "a")


@as_root
def test_without_the_capability_nothing_is_written_as_root_instead(shared: Path) -> None:
    """setfsuid(2) reports no error: without CAP_SETUID the thread would stay root."""
    program = (
        "import ctypes, os, sys\n"
        "from core.system.files import acting_as\n"
        "libc = ctypes.CDLL(None)\n"
        "capget, capset = {'x86_64': (125, 126), 'aarch64': (90, 91)}[os.uname().machine]\n"
        "head, data = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()\n"
        "assert libc.syscall(capget, head, data) == 0\n"
        "data[0] &= ~0xc0  # CAP_SETGID and CAP_SETUID, effective and permitted\n"
        "data[1] &= ~0xc0\n"
        "assert libc.syscall(capset, head, data) == 0\n"
        "with acting_as(65534, 65534):\n"
        "    open(sys.argv[1], 'w')\n"
    )
    if os.uname().machine not in ("x86_64", "aarch64"):
        pytest.skip("capset's number is not known here")
    ran = subprocess.run(
        [sys.executable, "-c", program, str(shared / "file")],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert "PermissionError" in ran.stderr, ran.stderr
    assert not (shared / "file").exists()
