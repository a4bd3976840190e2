"""What a user's files can do to the child that reads them, and what the child can do to the program."""

from __future__ import annotations

import gc
import json
import os
import re
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.containers import ContainerNames
from core.containers.daemons import Home
from core.containers.facts import ContainerFacts
from core.containers.user_process import ChildEnded, UserProcess
from core.containers.user_protocol import (
    Claim,
    Question,
    checked_facts,
    placed_of_claim,
)
from core.containers.user_states import UserStates
from core.system.host import Host
from core.text.safe import safe_text
from tests.containers_real import wait_until
from tests.core.containers.rootless_users import EVE, JOE, Users

A = "1b060cc81653a5c4a1d5bb6b1ea0e8b9f3b1d2c3e4f5061728394a5b6c7d8e9f"
STORAGE = "/home/joe/.local/share/containers/storage"
JOES = f"/user.slice/user-{JOE}.slice/user@{JOE}.service/libpod-{A}.scope".encode()
EVES = f"/user.slice/user-{EVE}.slice/user@{EVE}.service/docker-{A}.scope".encode()

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can take the rights of users")


@pytest.fixture
def users(tmp_path: Path) -> Users:
    return Users(tmp_path)


def _podman(users: Users) -> Path:
    record = {"id": A, "names": ["shop"], "metadata": json.dumps({"image-name": "busybox:1"})}
    return users.write(f"{STORAGE}/overlay-containers/containers.json", [record], JOE)


def _docker(users: Users, uid: int = EVE, home: str = "/home/eve", name: str = "bank") -> Path:
    file = f"{home}/.local/share/docker/containers/{A}/config.v2.json"
    return users.write(file, {"Name": f"/{name}", "Config": {"Image": "busybox:2"}}, uid)


def _process(names: ContainerNames, uid: int) -> subprocess.Popen[bytes]:
    process = names._users._users[uid].process
    assert process is not None
    return process._process


def _reasons(names: ContainerNames, path: bytes) -> str:
    context = names.container_of(path)
    return f"{context.reason}; {'; '.join(names.problems)}"


# --- the child's rights ------------------------------------------------------------------------


def test_the_child_has_the_rights_of_the_user_and_no_others(users: Users) -> None:
    _docker(users)
    names = users.names()
    before = os.getgroups()
    os.setgroups([4, 27])
    try:
        assert names.container_of(EVES).name == "bank"
    finally:
        os.setgroups(before)
    process = Path(f"/proc/{_process(names, EVE).pid}")
    status = dict(
        line.split(":\t", 1) for line in (process / "status").read_text().splitlines() if ":\t" in line
    )
    assert status["Uid"].split() == [str(EVE)] * 4
    assert status["Gid"].split() == [str(EVE)] * 4
    assert status["Groups"].split() == []
    for capabilities in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(status[capabilities], 16) == 0
    assert status["NoNewPrivs"] == "1"
    assert status["NSsid"].split()[0] == str(_process(names, EVE).pid)
    assert os.readlink(process / "cwd") == "/"
    limits = (process / "limits").read_text()
    for name, limit in (("file size", 0), ("core file size", 0), ("processes", 0), ("open files", 16)):
        [line] = [line for line in limits.splitlines() if line.startswith(f"Max {name} ")]
        assert line.removeprefix(f"Max {name}").split()[:2] == [str(limit)] * 2
    targets = [os.readlink(descriptor) for descriptor in (process / "fd").iterdir()]
    assert sorted(target.split(":")[0] for target in targets if target != str(users.root)) == [
        "/dev/null",
        "/dev/null",
        "/memfd",
        "socket",
    ]
    environment = (process / "environ").read_bytes()
    assert environment == b"LC_ALL=C.UTF-8\0"


def test_the_child_ends_with_the_names(users: Users) -> None:
    _docker(users)
    names = users.names()
    names.container_of(EVES)
    process = _process(names, EVE)
    del names
    gc.collect()
    process.wait(10)


SECRET = {"Name": "/secret", "annotations": {"nerdctl/name": "secret"}}


