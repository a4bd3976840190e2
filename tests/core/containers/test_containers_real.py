"""Real containers, compared with what their own runtimes say of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from core.containers import ContainerNames, container_of_process
from core.containers.daemons import Daemons
from core.model.entities import ContainerContext
from core.system.host import LOCAL
from tests.containers_real import (
    IMAGE,
    IMAGE_OF_CTR,
    Containerd,
    Docker,
    OciRuntime,
    Podman,
    RealContainer,
    remove_empty_cgroup,
    unique,
    wait_until,
)


def container_of(names: ContainerNames, pid: int) -> ContainerContext:
    return names.container_of(container_of_process(LOCAL, pid).cgroup_path)


def pids_of(names: ContainerNames, container: str) -> set[int]:
    """Return the pids of /proc that are in a container."""
    found = set()
    for name in os.listdir("/proc"):
        if name.isdecimal():
            try:
                if container_of(names, int(name)).id == container:
                    found.add(int(name))
            except OSError:  # it ended
                continue
    return found


@contextmanager
def as_nobody() -> Iterator[None]:
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_runc_by_hand(runc: OciRuntime, runc_container: RealContainer) -> None:
    names = ContainerNames(LOCAL)
    context = container_of(names, runc_container.pid)

    assert (context.id, context.name, context.runtime) == (unique("web"), unique("web"), "unknown")
    assert context.image is None
    assert "config.json" in (context.reason or "")
    assert container_of(names, os.getpid()).id != unique("web")


def test_a_runc_container_that_starts_and_ends_while_we_look(
    runc: OciRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.containers.oci_runtimes._KEPT_S", 0)
    names = ContainerNames(LOCAL)
    assert names.container_of(f"/{unique('late')}".encode()).id is None

    container = runc.run(unique("late"))
    assert names.refresh()
    assert container_of(names, container.pid).id == unique("late")

    runc.delete(unique("late"))
    assert names.refresh()
    assert names.container_of(f"/{unique('late')}".encode()).id is None


def test_runc_exec_and_folders_below_the_containers_cgroup(
    runc: OciRuntime, runc_container: RealContainer
) -> None:
    names = ContainerNames(LOCAL)
    session = runc.exec(unique("web"), "sleep", "300")
    try:
        wait_until(lambda: len(pids_of(names, unique("web"))) == 2, "runc exec")
    finally:
        session.kill()
        session.wait()
    assert names.container_of(f"/{unique('web')}/user.slice/x".encode()).id == unique("web")
    assert names.container_of(f"/{unique('web')}-2".encode()).id is None


def test_runc_with_a_cgroup_of_its_own_and_annotations(runc: OciRuntime) -> None:
    annotations = {
        "io.kubernetes.cri.container-name": "web",
        "io.kubernetes.cri.image-name": "docker.io/library/nginx:1.25",
        "io.kubernetes.cri.sandbox-name": "web-7d4b",
        "io.kubernetes.cri.sandbox-namespace": "shop",
    }
    container = runc.run(unique("odd"), f"/system.slice/{unique('odd')}.service/inner", annotations)
    context = container_of(ContainerNames(LOCAL), container.pid)

    assert (context.id, context.name) == (unique("odd"), "web")
    assert (context.image, context.pod, context.namespace) == (
        "docker.io/library/nginx:1.25",
        "web-7d4b",
        "shop",
    )


def test_crun(crun: OciRuntime) -> None:
    container = crun.run(unique("crun"))
    context = container_of(ContainerNames(LOCAL), container.pid)
    assert (context.id, context.name, context.runtime) == (unique("crun"), unique("crun"), "unknown")


def test_docker(dockerd: Docker) -> None:
    container = dockerd.run("ebpf-tui-docker")
    truth = dockerd.inspect("ebpf-tui-docker")
    names = ContainerNames(LOCAL)  # finds the data-root in the daemon's argv
    context = container_of(names, container.pid)

    assert context.id == truth["Id"]
    assert context.runtime == "docker"
    assert context.name == truth["Name"].removeprefix("/")
    assert context.image == truth["Config"]["Image"]
    assert context.reason is None

    session = dockerd.exec("ebpf-tui-docker", "sleep", "300")
    try:
        wait_until(lambda: len(pids_of(names, container.id)) == 2, "docker exec")
    finally:
        session.kill()
        session.wait()


def test_docker_rename_is_seen_and_a_removed_container_keeps_its_name(dockerd: Docker) -> None:
    container = dockerd.run("ebpf-tui-before")
    names = ContainerNames(LOCAL)
    cgroup = container_of(names, container.pid).cgroup_path
    assert not names.refresh()

    dockerd("rename", "ebpf-tui-before", "ebpf-tui-after")
    assert names.refresh()
    assert names.container_of(cgroup).name == "ebpf-tui-after"

    dockerd.remove("ebpf-tui-after")
    names.refresh()
    assert names.container_of(cgroup).name == "ebpf-tui-after"
    assert ContainerNames(LOCAL).container_of(cgroup).name is None


def test_docker_under_a_cgroup_of_somebody_else(dockerd: Docker) -> None:
    container = dockerd.run("ebpf-tui-job", "--cgroup-parent", "/actions_job")
    context = container_of(ContainerNames(LOCAL), container.pid)

    assert context.cgroup_path == f"/actions_job/{container.id}".encode()
    assert (context.id, context.runtime, context.name) == (container.id, "docker", "ebpf-tui-job")
    dockerd.remove("ebpf-tui-job")
    remove_empty_cgroup("/actions_job")


def test_a_container_inside_a_container(dockerd: Docker, runc: OciRuntime) -> None:
    outer = dockerd.run("ebpf-tui-outer")
    inner = runc.run(unique("inner"), f"/docker/{outer.id}/inner")
    names = ContainerNames(LOCAL)

    assert container_of(names, inner.pid).id == unique("inner")
    assert container_of(names, inner.pid).parent_id == outer.id
    assert container_of(names, outer.pid).parent_id is None


def test_without_permission_the_id_stays_and_the_reason_is_given(dockerd: Docker, runc: OciRuntime) -> None:
    container = dockerd.run("ebpf-tui-secret")
    cgroup = container_of_process(LOCAL, container.pid).cgroup_path
    with as_nobody():
        names = ContainerNames(LOCAL)
        context = names.container_of(cgroup)

    assert (context.id, context.runtime, context.name) == (container.id, "docker", None)
    assert "not permitted" in (context.reason or "")
    assert any("/run/runc" in problem for problem in names.problems)


def test_what_no_file_tells_is_asked_for_only_when_that_is_allowed(
    dockerd: Docker, monkeypatch: pytest.MonkeyPatch
) -> None:
    container = dockerd.run("ebpf-tui-asked", "--label", "io.kubernetes.pod.name=shop-1")
    cgroup = container_of_process(LOCAL, container.pid).cgroup_path
    monkeypatch.setattr(Daemons, "docker_roots", lambda self, search: ())  # as if its state were elsewhere
    silent = ContainerNames(LOCAL).container_of(cgroup)
    assert (silent.id, silent.name, silent.reason) == (
        container.id,
        None,
        "no state of this docker container was found on disk",
    )
    names = ContainerNames(LOCAL, ask_runtimes=True)
    asked = names.container_of(cgroup)
    assert (asked.runtime, asked.name, asked.image) == ("docker", "ebpf-tui-asked", IMAGE)
    assert (asked.pod, asked.reason) == ("shop-1", None)

    unknown = names.container_of(f"/docker/{'ab' * 32}".encode())
    assert unknown.name is None
    assert "/sock does not have this container" in (unknown.reason or "")
    dockerd.remove("ebpf-tui-asked")


def test_containerd_without_an_id_in_the_path(containerd: Containerd, busybox_rootfs: Path) -> None:
    container = containerd.run(unique("ctr"), busybox_rootfs)
    context = container_of(ContainerNames(LOCAL), container.pid)

    assert context.cgroup_path == f"/default/{unique('ctr')}".encode()
    assert (context.id, context.runtime, context.name) == (unique("ctr"), "containerd", unique("ctr"))


def test_image_and_labels_that_only_containerds_database_has(
    containerd: Containerd, busybox_tar: Path, busybox_rootfs: Path
) -> None:
    containerd.import_image(busybox_tar)
    container = containerd.run_image(unique("image"), "--label", "nerdctl/name=shop")
    context = container_of(ContainerNames(LOCAL), container.pid)  # finds --root in the daemon's argv
    assert (context.id, context.name, context.image) == (unique("image"), "shop", IMAGE_OF_CTR)
    assert context.reason is None

    bare = containerd.run(unique("bare"), busybox_rootfs)
    context = container_of(ContainerNames(LOCAL), bare.pid)
    assert (context.name, context.image) == (unique("bare"), None)
    assert "created without an image" in (context.reason or "")


def test_a_pod_of_podman(podman: Podman) -> None:
    podman("pod", "create", "--infra=false", "--name", "shop")
    container = podman.run("ebpf-tui-in-pod", "--pod", "shop")
    context = container_of(ContainerNames(LOCAL), container.pid)
    assert (context.name, context.image, context.pod) == ("ebpf-tui-in-pod", f"localhost/{IMAGE}", "shop")
    assert (context.id, context.runtime, context.reason) == (container.id, "podman", None)


@pytest.mark.parametrize("with_parent", [False, True])
def test_podman(podman: Podman, with_parent: bool) -> None:
    parent = f"/{unique('parent')}" if with_parent else ""
    name = f"ebpf-tui-podman-{with_parent}".lower()
    container = podman.run(name, *(("--cgroup-parent", parent) if parent else ()))
    truth = podman.inspect(name)
    context = container_of(ContainerNames(LOCAL), container.pid)

    assert (context.id, context.runtime) == (truth["Id"], "podman")
    assert (context.name, context.image) == (truth["Name"], truth["ImageName"])
    conmon = truth["State"]["ConmonPid"]
    assert container_of(ContainerNames(LOCAL), conmon).id is None
    if parent:
        podman("rm", "-f", "-t", "0", name)
        wait_until(lambda: not os.path.exists(f"/proc/{conmon}"), "the end of conmon")
        remove_empty_cgroup(f"{parent}/conmon")  # podman leaves it
