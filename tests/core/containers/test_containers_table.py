"""What `ebpf-tui containers` prints: levels, columns, sums; on a terminal as well."""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import pty
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

A = "1b060cc81653a5c4a1d5bb6b1ea0e8b9f3b1d2c3e4f5061728394a5b6c7d8e9f"
B, C, D = (digits * 32 for digits in ("bb", "cc", "dd"))
UID = "b820dc31-db91-45b0-b920-d04f63e6400f"
POD = f"/kubepods/burstable/pod{UID}"


class FakeHost:
    """A host root with processes in cgroups, and the state of Docker and containerd."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "proc").mkdir()
        self._pids = iter(range(100, 100_000))

    def processes(self, cgroup: str, count: int = 1) -> None:
        for _ in range(count):
            pid = str(next(self._pids))
            task = self.root / "proc" / pid / "task" / pid
            task.mkdir(parents=True)
            (task / "cgroup").write_text(f"0::{cgroup}\n")

    def write(self, path: str, content: object) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content if isinstance(content, str) else json.dumps(content))

    def docker(self, container: str, name: str, image: str) -> None:
        config = {"Name": f"/{name}", "Config": {"Image": image}}
        self.write(f"var/lib/docker/containers/{container}/config.v2.json", config)

    def pod_container(self, container: str, name: str) -> None:
        annotations = {
            "io.kubernetes.cri.container-name": name,
            "io.kubernetes.cri.image-name": "docker.io/library/nginx:1.25",
            "io.kubernetes.cri.sandbox-name": "app-0",
            "io.kubernetes.cri.sandbox-namespace": "shop",
        }
        bundle = f"run/containerd/io.containerd.runtime.v2.task/k8s.io/{container}"
        self.write(f"{bundle}/config.json", {"annotations": annotations})

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "tui.cli.main", "--host-root", str(self.root), "containers", *arguments]

    def lines(self) -> list[str]:
        done = subprocess.run(self.command(), capture_output=True, text=True, timeout=60, check=True)
        return done.stdout.splitlines()

    def lines_on_a_terminal(self, columns: int) -> list[str]:
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
        with subprocess.Popen(self.command(), stdout=theirs, env=environment) as process:
            os.close(theirs)
            text = b""
            while True:
                try:
                    chunk = os.read(ours, 4096)
                except OSError:  # the other end was closed
                    break
                if not chunk:
                    break
                text += chunk
            os.close(ours)
        assert process.returncode == 0
        return text.decode().splitlines()


@pytest.fixture
def host(tmp_path: Path) -> FakeHost:
    made = FakeHost(tmp_path)
    made.docker(A, "web", "registry.example.com/shop/web:1.36")
    made.pod_container(B, "app")
    made.pod_container(C, "sidecar")
    made.processes(f"/docker/{A}", 3)
    made.processes(f"/docker/{A}/docker/{D}", 2)
    made.processes(f"{POD}/{B}", 12)
    made.processes(f"{POD}/{C}")
    made.processes("/lxc/builder")
    made.processes("/system.slice/ssh.service", 4)
    made.write(f"sys/fs/cgroup/freezer/docker/{A}/freezer.state", "FROZEN\n")
    return made


def test_levels_columns_and_sums(host: FakeHost) -> None:
    assert host.lines() == [
        "CONTAINER         PROCS  STATE    RUNTIME     ID            IMAGE",
        "⬢ builder             1  running  lxc",
        "⬢ shop/app-0         13           pod",
        "  ⬢ app              12  running  containerd  bbbbbbbbbbbb  docker.io/library/nginx:1.25",
        "  ⬢ sidecar           1  running  containerd  cccccccccccc  docker.io/library/nginx:1.25",
        "⬢ web                 5  paused   docker      1b060cc81653  registry.example.com/shop/web:1.36",
        "  ⬢ dddddddddddd      2  running  docker",
        "    no state of this docker container was found on disk",
    ]


def test_an_outer_container_without_processes_of_its_own(tmp_path: Path) -> None:
    host = FakeHost(tmp_path)
    host.docker(A, "web", "busybox")
    host.docker(B, "inner", "busybox")
    host.processes(f"/docker/{A}/docker/{B}", 2)
    assert [line.split()[:3] for line in host.lines()[1:]] == [["⬢", "web", "2"], ["⬢", "inner", "2"]]
    assert host.lines()[2].startswith("  ⬢ inner ")


def test_the_image_fits_the_terminal(host: FakeHost) -> None:
    narrow = host.lines_on_a_terminal(80)
    assert [line for line in narrow if "app " in line or "web" in line] == [
        "  ⬢ app              12  running  containerd  bbbbbbbbbbbb  …/library/nginx:1.25",
        "⬢ web                 5  paused   docker      1b060cc81653  …e.com/shop/web:1.36",
    ]
    assert max(map(len, narrow)) == 80
    assert host.lines_on_a_terminal(100) == host.lines()


def test_wide_and_long_names(tmp_path: Path) -> None:
    host = FakeHost(tmp_path)
    host.docker(A, "商店", "busybox")
    host.docker(B, "n" * 90, "busybox")
    host.docker(C, "x\x1b[2Jy", "busybox")
    for container in (A, B, C):
        host.processes(f"/docker/{container}")
    head, long, safe, wide = host.lines()
    assert long == f"⬢ {'n' * 90}      1  running  docker   bbbbbbbbbbbb  busybox"
    assert head.index("PROCS") - 2 == 48
    assert safe.startswith("⬢ x\\x1b[2Jy ")
    assert len(wide) == len(safe) - 2  # two characters of two cells each


def test_containers_that_are_said_to_be_in_each_other(tmp_path: Path) -> None:
    """Both run outside of all others: what the names of their inner cgroups say is not so."""
    host = FakeHost(tmp_path)
    host.processes(f"/docker/{A}/docker/{B}")
    host.processes(f"/docker/{B}/docker/{A}", 2)
    assert sorted(int(line.split()[2]) for line in host.lines() if "running" in line) == [1, 2]


def test_a_chain_of_containers_without_end(tmp_path: Path) -> None:
    """Each cgroup of a user says of two more containers that one is in the other."""
    host = FakeHost(tmp_path)
    ids = [f"{number:064x}" for number in range(1500)]
    for outer, inner in itertools.pairwise(ids):
        host.processes(f"/docker/{outer}/docker/{inner}")
    lines = [line for line in host.lines()[1:] if "running" in line]
    assert len(lines) == 1500
    assert max(len(line) - len(line.lstrip()) for line in lines) <= 70


def test_no_containers(tmp_path: Path) -> None:
    host = FakeHost(tmp_path)
    host.processes("/system.slice/ssh.service")
    done = subprocess.run(host.command(), capture_output=True, text=True, timeout=60, check=True)
    assert (done.stdout, done.stderr) == ("", "no process on this host runs in a container\n")