@pytest.mark.parametrize("way", ["link", "link in proc", "linked folder"])
def test_a_link_does_not_lead_to_what_only_root_may_read(users: Users, way: str) -> None:
    secret = users.write("/root/secret", SECRET, 0)
    secret.chmod(0o600)
    secret.parent.chmod(0o700)
    file = _docker(users)
    file.unlink()
    if way == "linked folder":
        file.parent.rmdir()
        file.parent.symlink_to("/root")
        (users.root / "root/config.v2.json").write_text(json.dumps(SECRET))
    else:
        file.symlink_to("/root/secret" if way == "link" else f"/proc/{os.getpid()}/root{secret}")
    names = users.names()
    context = names.container_of(EVES)
    assert context.name is None
    assert "secret" not in str(context)


def test_the_bundle_of_roots_container_in_a_users_folder_is_read_with_the_users_rights(users: Users) -> None:
    state = {"cgroup_paths": {"": "/sys/fs/cgroup/web"}, "config": {"labels": ["bundle=/home/eve/b"]}}
    users.write("/run/runc/web/state.json", state, 0)
    bundle = users.write("/home/eve/b/config.json", {"annotations": {"nerdctl/name": "shop"}}, EVE)
    names = users.names()
    assert names.container_of(b"/web").name == "shop"
    assert _process(names, EVE)
    bundle.write_text(json.dumps({"annotations": {"nerdctl/name": "another"}}))

    def is_seen() -> bool:
        names.refresh()
        return names.container_of(b"/web").name == "another"

    wait_until(is_seen, "the change of the bundle", 70)


# --- what files can do -------------------------------------------------------------------------


def _nested_views(file: Path, count: int) -> None:
    """Write a database whose ContainerConfig is a view of a view of a view (through DDL it takes minutes)."""
    file.unlink(missing_ok=True)
    connection = sqlite3.connect(file)
    connection.executescript("CREATE TABLE PodConfig(ID, Name); CREATE TABLE t(ID, JSON, PodID);")
    connection.execute("PRAGMA writable_schema = ON")
    above = ["t", *(f"v{number}" for number in range(count))]
    names = [*above[1:], "ContainerConfig"]
    connection.executemany(
        "INSERT INTO sqlite_master VALUES ('view', ?, ?, 0, ?)",
        [
            (name, name, f"CREATE VIEW {name} AS SELECT ID,JSON,PodID FROM {source}")
            for name, source in zip(names, above, strict=True)
        ],
    )
    connection.commit()
    connection.close()
    os.chown(file, JOE, JOE)


def test_a_database_of_nested_views_ends_nothing(users: Users) -> None:
    _podman(users)
    _docker(users)
    _nested_views(users.root / STORAGE[1:] / "db.sql", 20_000)
    names = users.names()
    context = names.container_of(JOES)
    assert (context.name, context.image) == ("shop", "busybox:1")
    assert "/db.sql: " in (context.reason or "")
    assert names.container_of(EVES).name == "bank"


def test_a_huge_list_of_containers_does_not_fill_the_memory(users: Users) -> None:
    """14 MB that took 650 MB: the names of containers that are kept, each a few bytes in the file."""
    file = _podman(users)
    file.write_text('[{"id":"x","names":[' + '"",' * 4_600_000 + '""]}]')
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    names = users.names()
    reason = _reasons(names, JOES)
    assert "containers.json: holds more than" in reason
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10


def test_many_files_are_work_that_is_counted_together(users: Users) -> None:
    """8 files stalled each refresh for 15 s: 9000 cgroups that are looked for in every hierarchy."""
    paths = {f"{number:x}": f"/{number:x}/{number:x}" for number in range(9000)}
    for number in range(256):
        users.write(f"/run/user/{JOE}/runc/c{number}/state.json", {"cgroup_paths": paths}, JOE)
    _docker(users)
    names = users.names()
    looked: list[int] = []
    verified = names._claims._checked
    names._claims._checked = lambda *args: looked.append(args[3]) or verified(*args)  # type: ignore
    wait_until(lambda: (names.refresh(), names.problems)[1] != (), "the budget to be used up", 60)
    # In a file, or between two of them, while the folder is listed.
    place = rf"user {JOE}: /run/user/{JOE}/runc(/c\d+/state\.json)?: exceeds the limit of work"
    assert re.search(place, names.problems[0]), names.problems[0]
    assert names.container_of(EVES).name == "bank"
    assert max(looked, default=0) <= 512


