"""Names of users: at once from the file, later from a name service, and nobody waits for a silent one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core.system.host import Host
from core.system.users import Users
from tests.core.system.hostile_places import place
from tests.places import ROOT

UID = 54_321
FOREVER_S = 3600
Run = Callable[..., str]


@pytest.fixture
def with_slow_service(tmp_path: Path, as_root: None) -> Run:
    """Return a function that runs a command on this host as if its name service took so many seconds."""
    compiler = shutil.which("cc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("no C compiler")
    library = tmp_path / "libnss_slow.so.2"
    source = ROOT / "tests/core/system/nss_slow.c"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source], check=True)
    (tmp_path / "nsswitch.conf").write_text("passwd: files slow\n")

    def run(seconds: int, *words: str) -> str:
        script = f'mount --bind {tmp_path}/nsswitch.conf /etc/nsswitch.conf && exec "$@"'
        made = subprocess.run(
            ["unshare", "--mount", "sh", "-c", script, "sh", sys.executable, *words],
            cwd=ROOT, env={**os.environ, "LD_LIBRARY_PATH": str(tmp_path), "SLOW": str(seconds)},
            stdout=subprocess.PIPE, text=True, timeout=60, check=True,
        )  # fmt: skip
        return made.stdout

    return run


@pytest.fixture
def stranger(as_root: None) -> Iterator[int]:
    """A process of a user that no file knows."""
    child = subprocess.Popen(["setpriv", "--reuid", str(UID), "--clear-groups", "sleep", "60"])
    while Path(f"/proc/{child.pid}/comm").read_bytes() != b"sleep\n":
        pass
    yield child.pid
    child.kill()
    child.wait()


@pytest.mark.parametrize("probe", [True, False])
def test_a_list_does_not_wait_for_a_silent_name_service(
    with_slow_service: Run, stranger: int, probe: bool
) -> None:
    words = ("-m", "tui.cli.main", *(() if probe else ("--no-probe",)))
    rows = json.loads(with_slow_service(FOREVER_S, *words, "ps", "--json"))["processes"]
    users = {row["pid"]: row["user"] for row in rows}
    assert users[stranger] == str(UID)
    assert "root" in users.values()  # the file knows it
    one = json.loads(with_slow_service(FOREVER_S, *words, "resolve", str(stranger), "--json"))
    assert one["entry"]["user"] == str(UID)
    assert str(UID) in with_slow_service(FOREVER_S, *words, "ps")


SCREEN = """
import sys, threading
from core.system.host import LOCAL
from core.session.session import open_session
from core.model.view import ViewRequest
session = open_session(LOCAL, probe=False)
named = threading.Event()
shown = []
def look(frame):
    for row in frame.window.rows:
        if row.pid == int(sys.argv[1]) and row.user not in shown:
            shown.append(row.user)
            print(row.user, flush=True)
            if len(shown) == int(sys.argv[2]):
                named.set()
session.subscribe(look)
session.request(ViewRequest(height=60, filter=sys.argv[3]))
session.start()
assert named.wait(50)
session.stop()
"""


def test_a_screen_shows_the_number_first_and_the_name_when_it_comes(
    with_slow_service: Run, stranger: int
) -> None:
    out = with_slow_service(3, "-c", SCREEN, str(stranger), "2", f"pid:{stranger}")
    assert out.split() == [str(UID), f"slow-{UID}"]


def test_a_filter_by_name_finds_who_got_his_name_later(with_slow_service: Run, stranger: int) -> None:
    assert with_slow_service(3, "-c", SCREEN, str(stranger), "1", f"user:slow-{UID}").split() == [
        f"slow-{UID}"
    ]


def test_a_screen_goes_on_while_the_name_service_is_silent(with_slow_service: Run, stranger: int) -> None:
    out = with_slow_service(FOREVER_S, "-c", SCREEN, str(stranger), "1", f"pid:{stranger}")
    assert out.split() == [str(UID)]


ASKED = """
from core.system.users import Users
users = Users()
print(users.name(54321), users.settle(), users.settle(60), users.name(54321), users.settle())
print(users.name(12345))
print(users.settle(60), users.name(12345))
"""


def test_news_are_names_not_numbers(with_slow_service: Run) -> None:
    out = with_slow_service(1, "-c", ASKED).split("\n")
    assert out[:3] == ["54321 False True slow-54321 False", "12345", "False 12345"]


def test_another_hosts_file_is_all_that_counts_there(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    lines = (
        b"alice:x:7:7::/:/bin/sh\nsecond:x:7:7::/:\n\x1b[31m:x:8:8::/:\nbroken\n:x:9:9::/:\nnul:x:x:1::/:\n"
    )
    (tmp_path / "etc/passwd").write_bytes(lines)
    users = Users(Host(tmp_path))
    assert [users.name(uid) for uid in (7, 8, 9, 0)] == ["alice", "\\x1b[31m", "9", "0"]
    assert not users.settle(60)


@pytest.mark.parametrize("kind", ["fifo", "zero", "huge", "folder", "loop", "outside"])
def test_whatever_lies_at_etc_passwd_there_are_numbers(tmp_path: Path, kind: str) -> None:
    (tmp_path / "etc").mkdir()
    place(tmp_path / "etc/passwd", kind)
    assert Users(Host(tmp_path)).name(0) == "0"
