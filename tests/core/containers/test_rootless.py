"""Rootless runtimes: what a user writes into his own folders counts for his own cgroups only."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.containers import ContainerNames, container_of_process
from core.system.host import LOCAL
from tests.containers_real import RealContainer, remove_empty_cgroup, unique, wait_until
from tests.core.containers.rootless_users import EVE, JOE, Users, runc_state
from tests.needs import lacks

A = "1b060cc81653a5c4a1d5bb6b1ea0e8b9f3b1d2c3e4f5061728394a5b6c7d8e9f"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to users")


@pytest.fixture
def users(tmp_path: Path) -> Users:
    return Users(tmp_path)


def test_runc(users: Users) -> None:
    users.cgroup("/delegated/joe/web", JOE)
    users.claim(JOE, "/delegated/joe/web", bundle="/home/joe/b")
    users.write("/home/joe/b/config.json", {"annotations": {"nerdctl/name": "shop"}}, JOE)
    context = users.names().container_of(b"/delegated/joe/web/inner")
    assert (context.id, context.runtime, context.name) == (f"web@{JOE}", "unknown", "shop")
    assert dict(context.labels) == {"nerdctl/name": "shop"}


def test_crun(users: Users) -> None:
    users.cgroup("/delegated/joe/web", JOE)
    status = {"pid": 1, "cgroup-path": "/delegated/joe/web", "bundle": "/b"}
    users.write(f"/run/user/{JOE}/crun/web/status", status, JOE)
    context = users.names().container_of(b"/delegated/joe/web")
    assert (context.id, context.name) == (f"web@{JOE}", "web")


@pytest.mark.parametrize(
    ("path", "owners"),
    [
        ("/system.slice/ssh.service", {"unified": 0}),
        ("/delegated/eve/web", {"unified": EVE}),
        ("/user.slice/user-4242.slice/session-1.scope", {"unified": 0}),  # there is root's sshd, and his sudo
        ("/both/web", {"unified": JOE, "systemd": 0}),
        ("/both/web", {"systemd": JOE, "unified": EVE}),
        ("/nowhere/web", {}),
        ("/", {"unified": JOE}),
        ("", {"unified": JOE}),
        ("/delegated/joe/../../system.slice", {"unified": 0}),
        ("/delegated/joe/", {"unified": JOE}),
    ],
)
def test_a_user_cannot_claim_what_is_not_his(users: Users, path: str, owners: dict[str, int]) -> None:
    users.cgroup("/delegated/joe", JOE)
    for hierarchy, uid in owners.items():
        users.cgroup(path, uid, hierarchy)
    users.claim(JOE, path)
    names = users.names()
    for asked in (path, f"{path}/below", "/system.slice", "/", os.path.normpath(path or "/")):
        assert names.container_of(asked.encode()).id is None


def test_a_claim_counts_no_longer_than_the_cgroup_is_his(
    users: Users, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.containers.oci_runtimes._KEPT_S", 0)
    users.cgroup("/delegated/web", JOE)
    users.claim(JOE, "/delegated/web")
    time.sleep(0.15)  # the folder's last change is old news by now
    names = users.names()
    assert names.container_of(b"/delegated/web").id == f"web@{JOE}"
    assert names.refresh() == set()
    users.cgroup("/delegated/web", 0)
    assert names.refresh() == {b"/delegated/web"}
    assert names.container_of(b"/delegated/web").id is None


def test_roots_word_counts_before_a_users(users: Users) -> None:
    """A cgroup that was given to a user, in which root has started a container; and one name for two."""
    users.cgroup("/delegated/web", JOE)
    users.claim(JOE, "/delegated/web")
    state = runc_state("/delegated/web")
    users.write("/run/runc/web/state.json", state, 0)
    assert users.names().container_of(b"/delegated/web").id == "web"


def test_two_users_and_root_may_use_one_name(users: Users) -> None:
    for uid, user in ((JOE, "joe"), (EVE, "eve")):
        users.cgroup(f"/delegated/{user}/web", uid)
        users.claim(uid, f"/delegated/{user}/web", bundle=f"/home/{user}/b")
        users.write(f"/home/{user}/b/config.json", {"annotations": {"nerdctl/name": f"of {user}"}}, uid)
    state = runc_state("/web")
    users.write("/run/runc/web/state.json", state, 0)
    users.write("/b/config.json", {"annotations": {"nerdctl/name": "of root"}}, 0)
    names = users.names()
    found = [names.container_of(path) for path in (b"/delegated/joe/web", b"/delegated/eve/web", b"/web")]
    assert [(context.id, context.name) for context in found] == [
        (f"web@{JOE}", "of joe"),
        (f"web@{EVE}", "of eve"),
        ("web", "of root"),
    ]


def test_state_of_somebody_else_in_a_users_folder_is_not_read(users: Users) -> None:
    users.cgroup("/delegated/joe/web", JOE)
    users.claim(JOE, "/delegated/joe/web", by=EVE)
    names = users.names()
    assert names.container_of(b"/delegated/joe/web").id is None
    assert names.problems == ()


def test_a_bundle_of_somebody_else_is_not_read(users: Users) -> None:
    users.cgroup("/delegated/joe/web", JOE)
    users.claim(JOE, "/delegated/joe/web", bundle="/home/eve/b")
    users.write("/home/eve/b/config.json", {"annotations": {"nerdctl/name": "of eve"}}, EVE)
    context = users.names().container_of(b"/delegated/joe/web")
    assert (context.id, context.name) == (f"web@{JOE}", None)
    assert f"belongs to user {EVE}" in (context.reason or "")


def test_what_a_user_can_put_there_is_bounded(users: Users) -> None:
    users.cgroup("/delegated/joe", JOE)
    for number in range(400):
        users.cgroup(f"/delegated/joe/{number}", JOE)
        users.claim(JOE, f"/delegated/joe/{number}", f"c{number}")
    names = users.names()
    found = [names.container_of(f"/delegated/joe/{number}".encode()).id for number in range(400)]
    assert len([one for one in found if one]) == 256

    huge = users.claim(EVE, "/delegated/eve")
    users.cgroup("/delegated/eve", EVE)
    huge.write_text(huge.read_text() + " " * 300_000)
    assert users.names().container_of(b"/delegated/eve").id is None


def test_a_fifo_as_state(users: Users) -> None:
    users.cgroup("/delegated/joe/web", JOE)
    file = users.claim(JOE, "/delegated/joe/web")
    file.unlink()
    os.mkfifo(file)
    os.chown(file, JOE, JOE)
    assert users.names().container_of(b"/delegated/joe/web").id is None


def _docker(users: Users, folder: str, name: str, uid: int) -> None:
    config = {"Name": f"/{name}", "Config": {"Image": "busybox:1.36"}}
    users.write(f"{folder}/containers/{A}/config.v2.json", config, uid)


@pytest.mark.parametrize("first", ["his", "roots"])
def test_a_user_cannot_name_a_container_of_root_by_a_cgroup_with_its_id(users: Users, first: str) -> None:
    _docker(users, "/var/lib/docker", "bank", 0)
    _docker(users, "/home/joe/.local/share/docker", "fake", JOE)
    his = f"/user.slice/user-{JOE}.slice/user@{JOE}.service/docker-{A}.scope".encode()
    roots = f"/system.slice/docker-{A}.scope".encode()
    names = users.names()
    paths = (his, roots) if first == "his" else (roots, his)
    assert {path: names.container_of(path).name for path in paths} == {his: "fake", roots: "bank"}


def test_a_user_slice_inside_a_container_is_not_one_of_this_host(users: Users) -> None:
    """systemd in a container has users of its own; and a user could make such folders in his cgroup."""
    _docker(users, "/home/joe/.local/share/docker", "fake", JOE)
    inside = f"/system.slice/docker-{'ab' * 32}.scope/user.slice/user-{JOE}.slice/docker-{A}.scope".encode()
    assert users.names().container_of(inside).name is None


def test_the_state_of_a_user_is_not_asked_about_another_ones_container(users: Users) -> None:
    state = {"cgroup_paths": {}, "config": {"labels": ["bundle=/home/eve/b"]}}
    users.write(f"/run/user/{EVE}/runc/{A}/state.json", state, EVE)
    users.write("/home/eve/b/config.json", {"annotations": {"nerdctl/name": "fake"}}, EVE)
    names = users.names()
    assert names.container_of(f"/system.slice/docker-{A}.scope".encode()).name is None
    joes = f"/user.slice/user-{JOE}.slice/docker-{A}.scope".encode()
    assert names.container_of(joes).name is None
    eves = f"/user.slice/user-{EVE}.slice/docker-{A}.scope".encode()
    assert names.container_of(eves).name == "fake"


class RootlessRunc:
    """runc as a user without rights, in cgroups that were given to him."""

    def __init__(self, rootfs: Path) -> None:
        self.cgroup = f"/{unique('joe')}"
        self._run_user = Path(f"/run/user/{JOE}")
        self._root = self._run_user / "runc"
        self._made = next((f for f in (self._run_user.parent, self._run_user) if not f.exists()), self._root)
        self._root.mkdir(parents=True)
        self.bundle = Path(tempfile.mkdtemp(prefix="etr", dir="/tmp"))
        shutil.copytree(rootfs, self.bundle / "rootfs", symlinks=True)
        for folder in (self._run_user, self._root, self.bundle, self.bundle / "rootfs"):
            os.chown(folder, JOE, JOE)
        self._own: list[Path] = []
        mount = Path("/sys/fs/cgroup")
        for hierarchy in [mount] if (mount / "cgroup.controllers").exists() else list(mount.iterdir()):
            folder = hierarchy / self.cgroup[1:]
            if hierarchy.is_symlink() or not hierarchy.is_dir():
                continue
            folder.mkdir()
            self._own.append(folder)
            for file in (folder, folder / "cgroup.procs", folder / "tasks", folder / "cgroup.threads"):
                if file.exists():
                    os.chown(file, JOE, JOE)
            for name in ("cpuset.cpus", "cpuset.mems"):
                if hierarchy.name == "cpuset":
                    (folder / name).write_text((hierarchy / name).read_text())

    def run(self, name: str) -> RealContainer:
        self("spec", "--rootless")
        file = self.bundle / "config.json"
        config = json.loads(file.read_text())
        config["process"] |= {"terminal": False, "args": ["sleep", "300"]}
        config["linux"]["cgroupsPath"] = f"{self.cgroup}/{name}"
        file.write_text(json.dumps(config))
        self("run", "-d", name)
        return RealContainer(name, name, int(json.loads(self("state", name))["pid"]))

    def __call__(self, *arguments: str) -> str:
        """Run runc as the user, from inside his cgroups: from outside them he may move nothing into them."""
        enter = "".join(f"echo $$ > {folder}/cgroup.procs;" for folder in self._own)
        user = f"setpriv --reuid {JOE} --regid {JOE} --clear-groups env XDG_RUNTIME_DIR={self._run_user}"
        command = f"{enter} cd {self.bundle}; exec {user} runc --root {self._root} " + " ".join(arguments)
        with tempfile.TemporaryFile() as out:
            done = subprocess.run(
                ["sh", "-c", command],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                timeout=60,
                check=False,
            )
            out.seek(0)
            text = out.read().decode(errors="replace")
        if done.returncode:
            raise RuntimeError(text.strip())
        return text

    def close(self) -> None:
        for folder in self._root.iterdir():
            subprocess.run(["runc", "--root", self._root, "delete", "-f", folder.name], check=False)
        shutil.rmtree(self._made, ignore_errors=True)
        shutil.rmtree(self.bundle, ignore_errors=True)
        for folder in sorted(Path("/sys/fs/cgroup").glob(f"**{self.cgroup}/*"), reverse=True):
            if folder.is_dir():
                folder.rmdir()
        remove_empty_cgroup(self.cgroup)


@pytest.fixture
def rootless(busybox_rootfs: Path) -> Iterator[RootlessRunc]:
    if not shutil.which("runc") or not shutil.which("setpriv"):
        lacks("runc or setpriv")
    made = RootlessRunc(busybox_rootfs)
    try:
        yield made
    finally:
        made.close()


def test_real_rootless_runc(rootless: RootlessRunc) -> None:
    names = ContainerNames(LOCAL)
    try:
        container = rootless.run(unique("rootless"))
    except RuntimeError as error:
        pytest.skip(f"rootless runc cannot start containers here: {str(error)[:200]}")
    cgroup = container_of_process(LOCAL, container.pid).cgroup_path
    names.container_of(cgroup)

    def is_known() -> bool:
        names.refresh()
        return names.container_of(cgroup).id == f"{container.name}@{JOE}"

    wait_until(is_known, "the container in its user's cgroup", 30)
    assert names.container_of(cgroup).name == container.name
    assert os.stat(f"/proc/{container.pid}").st_uid == JOE