@pytest.mark.parametrize("kind", ["files", "folders", "links", "long names"])
def test_a_folder_with_a_crowd_in_it(users: Users, kind: str) -> None:
    folder = users.root / f"run/user/{JOE}/runc"
    folder.mkdir(parents=True)
    make: dict[str, Callable[[Path], object]] = {
        "files": Path.touch,
        "folders": Path.mkdir,
        "links": lambda path: path.symlink_to(path.name),
        "long names": lambda path: path.with_name(path.name + "x" * 240).mkdir(),
    }
    for number in range(20_000):
        make[kind](folder / str(number))
    _docker(users)
    names = users.names()
    assert names.container_of(EVES).name == "bank"
    assert names.refresh() == set()


def test_a_file_system_on_a_users_folder_hides_nobody_elses(users: Users) -> None:
    """A file system of a user (FUSE) does not let root look at it; here nothing of that one is a folder."""
    (users.root / "run/user").mkdir(parents=True)
    (users.root / f"run/user/{JOE}").symlink_to(f"{JOE}")
    users.cgroup("/delegated/eve/web", EVE)
    users.claim(EVE, "/delegated/eve/web")
    assert users.names().container_of(b"/delegated/eve/web").id == f"web@{EVE}"


# --- children that do not answer ---------------------------------------------------------------


@pytest.fixture
def short_of_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.containers.user_process.ANSWER_S", 3.0)


@pytest.mark.usefixtures("short_of_patience")
def test_a_child_that_does_not_answer_takes_nothing_from_the_others(users: Users) -> None:
    _docker(users)
    _docker(users, JOE, "/home/joe", "shop")
    names = users.names()
    joes = EVES.replace(str(EVE).encode(), str(JOE).encode())
    assert [names.container_of(path).name for path in (joes, EVES)] == ["shop", "bank"]
    process = _process(names, JOE)
    process.send_signal(signal.SIGSTOP)  # as when its file system does not answer
    _docker(users, name="another")
    wait_until(lambda: EVES in names.refresh(), "the change of eve's container", 30)
    assert names.container_of(EVES).name == "another"
    wait_until(lambda: (names.refresh(), names.problems)[1] != (), "the end of the child", 30)
    assert f"user {JOE}: " in names.problems[0]
    assert "it did not answer in time" in names.problems[0]
    assert process.wait(10) == -signal.SIGKILL
    assert names.container_of(joes).name == "shop"


def test_a_file_that_ends_the_child_is_left_out_by_the_next_one(
    users: Users, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.containers.user_states._FIRST_REST_S", 0.0)
    file = _docker(users, JOE, "/home/joe", "shop")
    names = users.names()
    joes = EVES.replace(str(EVE).encode(), str(JOE).encode())
    assert names.container_of(joes).name == "shop"
    first = _process(names, JOE)
    first.send_signal(signal.SIGSEGV)
    wait_until(lambda: (names.refresh(), names.problems)[1] != (), "the end of the child", 30)
    inside = f"/{file.relative_to(users.root)}"
    assert f"{inside}: reading it ended with SIGSEGV" in names.problems[0]
    user = names._users._users[JOE]
    user.rests_until = 0.0
    wait_until(lambda: (names.refresh(), user.process)[1] is not None, "another child", 30)
    assert names.container_of(joes).name == "shop"
    facts, reason = names._users.facts(JOE, A, "podman")  # what only the new child has read
    assert facts is None
    _, reason = names._users.facts(JOE, A, "ecs")
    assert "reading it ended with SIGSEGV" in (reason or "")


def _poll(process: UserProcess) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("s.sendall(struct.pack('=I', 1 << 30)); time.sleep(60)", "it sent more than an answer"),
        ("s.sendall(struct.pack('=I', 3) + b'abc'); time.sleep(60)", "is not understood"),
        ("s.recv(99); s.sendall(struct.pack('=I', 200_000) + b'\\xff' * 200_000)", "is not understood"),
        ("s.recv(99); os.kill(os.getpid(), signal.SIGXCPU)", "exceeds the processor time limit"),
        ("s.recv(99); os.kill(os.getpid(), signal.SIGALRM)", "does not answer"),
        ("s.recv(99); os._exit(3)", "exceeds the memory limit"),
        ("s.recv(99); os._exit(4)", "cannot take the user's rights"),
        ("s.recv(99); os._exit(7)", "code 7"),
        ("os.ftruncate(NOTE, 0)", "code 1"),  # who then looks into it would get a SIGBUS
        ("s.recv(99); time.sleep(60)", "did not answer in time"),
    ],
)
def test_a_child_that_is_taken_over(monkeypatch: pytest.MonkeyPatch, code: str, why: str) -> None:
    def start(settings: str, questions: int, inherited: list[int]) -> subprocess.Popen[bytes]:
        program = f"import os, signal, socket, struct, time; s = socket.socket(fileno=0); {code}"
        program = program.replace("NOTE", str(inherited[0]))
        return subprocess.Popen([sys.executable, "-I", "-c", program], stdin=questions, pass_fds=inherited)

    monkeypatch.setattr("core.containers.user_process._started", start)
    monkeypatch.setattr("core.containers.user_process.ANSWER_S", 3.0 if "in time" in why else 30.0)
    process = UserProcess(Host(), Home(JOE, "/home/joe"))
    process.ask(Question())
    with pytest.raises(ChildEnded, match=why):
        _poll(process)
    assert process._process.wait(10) is not None


