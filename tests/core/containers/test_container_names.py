"""Names from state on disk: each runtime's files as it writes them, and what hostile files do."""

from __future__ import annotations

import json
import os
import posixpath
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.containers import ContainerNames
from core.containers.daemons import data_roots
from core.containers.executables import is_roots_daemon
from core.containers.state_files import StateFiles
from core.model.entities import ContainerContext
from core.system.host import LOCAL, Host
from core.text.safe import safe_text
from tests.containers_real import wait_until

A = "1b060cc81653a5c4a1d5bb6b1ea0e8b9f3b1d2c3e4f5061728394a5b6c7d8e9f"
B = "f0dcdc9c4a1e179084fff86098037e6486b864c6ad2e5afa74be5145280d833b"
UID = "b820dc31-db91-45b0-b920-d04f63e6400f"

DOCKER_PATH = f"/docker/{A}".encode()
PODMAN_PATH = f"/machine.slice/libpod-{A}.scope".encode()
CRI_PATH = f"/kubepods/burstable/pod{UID}/{A}".encode()
CRIO_PATH = f"/kubepods.slice/crio-{A}.scope".encode()


class Root:
    """The root folder of a host, filled file by file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.chmod(0o755)
        (folder / "proc").mkdir()

    def write(self, path: str, content: object) -> Path:
        file = self.folder / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            file.write_bytes(content)
        else:
            file.write_text(content if isinstance(content, str) else json.dumps(content))
        return file

    def docker(self, container: str = A, data_root: str = "/var/lib/docker", **inner: Any) -> Path:
        return self.write(
            f"{data_root}/containers/{container}/config.v2.json",
            {
                "ID": container,
                "Name": "/web",
                "Image": "sha256:b6004d6890c49243a37b37a84a59223da0e8a4ef7fc962405d0b335a218cf925",
                "Config": {"Image": "busybox:1.36", "Labels": None, "Env": ["TOKEN=hidden"]} | inner,
                "State": {"Running": True, "Pid": 4121},
            },
        )

    def runc(self, name: str, cgroups: dict[str, str], root: str = "/run/runc", bundle: str = "/b") -> Path:
        return self.write(
            f"{root}/{name}/state.json",
            {
                "id": name,
                "init_process_pid": 4121,
                "cgroup_paths": cgroups,
                "config": {"labels": [f"bundle={bundle}"]},
            },
        )

    def daemon(self, *argv: str, exe: str = "/usr/bin/dockerd", uids: str = "0\t0\t0\t0") -> Path:
        """Let a process 77 run; return its folder in /proc."""
        if not (self.folder / exe[1:]).exists():
            self.write(exe, b"ELF").chmod(0o755)
        process = self.folder / "proc/77"
        self.write("/proc/77/comm", posixpath.basename(exe) + "\n")
        self.write("/proc/77/cmdline", "".join(f"{one}\0" for one in argv))
        self.write("/proc/77/status", f"Name:\tdockerd\nUid:\t{uids}\nGid:\t0\t0\t0\t0\n")
        for link, target in (("exe", exe), ("root", self.folder)):
            if not (process / link).is_symlink():
                (process / link).symlink_to(target)
        return process

    def names(self) -> ContainerNames:
        return ContainerNames(Host(self.folder))


@pytest.fixture
def forgets_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A removed container of runc is usually kept until the end of its processes has been told."""
    monkeypatch.setattr("core.containers.oci_runtimes._KEPT_S", 0)


@pytest.fixture
def root(tmp_path: Path) -> Root:
    folder = tmp_path / "root"
    folder.mkdir()
    return Root(folder)


def test_docker(root: Root) -> None:
    root.docker()
    context = root.names().container_of(DOCKER_PATH)
    assert (context.name, context.image, context.runtime) == ("web", "busybox:1.36", "docker")
    assert (context.pod, context.reason) == (None, None)


def test_docker_under_kubernetes_corrects_the_runtime(root: Root) -> None:
    root.docker(
        Labels={
            "io.kubernetes.container.name": "app",
            "io.kubernetes.pod.name": "app-0",
            "io.kubernetes.pod.namespace": "shop",
            "io.kubernetes.pod.uid": UID,
            "io.kubernetes.docker.type": "container",
        }
    )
    context = root.names().container_of(CRI_PATH)
    assert (context.runtime, context.name, context.pod) == ("docker", "app", "app-0")
    assert (context.namespace, context.pod_uid) == ("shop", UID)


