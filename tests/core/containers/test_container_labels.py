"""Labels: of real containers as their runtimes tell them, and what hostile ones do."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from core.containers import ContainerNames, container_of_process
from core.containers.facts import shown_labels
from core.system.host import LOCAL, Host
from tests.containers_real import Containerd, Docker, OciRuntime, Podman, unique
from tests.core.containers.bolt_pages import leaf, meta, page

A = "1b060cc81653a5c4a1d5bb6b1ea0e8b9f3b1d2c3e4f5061728394a5b6c7d8e9f"
DOCKER_PATH = f"/docker/{A}".encode()
CRI_PATH = f"/kubepods/burstable/podb820dc31-db91-45b0-b920-d04f63e6400f/{A}".encode()
BUNDLE = f"run/containerd/io.containerd.runtime.v2.task/k8s.io/{A}/config.json"
META_DB = "var/lib/containerd/io.containerd.metadata.v1.bolt/meta.db"


def labels_of(pid: int) -> dict[str, str]:
    return dict(ContainerNames(LOCAL).container_of(container_of_process(LOCAL, pid).cgroup_path).labels)


def write(root: Path, path: str, content: object) -> None:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())


def docker_labels(root: Path, labels: object) -> dict[str, str]:
    config = {"Name": "/web", "Config": {"Image": "busybox:1.36", "Labels": labels}}
    write(root, f"var/lib/docker/containers/{A}/config.v2.json", config)
    return dict(ContainerNames(Host(root)).container_of(DOCKER_PATH).labels)


def test_docker(dockerd: Docker) -> None:
    options = ("--label", "com.example.team=shop", "--label", "empty", "--label", "z=")
    container = dockerd.run("ebpf-tui-labels", *options)
    truth = dockerd.inspect("ebpf-tui-labels")["Config"]["Labels"]
    assert labels_of(container.pid) == truth == {"com.example.team": "shop", "empty": "", "z": ""}


def test_ctr(containerd: Containerd, busybox_rootfs: Path) -> None:
    container = containerd.run(unique("labels"), busybox_rootfs, options=("--label", "com.example.team=shop"))
    truth = json.loads(containerd("container", "info", unique("labels")))["Labels"]
    assert labels_of(container.pid).items() >= truth.items() == {("com.example.team", "shop")}


def test_podman(podman: Podman) -> None:
    container = podman.run("ebpf-tui-labels", "--label", "com.example.team=shop")
    truth: dict[str, Any] = podman.inspect("ebpf-tui-labels")["Config"]["Labels"]
    found = labels_of(container.pid)
    assert found.items() >= truth.items() >= {("com.example.team", "shop")}
    assert found["io.container.manager"] == "libpod"


def test_runc(runc: OciRuntime) -> None:
    container = runc.run(unique("labels"), annotations={"com.example.team": "shop"})
    assert labels_of(container.pid) == {"com.example.team": "shop"}


def test_kubernetes_on_containerd_has_annotations_and_the_labels_of_the_database(tmp_path: Path) -> None:
    annotations = {
        "io.kubernetes.cri.image-name": "nginx:1.25",
        "io.kubernetes.cri.container-name": "app",
        "both": "of the bundle",
    }
    write(tmp_path, BUNDLE, {"annotations": annotations})
    labels = [(b"app", b"shop", 0), (b"both", b"of the database", 0)]
    path = (b"v1", b"k8s.io", b"containers", A.encode(), b"labels")
    pages = [meta(0, 6), meta(1, 7), page(2, 16, 0, b"")]
    for number, name in enumerate(path, start=3):
        pages.append(leaf(number, [(name, struct.pack("=QQ", number + 1, 0), 1)]))
    pages.append(leaf(3 + len(path), labels))
    write(tmp_path, META_DB, b"".join(pages))

    context = ContainerNames(Host(tmp_path)).container_of(CRI_PATH)
    assert (context.name, context.image, context.reason) == ("app", "nginx:1.25", None)
    assert dict(context.labels) == annotations | {
        "app": "shop",
        "both": "of the database",
    }


def test_a_database_of_containerd_that_is_broken_costs_the_labels_only(tmp_path: Path) -> None:
    write(tmp_path, BUNDLE, {"annotations": {"io.kubernetes.cri.image-name": "nginx:1.25"}})
    write(tmp_path, META_DB, b"x" * 9000)
    names = ContainerNames(Host(tmp_path))
    context = names.container_of(CRI_PATH)
    assert context.image == "nginx:1.25"
    assert "labels are not known" in (context.reason or "")
    assert "meta.db: is not a bolt database" in (context.reason or "")

    (tmp_path / META_DB).unlink()  # containerd makes a new one
    while CRI_PATH not in names.refresh():
        pass
    assert names.container_of(CRI_PATH).reason is None


def test_labels_of_crio_are_those_of_the_kubelet_and_the_annotations(tmp_path: Path) -> None:
    storage = "var/lib/containers/storage/overlay-containers"
    annotations = {
        "io.container.manager": "cri-o",
        "io.kubernetes.cri-o.ImageName": "quay.io/app:2",
        "io.kubernetes.cri-o.Labels": json.dumps({"app": "shop"}),
    }
    write(tmp_path, f"{storage}/containers.json", [{"id": A}])
    write(tmp_path, f"{storage}/{A}/userdata/config.json", {"annotations": annotations})
    context = ContainerNames(Host(tmp_path)).container_of(f"/kubepods.slice/crio-{A}.scope".encode())
    assert dict(context.labels) == {
        "app": "shop",
        "io.container.manager": "cri-o",
        "io.kubernetes.cri-o.ImageName": "quay.io/app:2",
    }


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("com.example.db-password", "hunter2", "********"),
        ("example.com/api-token", "0123456789", "********"),
        ("com.example.password-file", "/run/secrets/db", "/run/secrets/db"),
        ("com.example.url", "https://joe:hunter2@example.com/", "https://joe:********@example.com/"),
        ("com.example.command", "serve --token=hunter2 --port 80", "serve --token=******** --port 80"),
        ("com.example.empty-password", "", ""),
        ("com.docker.compose.project", "shop", "shop"),
    ],
)
def test_secrets_are_not_shown(tmp_path: Path, name: str, value: str, shown: str) -> None:
    assert docker_labels(tmp_path, {name: value}) == {name: shown}


def test_a_label_cannot_steer_a_terminal(tmp_path: Path) -> None:
    labels = docker_labels(tmp_path, {"\x1b[2Jname\n": "\u202evalue\x07"})
    assert labels == {"\\x1b[2Jname\\x0a": "\\u202evalue\\x07"}


def test_labels_are_few_and_short(tmp_path: Path) -> None:
    many = {f"label-{number:05}" + "n" * 1000: "v" * 400 for number in range(10_000)}
    assert docker_labels(tmp_path, many)
    kept = ContainerNames(Host(tmp_path)).container_of(DOCKER_PATH)
    assert len(kept.labels) <= 64
    assert sum(len(name) + len(value) for name, value in kept.labels) < 10_000
    assert f"{10_000 - len(kept.labels)} of 10000 labels are left out" in (kept.reason or "")

    short, left_out = shown_labels({f"{number:03}": "" for number in range(70)})
    assert ([name for name, _ in short], left_out) == (
        [f"{number:03}" for number in range(64)],
        "6 of 70 labels are left out",
    )


@pytest.mark.parametrize("labels", [None, {}])
def test_no_labels(tmp_path: Path, labels: object) -> None:
    assert docker_labels(tmp_path, labels) == {}
