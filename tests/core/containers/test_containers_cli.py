"""`ebpf-tui cgroup` and `ebpf-tui containers` as people and scripts run them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.containers_real import IMAGE, Docker, RealContainer, unique

A = "1b060cc81653a5c4a1d5bb6b1ea0e8b9f3b1d2c3e4f5061728394a5b6c7d8e9f"


def ebpf_tui(*arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "tui.cli.main", *arguments],
        input=stdin,
        capture_output=True,
        timeout=60,
        check=False,
    )


def test_a_text_from_stdin() -> None:
    done = ebpf_tui("cgroup", "--json", "-", stdin=f"0::/system.slice/docker-{A}.scope\n".encode())
    assert done.returncode == 0
    assert json.loads(done.stdout) == {
        "schema": "ebpf-tui/cgroup/1",
        "container_id": A,
        "runtime": "docker",
        "cgroup_path": f"/system.slice/docker-{A}.scope",
        "pod_uid": None,
        "parent_id": None,
    }


def test_a_file_with_a_unit(tmp_path: Path) -> None:
    file = tmp_path / "cgroup"
    file.write_bytes(b"0::/system.slice/\xff\x1b[2J.service\n")
    answer = json.loads(ebpf_tui("cgroup", "--json", str(file)).stdout)
    assert (answer["container_id"], answer["runtime"]) == (None, "systemd")
    assert answer["cgroup_path"].encode("utf-8", "surrogateescape") == b"/system.slice/\xff\x1b[2J.service"

    text = ebpf_tui("cgroup", str(file)).stdout
    assert b"\x1b" not in text
    assert b"\\x1b[2J.service" in text


@pytest.mark.parametrize("stdin", [b"", b"hello\n", b"\x00" * 100])
def test_a_text_without_a_line(stdin: bytes) -> None:
    done = ebpf_tui("cgroup", "--json", "-", stdin=stdin)
    assert done.returncode == 0
    assert json.loads(done.stdout)["container_id"] is None
    assert b"HIERARCHY:CONTROLLERS:/PATH" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["cgroup", "--pid", "4194303"], 1),
        (["cgroup", "--pid", "0"], 2),
        (["cgroup", "--pid", "x"], 2),
        (["cgroup"], 2),
        (["cgroup", "-", "--pid", "1"], 2),
        (["cgroup", "/nonexistent/cgroup"], 2),
        (["cgroup", "/"], 2),
        (["containers", "extra"], 2),
    ],
)
def test_exit_codes(arguments: list[str], code: int) -> None:
    done = ebpf_tui(*arguments)
    assert done.returncode == code
    assert done.stdout == b""
    assert b"Traceback" not in done.stderr


def test_a_process(runc_container: RealContainer) -> None:
    answer = json.loads(ebpf_tui("cgroup", "--json", "--pid", str(runc_container.pid)).stdout)
    assert (answer["container_id"], answer["runtime"]) == (unique("web"), "unknown")
    own = json.loads(ebpf_tui("cgroup", "--json", "--pid", str(os.getpid())).stdout)
    assert own["container_id"] != unique("web")


def test_all_containers(dockerd: Docker, runc_container: RealContainer) -> None:
    docker = dockerd.run("ebpf-tui-listed", "--label", "team=shop")
    dockerd("pause", "ebpf-tui-listed")
    answer = json.loads(ebpf_tui("containers", "--json").stdout)
    containers = {container["id"]: container for container in answer["containers"]}

    assert answer["schema"] == "ebpf-tui/containers/1"
    assert containers[docker.id]["name"] == "ebpf-tui-listed"
    assert containers[docker.id]["image"] == dockerd.inspect("ebpf-tui-listed")["Config"]["Image"]
    assert containers[docker.id]["labels"] == {"team": "shop"}
    assert containers[unique("web")]["labels"] == {}
    assert containers[docker.id]["state"] == dockerd.inspect("ebpf-tui-listed")["State"]["Status"] == "paused"
    assert containers[unique("web")]["state"] == "running"
    top = dockerd("top", "ebpf-tui-listed", "-o", "pid").split()[1:]
    assert containers[docker.id]["pids"] == sorted(map(int, top))
    assert containers[unique("web")]["pids"] == [runc_container.pid]

    text = ebpf_tui("containers").stdout.decode()
    dockerd("unpause", "ebpf-tui-listed")
    [line] = [line.split() for line in text.splitlines() if "ebpf-tui-listed" in line]
    assert line == ["⬢", "ebpf-tui-listed", "1", "paused", "docker", docker.id[:12], "busybox-test:1.0"]


def test_another_hosts_root(tmp_path: Path) -> None:
    task = tmp_path / "proc" / "7" / "task" / "7"
    task.mkdir(parents=True)
    (task / "cgroup").write_text(f"0::/docker/{A}\n")
    config = tmp_path / "var/lib/docker/containers" / A / "config.v2.json"
    config.parent.mkdir(parents=True)
    config.write_text('{"Name": "/web", "Config": {"Image": "busybox:1.36"}}')

    answer = json.loads(ebpf_tui("--host-root", str(tmp_path), "containers", "--json").stdout)
    assert [(c["id"], c["name"], c["image"], c["pids"]) for c in answer["containers"]] == [
        (A, "web", "busybox:1.36", [7])
    ]


def test_runtimes_are_asked_with_the_option_only(dockerd: Docker, tmp_path: Path) -> None:
    """Below a host root without Docker's files only its socket is left: that of the real daemon."""
    container = dockerd.run("ebpf-tui-cli-asked")
    (tmp_path / "run").mkdir()
    (tmp_path / "run/docker.sock").touch()
    proc = tmp_path / "proc"
    cgroup = proc / f"{container.pid}/task/{container.pid}/cgroup"
    cgroup.parent.mkdir(parents=True)
    cgroup.write_text(f"0::/docker/{container.id}\n")
    subprocess.run(["mount", "--bind", dockerd.socket, tmp_path / "run/docker.sock"], check=True)
    try:
        without = ebpf_tui("--host-root", str(tmp_path), "containers", "--json")
        asked = ebpf_tui("--host-root", str(tmp_path), "--ask-runtimes", "containers", "--json")
    finally:
        subprocess.run(["umount", tmp_path / "run/docker.sock"], check=True)
        dockerd.remove("ebpf-tui-cli-asked")
    [before] = json.loads(without.stdout)["containers"]
    [after] = json.loads(asked.stdout)["containers"]
    assert (before["id"], before["name"]) == (container.id, None)
    assert (after["id"], after["name"], after["image"]) == (container.id, "ebpf-tui-cli-asked", IMAGE)
