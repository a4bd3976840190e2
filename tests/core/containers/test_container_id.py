"""Cgroup paths -> containers: every shape of seed-semantics C and D, and of issue 5."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.containers import container_of_cgroup
from core.text.safe import safe_text

A = "1b060cc81653a5c4a1d5bb6b1ea0e8b9f3b1d2c3e4f5061728394a5b6c7d8e9f"
B = "f0dcdc9c4a1e179084fff86098037e6486b864c6ad2e5afa74be5145280d833b"
ECS = "0c7d9b9350cd4c7e97ddbf5becfd6f22-3057940393"
GARDEN = "6f265890-5165-7fab-6b52-18d1"
UID = "b820dc31-db91-45b0-b920-d04f63e6400f"
UID_ = UID.replace("-", "_")
STATIC = "2b8a5a1f9c0e4d3b8a7f6e5d4c3b2a19"
POD = f"kubepods-burstable-pod{UID_}.slice"
USER = "/user.slice/user-1000.slice/user@1000.service/user.slice"

CONTAINERS = [
    # path, id, runtime, pod uid, parent
    (f"/docker/{A}", A, "docker", None, None),
    (f"/docker/{A.upper()}", A.upper(), "docker", None, None),
    (f"/system.slice/docker-{A}.scope", A, "docker", None, None),
    (f"/system.slice/docker-{A}.scope/init", A, "docker", None, None),
    (f"{USER}/docker-{A}.scope", A, "docker", None, None),
    (f"/docker/buildx/{A}", A, "docker", None, None),
    (f"/system.slice:docker:{A}", A, "docker", None, None),
    # Kubernetes: three QoS classes, both cgroup drivers, each runtime
    (f"/kubepods/pod{UID}/{A}", A, "containerd", UID, None),
    (f"/kubepods/burstable/pod{UID}/{A}", A, "containerd", UID, None),
    (f"/kubepods/besteffort/pod{UID}/{A}", A, "containerd", UID, None),
    (f"/kubepods/besteffort/pod{UID}/crio-{A}", A, "cri-o", UID, None),
    (f"/kubepods/burstable/pod{STATIC}/{A}", A, "containerd", STATIC, None),
    (
        f"/kubepods.slice/kubepods-pod{UID_}.slice/cri-containerd-{A}.scope",
        A,
        "containerd",
        UID,
        None,
    ),
    (f"/kubepods.slice/kubepods-burstable.slice/{POD}/cri-containerd-{A}.scope", A, "containerd", UID, None),
    (f"/kubepods.slice/kubepods-burstable.slice/{POD}/docker-{A}.scope", A, "docker", UID, None),
    (f"/kubepods.slice/kubepods-burstable.slice/{POD}/crio-{A}.scope", A, "cri-o", UID, None),
    (f"/kubepods.slice/kubepods-burstable.slice/{POD}/crio-{A}.scope/container", A, "cri-o", UID, None),
    (f"/system.slice/containerd.service/{POD}:cri-containerd:{A}", A, "containerd", UID, None),
    (f"/system.slice/crio.service/{POD}:crio:{A}", A, "cri-o", UID, None),
    (f"/kubelet.slice/kubelet-{POD}/cri-containerd-{A}.scope", A, "containerd", UID, None),
    # containerd without Kubernetes
    (f"/system.slice/nerdctl-{A}.scope", A, "containerd", None, None),
    # podman
    (f"/machine.slice/libpod-{A}.scope", A, "podman", None, None),
    (f"/machine.slice/libpod-{A}.scope/container", A, "podman", None, None),
    (f"{USER}/libpod-{A}.scope/container", A, "podman", None, None),
    (f"/libpod_parent/libpod-{A}", A, "podman", None, None),
    (f"/libpod_parent/{B}/libpod-{A}", A, "podman", B, None),
    (f"/machine.slice/machine-libpod_pod_{B}.slice/libpod-{A}.scope", A, "podman", B, None),
    (f"/system.slice/web.service/libpod-payload-{A}", A, "podman", None, None),
    # ECS, EKS on Fargate (bug 2: the task's id must not win), Garden
    (f"/ecs/0c7d9b9350cd4c7e97ddbf5becfd6f22/{ECS}", ECS, "ecs", None, None),
    (f"/ecs/cluster/0c7d9b9350cd4c7e97ddbf5becfd6f22/{A}", A, "ecs", None, None),
    (f"/ecstasks.slice/ecstasks-0c7d.slice/docker-{A}.scope", A, "docker", None, None),
    (f"/ecs/0c7d9b9350cd4c7e97ddbf5becfd6f22/{ECS}/kubepods/pod{UID}/{A}", A, "containerd", UID, ECS),
    (f"/{ECS}", ECS, "ecs", None, None),
    (f"/system.slice/garden.service/garden/{GARDEN}", GARDEN, "garden", None, None),
    (f"/{GARDEN}", GARDEN, "garden", None, None),
    # LXC, LXD
    ("/lxc.payload.web", "web", "lxc", None, None),
    ("/lxc.payload.web/system.slice/ssh.service", "web", "lxc", None, None),
    ("/lxc.payload/web", "web", "lxc", None, None),
    ("/lxc/web", "web", "lxc", None, None),
    ("/user/1000.user/c2.session/lxc/web/init.scope", "web", "lxc", None, None),
    (f"/lxc/{A}", A, "lxc", None, None),
    ("/lxc.payload.outer/lxc.payload.inner", "inner", "lxc", None, "outer"),
    (f"/lxc.payload.web/docker/{A}", A, "docker", None, "web"),
    (f"/lxc.payload.web/{A}", A, "unknown", None, "web"),
    (f"/docker/{B}/lxc.payload.web/{A}", A, "unknown", None, "web"),
    ("/lxc.payload.a\x1b[2J", "a\\x1b[2J", "lxc", None, None),
    # systemd-nspawn, machined
    ("/machine.slice/machine-web.scope", "web", "nspawn", None, None),
    ("/machine.slice/machine-web.scope/payload/system.slice/cron.service", "web", "nspawn", None, None),
    ("/machine.slice/machine-my\\x2dbox.scope", "my-box", "nspawn", None, None),
    ("/machine.slice/systemd-nspawn@web.service/payload", "web", "nspawn", None, None),
    ("/machine.slice/machine-lxc\\x2d4242\\x2dweb.scope", "lxc-4242-web", "lxc", None, None),
    (
        f"/machine.slice/machine-web.scope/payload/system.slice/docker-{A}.scope",
        A,
        "docker",
        None,
        "web",
    ),
    # nested: the innermost wins, the outer one is its parent
    (f"/docker/{A}/docker/{B}", B, "docker", None, A),
    (f"/docker/{A}/system.slice/docker-{B}.scope", B, "docker", None, A),
    (f"/docker/{A}/kubelet/kubepods/besteffort/pod{UID}/{B}", B, "containerd", UID, A),
    (f"/docker/{A}/system.slice/docker-{A}.scope", A, "docker", None, None),
    (f"/docker/{A}/system.slice/ssh.service", A, "docker", None, None),
    # relative to a cgroup namespace
    (f"/../{A}", A, "unknown", None, None),
    (f"/../../docker/{A}", A, "docker", None, None),
    (f"/../../../{POD}/cri-containerd-{A}.scope", A, "containerd", UID, None),
    # others
    (f"/actions_job/{A}", A, "unknown", None, None),
    (f"/{A}", A, "unknown", None, None),
    (f"/x-{A}-y", A, "unknown", None, None),
    (f"/g{A}z", A, "unknown", None, None),
    (f"/docker/{A} (deleted)", A, "docker", None, None),
    # bug 3: the runtime is a folder above the id; bug 2: a dashed pod uid in front of the id
    (f"/docker/{A}/", A, "docker", None, None),
    (f"/kubepods/burstable/pod{UID}/{A}/nested", A, "containerd", UID, None),
]

NO_CONTAINER = [
    # path, runtime, pod uid
    ("", None, None),
    ("/", None, None),
    ("/..", None, None),
    ("/../../..", None, None),
    ("/init.scope", "systemd", None),
    ("/system.slice/ssh.service", "systemd", None),
    ("/system.slice/ssh.service (deleted)", "systemd", None),
    ("/system.slice", None, None),
    ("/user.slice/user-1000.slice", None, None),
    # bug 1: a UUID in a session scope is no Garden id
    (f"/user.slice/user-1000.slice/session-{UID}.scope", "systemd", None),
    (f"/{UID}", None, None),
    (f"/mesos/{UID}", None, None),
    (f"/a{GARDEN}", None, None),
    (f"/{GARDEN}a", None, None),
    (f"/{A[:-1]}", None, None),  # 63 digits
    (f"/docker/{A}0", None, None),  # 65
    (f"/docker/{A}{B}", None, None),
    (f"/docker/a{A}", None, None),
    ("/0c7d9b9350cd4c7e97ddbf5becfd6f22", None, None),
    ("/0c7d9b9350cd4c7e97ddbf5becfd6f22-", None, None),
    (f"/{ECS}f", None, None),
    (f"/kubepods/burstable/pod{UID}", None, UID),
    (f"/kubepods.slice/kubepods-burstable.slice/{POD}", None, UID),
    # watchers and mounts
    (f"/kubepods.slice/{POD}/crio-conmon-{A}.scope", "systemd", UID),
    (f"/machine.slice/libpod-conmon-{A}.scope", "systemd", None),
    (f"/system.slice/var-lib-docker-containers-{A}-mounts-shm.mount", None, None),
    (f"/machine.slice/machine-libpod_pod_{A}.slice", None, A),
    (f"/user.slice/user-libpod_pod_{A}.slice", None, A),
    (f"/libpod_parent/{A}", None, A),
    ("/lxc.monitor.web", None, None),
    ("/lxc.monitor/web", None, None),
    ("/lxc", None, None),
    ("/lxc/", None, None),
    ("/machine.slice/machine-web.scope/supervisor", None, None),
    ("/machine.slice/systemd-nspawn@web.service/supervisor", None, None),
    ("/machine.slice/machine-qemu\\x2d1\\x2dvm.scope", "systemd", None),
]


@pytest.mark.parametrize(("path", "container", "runtime", "pod_uid", "parent"), CONTAINERS)
def test_a_container(
    path: str, container: str, runtime: str, pod_uid: str | None, parent: str | None
) -> None:
    context = container_of_cgroup(path.encode())

    assert (context.id, context.runtime) == (container, runtime)
    assert (context.pod_uid, context.parent_id) == (pod_uid, parent)
    assert context.cgroup_path == path.encode()


@pytest.mark.parametrize(("path", "runtime", "pod_uid"), NO_CONTAINER)
def test_no_container(path: str, runtime: str | None, pod_uid: str | None) -> None:
    context = container_of_cgroup(path.encode())

    assert (context.id, context.runtime, context.parent_id) == (None, runtime, None)
    assert context.pod_uid == pod_uid


def test_bytes_that_are_no_utf8() -> None:
    assert container_of_cgroup(b"/\xff\xfe/docker/" + A.encode()).id == A
    assert container_of_cgroup(b"/lxc/\xff\x1b]0;x").id == "\\xff\\x1b]0;x"


def test_long_paths_are_parsed_in_linear_time_and_not_kept() -> None:
    for filler in (b"a" * 65_536, b"0-" * 32_768, b"/" * 65_536, (ECS[:33].encode() + b"9" * 30) * 1000):
        path = filler + b"/docker/" + A.encode()
        assert container_of_cgroup(path).id == A
        assert container_of_cgroup(path) is not container_of_cgroup(path)


def test_a_path_asked_for_again_is_the_same_object() -> None:
    path = f"/docker/{A}".encode()
    assert container_of_cgroup(path) is container_of_cgroup(bytes(path))


PIECES = st.sampled_from(
    [
        b"/",
        b"docker",
        b"docker-",
        b"kubepods",
        b"pod",
        b"lxc",
        b".payload.",
        b".scope",
        b".mount",
        b"machine-",
    ]
    + [b"libpod-", b"crio-conmon-", b"-", b"\\x2d", b"supervisor", b"..", b"\xff", b"\n", b":"]
    + [text.encode() for text in (A, B, ECS, GARDEN, UID, UID_)]
)


@settings(max_examples=500)
@given(st.lists(PIECES | st.binary(max_size=8), max_size=24).map(b"".join))
def test_any_path_gives_a_context_that_keeps_the_contract(path: bytes) -> None:
    context = container_of_cgroup(path)

    if context.id is None:
        assert context.runtime in (None, "systemd")
        assert context.parent_id is None
    else:
        assert context.runtime in {
            *("docker", "containerd", "cri-o", "podman", "ecs", "garden", "lxc", "nspawn", "unknown")
        }
        assert context.id == safe_text(context.id)
        assert context.parent_id != context.id
        if context.runtime not in ("lxc", "nspawn"):
            # C2, said another way: an id is in the path, and no hex digit stands beside it.
            assert re.search(rb"(^|[^0-9a-fA-F])" + context.id.encode() + rb"($|[^0-9a-fA-F])", path)