def test_rights_that_cannot_be_taken() -> None:
    """The kernel has no user -2 in this namespace: nothing is read with the rights of somebody else."""
    process = UserProcess(Host(), Home(0xFFFF_FFFF, "/home/joe"))
    process.ask(Question())
    with pytest.raises(ChildEnded, match="cannot take the user's rights"):
        _poll(process)


def test_only_so_many_children_run(users: Users, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.containers.user_states._CHILDREN", 2)
    monkeypatch.setattr("core.containers.user_states._TURN_S", 0.2)
    homes = {}
    for uid in range(5001, 5006):
        _docker(users, uid, f"/home/{uid}", f"of-{uid}")
        homes[uid] = Home(uid, f"/home/{uid}", uid)
    states = UserStates(Host(users.root), homes.get)
    for uid in homes:
        wait_until(
            lambda uid=uid: (states.refresh(), states.facts(uid, A, "docker")[0])[1] is not None,  # type: ignore
            "the facts",
            60,
        )
        assert len([user for user in states._users.values() if user.process]) <= 2
    assert [facts.name for uid in homes if (facts := states.facts(uid, A, "docker")[0])] == [
        f"of-{uid}" for uid in homes
    ]
    states.close()


# --- what is taken from a child ----------------------------------------------------------------

text = st.text(max_size=3000) | st.text(st.characters(categories=["Cs", "Cc", "Cf"]), max_size=40)
some = st.none() | text


@given(
    st.builds(
        ContainerFacts, source=text, runtime=text, name=some, image=some, pod=some, namespace=some,
        pod_uid=some, note=some, labels=st.lists(st.tuples(text, text), max_size=80).map(tuple),
    )
)  # fmt: skip
def test_any_facts_of_a_child_are_safe_and_short(facts: ContainerFacts) -> None:
    kept = checked_facts(facts)
    assert kept is not None
    texts = [
        kept.source,
        kept.runtime,
        kept.name,
        kept.image,
        kept.pod,
        kept.namespace,
        kept.pod_uid,
        kept.note,
    ]
    for value in [*texts, *(part for label in kept.labels for part in label)]:
        assert value is None or (value == safe_text(value) and len(value) <= 1024)
    assert len(kept.labels) <= 64


@given(
    text | st.sampled_from(["web", "a/b", "..", "web@0", ""]), text | st.just("runc"), st.lists(st.binary())
)
def test_any_claim_of_a_child_is_of_its_user(name: str, folder: str, paths: list[bytes]) -> None:
    placed = placed_of_claim(Claim(folder, name, "/b", paths), JOE)
    if placed is not None:
        assert placed.owner == JOE
        assert placed.id == f"{name}@{JOE}" == safe_text(placed.id)
        assert placed.place == f"/run/user/{JOE}/runc/{name}"
        assert len(placed.paths) <= 16