@pytest.mark.parametrize(
    ("file", "content", "data_root"),
    [
        ("/etc/docker/daemon.json", {"data-root": "/data/docker"}, "/data/docker"),
        ("/etc/docker/daemon.json", {"graph": "/old"}, "/old"),
        ("/etc/hostname", "x", "/var/lib/docker/231072.231072"),
        ("/etc/hostname", "x", "/var/snap/docker/common/var-lib-docker"),
    ],
)
def test_docker_elsewhere(root: Root, file: str, content: object, data_root: str) -> None:
    root.write(file, content)
    root.docker(data_root=data_root)
    assert root.names().container_of(DOCKER_PATH).name == "web"


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root owns a daemon's executable")


@needs_root
def test_docker_elsewhere_by_its_daemons_argv(root: Root) -> None:
    root.docker(data_root="/srv/d")
    process = root.daemon("dockerd", "--debug", "--data-root=/srv/d")
    assert root.names().container_of(DOCKER_PATH).name == "web"
    (process / "exe").unlink()
    (process / "exe").symlink_to("/usr/bin/dockerd (deleted)")  # as after an update
    assert root.names().container_of(DOCKER_PATH).name == "web"


def _owned_by_eve(path: str) -> Callable[[Root], None]:
    return lambda root: os.chown(root.folder / path, 1000, 1000)


def _writable(path: str) -> Callable[[Root], None]:
    return lambda root: (root.folder / path).chmod(0o777)


@needs_root
@pytest.mark.parametrize(
    ("daemon", "change"),
    [
        ({"uids": "1000\t0\t0\t0"}, None),  # a setuid program that eve has started
        ({"uids": "0\t1000\t1000\t1000"}, None),
        ({"uids": "1000\t1000\t1000\t1000"}, None),
        ({"exe": "/bin/su"}, lambda root: root.write("/proc/77/comm", "dockerd\n")),
        ({"exe": "/bin/python3"}, lambda root: root.write("/proc/77/comm", "dockerd\n")),
        ({"exe": "/home/eve/dockerd"}, _owned_by_eve("home/eve")),
        ({"exe": "/home/eve/dockerd"}, _owned_by_eve("home/eve/dockerd")),
        ({"exe": "/tmp/dockerd"}, _writable("tmp")),
        ({}, _writable("usr/bin/dockerd")),
        ({}, _writable("usr")),
        ({}, lambda root: (root.folder / "usr/bin/dockerd").unlink()),
        ({}, lambda root: (root.folder / "proc/77/status").write_text("Name:\tdockerd\n")),
    ],
)
def test_what_only_looks_like_dockerd_is_not_believed(
    root: Root, daemon: dict[str, str], change: Callable[[Root], object] | None
) -> None:
    root.docker(data_root="/home/eve/d")
    root.daemon("dockerd", "--data-root=/home/eve/d", **daemon)
    if change:
        change(root)
    assert root.names().container_of(DOCKER_PATH).name is None


@needs_root
def test_roots_su_called_dockerd_by_a_user_is_not_believed(tmp_path: Path) -> None:
    """The real one: effective uid 0, the name of a link, and arguments of the user's choice."""
    if not Path("/bin/su").exists():
        pytest.skip("there is no su")
    tmp_path.chmod(0o755)
    link = Path(tempfile.mkdtemp(prefix="etd", dir="/tmp"))
    link.chmod(0o755)
    (link / "dockerd").symlink_to("/bin/su")
    terminal, inside = os.openpty()  # it waits there for a password
    process = subprocess.Popen(
        [link / "dockerd", "root", "--", f"--data-root={tmp_path}"],
        stdin=inside,
        stdout=inside,
        stderr=inside,
        user=4242,
        group=4242,
        extra_groups=[],
        start_new_session=True,
    )
    try:
        wait_until(lambda: os.stat(f"/proc/{process.pid}").st_uid == 0, "su to run", 10)
        assert Path(f"/proc/{process.pid}/comm").read_bytes() == b"dockerd\n"
        assert not is_roots_daemon(LOCAL, Path(f"/proc/{process.pid}"), "dockerd")
    finally:
        process.kill()
        process.wait()
        os.close(terminal)
        os.close(inside)
        shutil.rmtree(link)


def test_data_roots_of_an_argv() -> None:
    assert data_roots(b"dockerd\0--data-root\0/a\0-g\0/b\0--graph=/c\0--data-root\0") == ["/a", "/b", "/c"]
    assert data_roots(b"dockerd\0--data-root=relative\0--data-root-not=/x\0") == []
    assert data_roots(b"") == []


def test_rootless_docker_and_podman(root: Root) -> None:
    root.write("/etc/passwd", f"root:x:0:0::/root:/bin/sh\njoe:x:{os.geteuid()}:5::/home/joe:/bin/sh\n")
    root.docker(data_root="/home/joe/.local/share/docker")
    _podman(root, "/home/joe/.local/share/containers/storage/vfs-containers", B)
    user = f"/user.slice/user-{os.geteuid()}.slice/user@1.service/user.slice"
    if os.geteuid() == 0:
        root.write("/etc/passwd", "joe:x:0:0::/home/joe:/bin/sh\n")
    names = root.names()
    assert names.container_of(f"{user}/docker-{A}.scope".encode()).name == "web"
    assert names.container_of(f"{user}/libpod-{B}.scope/container".encode()).name == "pweb"
    # The same containers under another user are not his.
    assert root.names().container_of(DOCKER_PATH).name is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
def test_rootless_state_of_a_third_user_is_not_read(root: Root) -> None:
    root.write("/etc/passwd", "joe:x:1000:1000::/home/joe:/bin/sh\n")
    file = root.docker(data_root="/home/joe/.local/share/docker")
    path = f"/user.slice/user-1000.slice/docker-{A}.scope".encode()
    os.chown(file, 1000, 1000)
    assert root.names().container_of(path).name == "web"
    os.chown(file, 2000, 2000)
    context = root.names().container_of(path)
    assert (context.name, "belongs to user 2000" in (context.reason or "")) == (None, True)


def test_what_a_user_puts_in_the_place_of_a_file_is_not_opened(
    root: Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link to a watchdog device would be enough to restart the machine."""
    root.write("/etc/passwd", f"joe:x:{os.geteuid()}:5::/home/joe:/bin/sh\n")
    file = root.docker(data_root="/home/joe/.local/share/docker")
    file.unlink()
    os.mkfifo(file)
    opened = []
    real_open = os.open

    def note(path: str, flags: int) -> int:
        if not flags & os.O_PATH:  # which looks at what is there, and opens nothing
            opened.append(os.path.realpath(path))
        return real_open(path, flags)

    monkeypatch.setattr(os, "open", note)
    path = f"/user.slice/user-{os.geteuid()}.slice/docker-{A}.scope".encode()
    assert "not a regular file" in (root.names().container_of(path).reason or "")
    assert str(file) not in opened


def _cri(bundle_of: str = "app", **more: str) -> dict[str, object]:
    return {
        "ociVersion": "1.1.0",
        "annotations": {
            "io.kubernetes.cri.container-name": bundle_of,
            "io.kubernetes.cri.container-type": "container",
            "io.kubernetes.cri.image-name": "docker.io/library/nginx:1.25",
            "io.kubernetes.cri.sandbox-name": "app-0",
            "io.kubernetes.cri.sandbox-namespace": "shop",
            "io.kubernetes.cri.sandbox-uid": UID,
        }
        | more,
        "linux": {"seccomp": {}},
    }


@pytest.mark.parametrize(
    "tasks",
    [
        "/run/containerd/io.containerd.runtime.v2.task/k8s.io",
        "/run/containerd/io.containerd.runtime.v1.linux/k8s.io",
        "/run/k3s/containerd/io.containerd.runtime.v2.task/k8s.io",
    ],
)
def test_containerd_under_kubernetes(root: Root, tasks: str) -> None:
    root.write(f"{tasks}/{A}/config.json", _cri())
    root.write(f"{tasks}/{B}/config.json", {"annotations": {"io.kubernetes.cri.container-type": "sandbox"}})
    context = root.names().container_of(CRI_PATH)
    assert (context.name, context.image) == ("app", "docker.io/library/nginx:1.25")
    assert (context.pod, context.namespace, context.pod_uid) == ("app-0", "shop", UID)
    assert root.names().container_of(CRI_PATH.replace(A.encode(), B.encode())).name == "POD"


def test_containerd_with_a_state_folder_of_its_own_is_found_through_runc(root: Root) -> None:
    bundle = f"/data/ctrd/io.containerd.runtime.v2.task/k8s.io/{A}"
    root.runc(A, {}, "/run/containerd/runc/k8s.io", bundle)
    root.write(f"{bundle}/config.json", _cri())
    assert root.names().container_of(CRI_PATH).name == "app"


def _podman(root: Root, folder: str, container: str = A, spec: object = None) -> None:
    root.write(
        f"{folder}/containers.json",
        [
            {
                "id": container,
                "names": ["pweb"],
                "image": B,
                "metadata": json.dumps({"image-name": "localhost/bb:1.0", "name": "pweb"}),
                "created": "2026-11-23T14:30:37.71227185Z",
                "flags": {"MountLabel": ""},
            },
            {"id": "other", "names": None},
        ],
    )
    root.write(
        f"{folder}/{container}/userdata/config.json",
        spec
        or {"annotations": {"io.container.manager": "libpod", "org.opencontainers.image.stopSignal": "15"}},
    )


@pytest.mark.parametrize(
    ("storage", "conf"),
    [
        ("/var/lib/containers/storage/overlay-containers", ""),
        ("/var/lib/containers/storage/vfs-containers", ""),
        ("/run/containers/storage/overlay-containers", ""),
        ("/data/storage/btrfs-containers", '[storage]\ngraphroot = "/data/storage"\n'),
    ],
)
def test_podman(root: Root, storage: str, conf: str) -> None:
    root.write("/etc/containers/storage.conf", conf)
    _podman(root, storage)
    context = root.names().container_of(PODMAN_PATH)
    assert (context.runtime, context.name, context.image) == ("podman", "pweb", "localhost/bb:1.0")
    assert context.reason is None


def test_crio(root: Root) -> None:
    labels = {"io.kubernetes.container.name": "app", "io.kubernetes.pod.uid": UID}
    annotations = {
        "io.container.manager": "cri-o",
        "io.kubernetes.cri-o.ContainerName": "k8s_app_app-0_shop_0",
        "io.kubernetes.cri-o.ContainerType": "container",
        "io.kubernetes.cri-o.ImageName": "quay.io/app:2",
        "io.kubernetes.cri-o.KubeName": "app-0",
        "io.kubernetes.cri-o.Namespace": "shop",
        "io.kubernetes.cri-o.Labels": json.dumps(labels),
    }
    _podman(root, "/var/lib/containers/storage/overlay-containers", spec={"annotations": annotations})
    context = root.names().container_of(CRIO_PATH)
    assert (context.runtime, context.name, context.image) == ("cri-o", "app", "quay.io/app:2")
    assert (context.pod, context.namespace, context.pod_uid) == ("app-0", "shop", UID)


RUNC_PLACES = {
    "v2": ({"": "/sys/fs/cgroup/web"}, b"/web"),
    "v2, a folder called unified": ({"": "/sys/fs/cgroup/unified/web"}, b"/unified/web"),
    "v2, systemd": ({"": "/sys/fs/cgroup/system.slice/runc-web.scope"}, b"/system.slice/runc-web.scope"),
    "hybrid, v2": (
        {"": "/sys/fs/cgroup/unified/a/web", "name=systemd": "/sys/fs/cgroup/systemd/b/web"},
        b"/a/web",
    ),
    "hybrid, named": (
        {"": "/sys/fs/cgroup/unified/a/web", "name=systemd": "/sys/fs/cgroup/systemd/b/web"},
        b"/b/web",
    ),
    "v1, co-mounted controllers": ({"cpu": "/sys/fs/cgroup/cpu,cpuacct/c/web"}, b"/c/web"),
}


@pytest.mark.parametrize(("cgroups", "path"), RUNC_PLACES.values(), ids=RUNC_PLACES.keys())
def test_runc_by_its_cgroup(root: Root, cgroups: dict[str, str], path: bytes) -> None:
    root.runc("web", cgroups)
    root.write("/b/config.json", {"annotations": None})
    names = root.names()
    assert (names.container_of(path).id, names.container_of(path).runtime) == ("web", "unknown")
    assert names.container_of(path + b"/sub/folder").id == "web"
    assert names.container_of(path + b"2").id is None
    assert names.container_of(path[: path.rfind(b"/")] or b"/").id is None


def test_crun_by_its_cgroup(root: Root) -> None:
    status = {"pid": 4121, "cgroup-path": "/web", "systemd-cgroup": False, "bundle": "/b", "owner": "root"}
    root.write("/run/crun/web/status", status)
    root.write("/b/config.json", {"annotations": {"nerdctl/name": "shop"}})
    context = root.names().container_of(b"/web")
    assert (context.id, context.name) == ("web", "shop")


def test_a_container_in_the_root_cgroup_does_not_swallow_the_host(root: Root) -> None:
    root.runc("web", {"": "/sys/fs/cgroup/unified/", "name=systemd": "/sys/fs/cgroup/systemd"})
    assert root.names().container_of(b"/system.slice/ssh.service").id is None


def test_containers_inside_a_container_of_runc_and_around_it(root: Root) -> None:
    root.runc("web", {"": f"/sys/fs/cgroup/docker/{A}/web"})
    names = root.names()
    inside = names.container_of(f"/docker/{A}/web/docker/{B}".encode())
    assert (inside.id, inside.runtime, inside.parent_id) == (B, "docker", "web")
    itself = names.container_of(f"/docker/{A}/web".encode())
    assert (itself.id, itself.runtime, itself.parent_id) == ("web", "unknown", A)


def test_a_runc_container_is_there_before_its_state(root: Root) -> None:
    (root.folder / "run/runc/web").mkdir(parents=True)
    time.sleep(0.15)  # the folder's last change is old news by now
    names = root.names()
    assert names.container_of(b"/web").id is None
    assert not names.refresh()

    root.runc("web", {"": "/sys/fs/cgroup/web"})
    assert names.refresh()
    assert names.container_of(b"/web").id == "web"
    assert not names.refresh()


@pytest.mark.usefixtures("forgets_at_once")
def test_a_name_that_is_used_again_with_another_cgroup(root: Root) -> None:
    file = root.runc("web", {"": "/sys/fs/cgroup/one"})
    names = root.names()
    assert names.container_of(b"/one").id == "web"

    file.unlink()
    file.parent.rmdir()
    root.runc("web", {"": "/sys/fs/cgroup/two"})
    assert names.refresh()
    assert (names.container_of(b"/one").id, names.container_of(b"/two").id) == (None, "web")


def test_a_zombie_of_an_earlier_container_is_not_in_the_new_one_of_that_name(root: Root) -> None:
    root.runc("web", {"": "/sys/fs/cgroup/web"})
    assert root.names().container_of(b"/web (deleted)").id is None


def test_a_container_that_starts_within_the_grain_of_the_folders_time(root: Root) -> None:
    root.runc("one", {"": "/sys/fs/cgroup/one"})
    folder = root.folder / "run/runc"
    os.utime(folder, (time.time() + 5, time.time() + 5))  # this machine may be too busy to be that quick
    before = folder.stat()
    names = root.names()
    assert names.container_of(b"/two").id is None
    root.runc("two", {"": "/sys/fs/cgroup/two"})
    os.utime(folder, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert names.refresh() == {b"/two"}
    assert names.container_of(b"/two").id == "two"


def test_a_new_path_is_looked_for_when_it_is_asked_about_and_the_change_is_told(root: Root) -> None:
    names = root.names()
    assert names.container_of(b"/web").id is None
    assert names.container_of(b"/system.slice").id is None
    root.runc("web", {"": "/sys/fs/cgroup/web"})
    time.sleep(0.01)
    assert names.container_of(b"/web").id == "web"
    assert names.refresh() == {b"/web"}
    assert names.refresh() == set()


def test_a_removed_container_keeps_its_name_until_its_processes_have_ended(
    root: Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = {"io.kubernetes.cri.image-name": "busybox:1"}
    bundle = root.write("/b/config.json", {"annotations": image})
    file = root.runc("web", {"": "/sys/fs/cgroup/web"}, bundle="/b")
    names = root.names()
    context = names.container_of(b"/web")
    for gone in (file, bundle):
        gone.unlink()
        gone.parent.rmdir()
    root.runc("other", {"": "/sys/fs/cgroup/other"})
    assert names.refresh() == set()
    assert names.container_of(b"/other").id == "other"
    assert names.container_of(b"/web") == context

    later = time.monotonic() + 6
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert names.refresh() == {b"/web"}
    assert names.container_of(b"/web").id is None


def test_a_new_path_within_a_container_is_looked_for_as_well(root: Root) -> None:
    names = root.names()
    inner = DOCKER_PATH + b"/web"
    assert names.container_of(inner).id == A
    root.runc("web", {"": f"/sys/fs/cgroup{inner.decode()}"})
    time.sleep(0.01)
    assert (names.container_of(inner).id, names.container_of(inner).parent_id) == ("web", A)


@pytest.mark.usefixtures("forgets_at_once")
def test_a_name_that_is_used_again_with_another_bundle(root: Root) -> None:
    annotation = "io.kubernetes.cri.image-name"
    for bundle, image in (("/one", "busybox:1"), ("/two", "busybox:2")):
        root.write(f"{bundle}/config.json", {"annotations": {annotation: image}})
    file = root.runc("web", {"": "/sys/fs/cgroup/web"}, bundle="/one")
    names = root.names()
    assert names.container_of(b"/web").image == "busybox:1"
    file.unlink()
    file.parent.rmdir()
    assert names.refresh() == {b"/web"}
    root.runc("web", {"": "/sys/fs/cgroup/web"}, bundle="/two")
    assert names.refresh() == {b"/web"}
    assert names.container_of(b"/web").image == "busybox:2"


def test_one_name_in_two_namespaces_of_containerd_is_two_containers(root: Root) -> None:
    for namespace, image in (("default", "busybox:1"), ("jobs", "busybox:2")):
        bundle = f"/run/containerd/io.containerd.runtime.v2.task/{namespace}/web"
        root.write(f"{bundle}/config.json", {"annotations": {"io.kubernetes.cri.image-name": image}})
        cgroups = {"": f"/sys/fs/cgroup/{namespace}/web"}
        root.runc("web", cgroups, f"/run/containerd/runc/{namespace}", bundle)
    names = root.names()
    found = [names.container_of(path) for path in (b"/default/web", b"/jobs/web")]
    assert [c.id for c in found] == ["web", "jobs/web"]
    assert [c.name for c in found] == ["web", "web"]
    assert [c.image for c in found] == ["busybox:1", "busybox:2"]
    assert {c.runtime for c in found} == {"containerd"}


def test_removed_containers_cost_nothing(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    file = root.docker()
    names = root.names()
    names.container_of(DOCKER_PATH)
    file.unlink()
    names.refresh()
    names.refresh()
    looked = []
    monkeypatch.setattr(names._answers, "_ask", lambda *args: looked.append(args))
    monkeypatch.setattr(names._answers, "_stamp", lambda *args: looked.append(args))
    names.refresh()
    assert looked == []


def test_names_that_two_runtimes_use(root: Root) -> None:
    root.runc("web", {"": "/sys/fs/cgroup/web"})
    root.write("/b/config.json", {"annotations": {"nerdctl/name": "by hand"}})
    bundle = "/run/containerd/io.containerd.runtime.v2.task/default/web"
    root.write(f"{bundle}/config.json", {"annotations": {"nerdctl/name": "by containerd"}})
    names = root.names()
    assert names.container_of(b"/web").name == "by hand"
    lxc = names.container_of(b"/lxc/web")
    assert (lxc.runtime, lxc.name) == ("lxc", "web")


def test_podman_containers_come_and_go_in_one_file(root: Root) -> None:
    folder = "/var/lib/containers/storage/overlay-containers"
    _podman(root, folder)
    names = root.names()
    assert names.container_of(PODMAN_PATH).name == "pweb"
    _podman(root, folder, B)
    assert names.container_of(f"/machine.slice/libpod-{B}.scope".encode()).name == "pweb"


def test_a_container_without_a_bundle_has_its_name(root: Root) -> None:
    root.runc("web", {"": "/sys/fs/cgroup/web"}, bundle="/gone")
    context = root.names().container_of(b"/web")
    assert (context.name, context.image) == ("web", None)
    assert "/gone" in (context.reason or "")


def test_a_changed_file_and_a_removed_one(root: Root) -> None:
    file = root.docker()
    names = root.names()
    assert names.container_of(DOCKER_PATH).image == "busybox:1.36"
    assert not names.refresh()

    root.docker(Image="busybox:1.37")
    assert names.refresh()
    assert names.container_of(DOCKER_PATH).image == "busybox:1.37"

    file.unlink()
    assert not names.refresh()
    assert names.container_of(DOCKER_PATH).image == "busybox:1.37"


@pytest.mark.usefixtures("forgets_at_once")
def test_a_containers_namespace_that_appears_and_goes(root: Root) -> None:
    names = root.names()
    assert names.container_of(b"/default/web").id is None
    file = root.runc("web", {"": "/sys/fs/cgroup/default/web"}, "/run/containerd/runc/default")
    assert names.refresh() == {b"/default/web"}
    assert names.container_of(b"/default/web").runtime == "containerd"
    for gone in (file, file.parent, file.parent.parent):
        gone.unlink() if gone.is_file() else gone.rmdir()
    assert names.refresh()
    assert names.container_of(b"/default/web").id is None


def test_state_that_appears_later_is_found_by_refresh(root: Root) -> None:
    names = root.names()
    assert "no state" in (names.container_of(DOCKER_PATH).reason or "")
    root.docker()
    for _ in range(200):
        if names.refresh():
            break
        time.sleep(0.01)
    assert names.container_of(DOCKER_PATH).name == "web"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not understood"),
        (b"{", "not understood"),
        (b"[]", "not understood"),
        (b"\xff\xfe", "not understood"),
        (b'{"Name": 7}', "not understood"),
        (b'{"Config": {"Labels": {"a": 1}}}', "not understood"),
        (b'{"x":' + b"[" * 100_000, "not understood"),
    ],
)
def test_state_that_is_not_what_it_should_be(root: Root, content: bytes, reason: str) -> None:
    file = root.docker()
    file.write_bytes(content)
    context = root.names().container_of(DOCKER_PATH)
    assert (context.id, context.runtime, context.name) == (A, "docker", None)
    assert reason in (context.reason or "")
    assert "/var/lib/docker/containers" in (context.reason or "")


def _huge(file: Path) -> None:
    file.touch()
    os.truncate(file, 1 << 30)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (os.mkfifo, "not a regular file"),
        (Path.mkdir, "not a regular file"),
        (lambda file: file.symlink_to(file.name), "too many symbolic links"),
        (_huge, "is more than"),
    ],
)
def test_something_else_where_a_file_should_be(root: Root, make: Callable[[Path], None], reason: str) -> None:
    file = root.docker()
    file.unlink()
    make(file)
    assert reason in (root.names().container_of(DOCKER_PATH).reason or "")


def test_links_are_followed_inside_the_root_only(root: Root, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "config.v2.json").write_text('{"Name": "/escaped"}')
    containers = root.folder / "var/lib/docker/containers"
    containers.mkdir(parents=True)
    (containers / A).symlink_to(outside)
    assert root.names().container_of(DOCKER_PATH).name is None

    (containers / A).unlink()
    (containers / A).symlink_to("/srv/moved")
    root.write("/srv/moved/config.v2.json", {"Name": "/moved"})
    assert root.names().container_of(DOCKER_PATH).name == "moved"


def test_values_from_outside_cannot_steer_a_terminal(root: Root) -> None:
    root.docker(Image="\x1b]0;x\x07\u202e" + "i" * 10_000, Labels={"io.kubernetes.pod.name": "a\nb"})
    context = root.names().container_of(DOCKER_PATH)
    assert context.image is not None
    assert context.image.startswith("\\x1b]0;x\\x07\\u202e")
    assert len(context.image) <= 256
    assert context.pod == "a\\x0ab"


def test_ids_that_would_climb_out_of_a_folder(root: Root) -> None:
    root.write("/var/lib/docker/config.v2.json", {"Name": "/climbed"})
    names = root.names()
    for container in ("..", ".", "a/b", "../..", "x\0y", ""):
        context = ContainerContext(id=container, runtime="docker")
        assert names.lookup(context).name is None


def test_what_is_kept_is_bounded(root: Root) -> None:
    names = root.names()
    for number in range(20_000):
        names.container_of(f"/lxc/{number}".encode())
    assert len(names._contexts) <= 16_384
    assert len(names._answers) <= 8192


def test_no_container_stays_as_it_is(root: Root) -> None:
    context = root.names().container_of(b"/system.slice/ssh.service")
    assert (context.id, context.runtime, context.reason) == (None, "systemd", None)


KEYS = (
    *("Name", "Config", "Labels", "Image", "annotations", "cgroup_paths", "config", "labels", "id"),
    *("metadata", "names", "bundle", "cgroup-path", "io.kubernetes.cri-o.Labels", "storage", ""),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(JSON.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=60))
def test_any_state_gives_an_answer(root: Root, content: bytes) -> None:
    for path in (
        f"/var/lib/docker/containers/{A}/config.v2.json",
        f"/run/containerd/io.containerd.runtime.v2.task/k8s.io/{A}/config.json",
        "/var/lib/containers/storage/overlay-containers/containers.json",
        "/run/runc/web/state.json",
        "/run/crun/web/status",
        "/etc/docker/daemon.json",
        "/etc/containers/storage.conf",
        "/etc/passwd",
    ):
        root.write(path, content)
    names = root.names()
    for cgroup in (DOCKER_PATH, CRI_PATH, PODMAN_PATH, CRIO_PATH, b"/web", f"/{A}".encode()):
        context = names.container_of(cgroup)
        for value in msgspec.structs.astuple(context):
            assert not isinstance(value, str) or value == safe_text(value)
    names.refresh()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
def test_a_users_link_to_a_file_of_root_is_not_followed(root: Root) -> None:
    """/proc/kmsg would lose the kernel's messages to us, and a container would look like root's."""
    root.write("/etc/passwd", "joe:x:1000:1000::/home/joe:/bin/sh\n")
    file = root.docker(data_root="/home/joe/.local/share/docker")
    os.chown(file, 0, 0)
    context = root.names().container_of(f"/user.slice/user-1000.slice/docker-{A}.scope".encode())
    assert (context.name, "belongs to user 0" in (context.reason or "")) == (None, True)


def test_a_file_without_a_size_is_not_read() -> None:
    """What is in /proc says 0 bytes; to read some of it takes something away (kmsg, trace_pipe)."""
    assert StateFiles(LOCAL).read("/proc/self/status") == b""


@needs_root
def test_a_daemon_with_a_root_folder_of_its_own_is_not_asked(root: Root, tmp_path: Path) -> None:
    """A dockerd in a container means its own files: what this host has at that path is another's."""
    root.daemon("dockerd", "--data-root=/tmp/evil")
    root.docker(data_root="/tmp/evil")
    assert root.names().container_of(DOCKER_PATH).name == "web"
    (root.folder / "proc/77/root").unlink()
    (root.folder / "proc/77/root").symlink_to(tmp_path)
    assert root.names().container_of(DOCKER_PATH).name is None
    (root.folder / "proc/77/root").unlink()
    (root.folder / "proc/77/root").symlink_to(root.folder)
    assert root.names().container_of(DOCKER_PATH).name == "web"


def test_paths_that_nobody_uses_are_forgotten_and_the_others_keep_their_names(root: Root) -> None:
    file = root.docker()
    names = root.names()
    nested = DOCKER_PATH + f"/docker/{B}".encode()
    names.container_of(DOCKER_PATH)
    names.container_of(nested)
    file.unlink()
    names.refresh()
    asked: list[int] = []

    def used() -> set[bytes]:
        asked.append(len(names._contexts))
        return {nested}

    for number in range(3_000):
        names.container_of(b"/docker/%064x" % number)
        names.forget_unused(used)
    assert len(asked) == 2  # there were two more than 1,024 each time
    assert max(asked) < 1_100
    assert len(names._contexts) + len(names._answers) < 2_200
    outer = names.container_of(nested).outer
    assert outer is not None
    assert outer.name == "web"  # its state is gone: it is known from before


@pytest.mark.parametrize("first", ["the forged one", "the real one"])
def test_a_container_cannot_pass_for_another_one_by_the_name_of_a_cgroup(root: Root, first: str) -> None:
    """Who is in A may make cgroups below its own: `B` there is not the B that runs beside A."""
    root.docker(A)
    root.docker(B)
    names = root.names()
    nested, real = f"/docker/{A}/{B}".encode(), f"/docker/{B}".encode()
    for path in (nested, real) if first == "the forged one" else (real, nested):
        names.container_of(path)
    if first == "the forged one":
        assert nested in names.refresh()
    forged = names.container_of(nested)
    assert (forged.id, forged.name, forged.outer) == (A, "web", None)
    assert forged.reason is not None
    assert B[:12] in forged.reason
    around = names.container_of(f"/docker/{A}/{B}/docker/{A}".encode())
    assert (around.id, around.name, around.outer) == (A, "web", None)
    deep = "/".join(str(number) * 64 for number in range(1, 10))
    far = [level.id for level in names.container_of(f"/docker/{A}/{deep}/docker/{B}".encode()).levels()]
    assert B not in far
    assert far[-1] == A
    assert names.container_of(real).id == B


def test_a_user_cannot_say_that_a_nested_container_runs_elsewhere(root: Root) -> None:
    names = root.names()
    names.container_of(f"/user.slice/user-1000.slice/user@1000.service/docker-{B}.scope".encode())
    assert names.container_of(f"/docker/{A}/docker/{B}".encode()).id == B


def test_a_container_made_by_docker_in_docker_is_inside_the_outer_one(root: Root) -> None:
    root.docker(A)
    names = root.names()
    inner = names.container_of(f"/docker/{A}/docker/{B}".encode())
    assert (inner.id, inner.parent_id, inner.outer and inner.outer.name) == (B, A, "web")
