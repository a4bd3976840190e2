"""Real containers for tests: runc, dockerd, containerd and podman, each with folders of its own.

Import the fixtures into a conftest.py or a test module. They skip, with the reason, where root or the
runtime is missing, and leave nothing behind. Debian packages: runc crun busybox-static docker.io
podman (docker.io brings containerd and ctr, podman conmon).
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.needs import lacks

_PROGRAMS = ("sh", "sleep", "true", "cat")
IMAGE = "busybox-test:1.0"
IMAGE_OF_CTR = "docker.io/library/busybox-test:1.0"
SLEEP = ("sleep", "300")


class RealContainer(NamedTuple):
    """A running container, as its own runtime describes it. `pid` is its first process."""

    id: str
    name: str
    pid: int


def unique(name: str) -> str:
    """A name for what all test runs of this host share: /run/runc, /run/crun, containerd's namespaces."""
    return f"ebpf-tui-{os.getpid()}-{name}"


def _need(*programs: str) -> None:
    if os.geteuid() != 0:
        pytest.skip("starting containers needs root")
    for program in programs:
        if not shutil.which(program):
            lacks(program)


def _run(*command: str, timeout: float = 60) -> str:
    done = subprocess.run(
        command, check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 20) -> None:
    """Poll until `condition` holds; fail with `what` after `seconds`."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            pytest.fail(f"{what} did not happen within {seconds} s")
        time.sleep(0.02)


def remove_empty_cgroup(path: str) -> None:
    """Remove a cgroup that a test named, and its empty parents, from every hierarchy."""
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    for _, mount, kind, *_ in mounts:
        if kind.startswith("cgroup"):
            cgroup = Path(mount) / path.strip("/")
            while cgroup != Path(mount):
                try:
                    cgroup.rmdir()
                except FileNotFoundError:
                    pass  # its runtime removed it; the folder above may be ours
                except OSError:
                    break
                cgroup = cgroup.parent


@pytest.fixture(scope="session")
def busybox_rootfs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root folder of a container that has busybox and nothing else."""
    busybox = shutil.which("busybox")
    if busybox is None:
        lacks("busybox-static")
    root = tmp_path_factory.mktemp("busybox")
    (root / "bin").mkdir()
    shutil.copy(busybox, root / "bin" / "busybox")
    for program in _PROGRAMS:
        (root / "bin" / program).symlink_to("busybox")
    return root


@pytest.fixture(scope="session")
def busybox_tar(busybox_rootfs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    tar = tmp_path_factory.mktemp("image") / "busybox.tar"
    _run("tar", "-C", str(busybox_rootfs), "-cf", str(tar), ".")
    return tar


class OciRuntime:
    """Starts containers as `runc run NAME` does, their state in the usual /run/runc (or /run/crun)."""

    def __init__(self, program: str, rootfs: Path, bundles: Path) -> None:
        self._program = program
        self._rootfs = rootfs
        self._bundles = bundles
        self._names: dict[str, str | None] = {}

    def __call__(self, *arguments: str) -> str:
        return _run(self._program, *arguments)

    def bundle(
        self,
        name: str,
        cgroup: str | None = None,
        annotations: dict[str, str] | None = None,
        command: Sequence[str] = SLEEP,
    ) -> Path:
        folder = self._bundles / name
        folder.mkdir()
        _run("runc", "spec", "-b", str(folder))  # crun's own wants to be in the folder
        config = json.loads((folder / "config.json").read_text())
        config["process"] |= {"terminal": False, "args": list(command)}
        config["root"]["path"] = str(self._rootfs)
        config["annotations"] = annotations or {}
        if cgroup:
            config["linux"]["cgroupsPath"] = cgroup
        (folder / "config.json").write_text(json.dumps(config))
        return folder

    def run(
        self,
        name: str,
        cgroup: str | None = None,
        annotations: dict[str, str] | None = None,
        command: Sequence[str] = SLEEP,
    ) -> RealContainer:
        folder = self.bundle(name, cgroup, annotations, command)
        self._names[name] = cgroup
        # The container gets these as its own: a pipe here would not end before it does.
        with open(folder / "log", "wb") as log:
            arguments = [self._program, "run", "-d", "-b", str(folder), name]
            done = subprocess.run(
                arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=log, timeout=30, check=False
            )
        if done.returncode:
            raise RuntimeError((folder / "log").read_text(errors="replace").strip())
        return RealContainer(name, name, int(self.state(name)["pid"]))

    def state(self, name: str) -> dict[str, Any]:
        state: dict[str, Any] = json.loads(self("state", name))
        return state

    def exec(self, name: str, *command: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [self._program, "exec", name, *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def delete(self, name: str) -> None:
        subprocess.run([self._program, "delete", "-f", name], capture_output=True, timeout=30, check=False)
        shutil.rmtree(self._bundles / name, ignore_errors=True)

    def close(self) -> None:
        for name, cgroup in self._names.items():
            self.delete(name)
            if cgroup:
                remove_empty_cgroup(cgroup)


def _oci_runtime(program: str, rootfs: Path, folder: Path) -> Iterator[OciRuntime]:
    _need("runc", program)
    bundles = folder / f"{program}-bundles"
    bundles.mkdir()
    runtime = OciRuntime(program, rootfs, bundles)
    try:
        try:
            runtime.run(unique("probe"))
        except RuntimeError as error:
            pytest.skip(f"{program} cannot start containers here: {_first_line(error)}")
        runtime.delete(unique("probe"))
        yield runtime
    finally:
        runtime.close()


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0][:200]


@pytest.fixture
def runc(busybox_rootfs: Path, tmp_path: Path) -> Iterator[OciRuntime]:
    """`runc.run(NAME)` gives a running container; all of them are deleted afterwards."""
    yield from _oci_runtime("runc", busybox_rootfs, tmp_path)


@pytest.fixture
def crun(busybox_rootfs: Path, tmp_path: Path) -> Iterator[OciRuntime]:
    """The same with crun, which refuses hosts with cgroup v1 and v2 side by side."""
    yield from _oci_runtime("crun", busybox_rootfs, tmp_path)


@pytest.fixture
def runc_container(runc: OciRuntime) -> RealContainer:
    return runc.run(unique("web"))


class _Daemon:
    """One daemon with all its folders below `folder`, which is short enough for a socket's path."""

    def __init__(self, prefix: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix=prefix, dir="/tmp"))
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *command: str, ready: Callable[[], bool]) -> None:
        with open(self.folder / "log", "wb") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        end = time.monotonic() + 30
        while not ready():
            if self.process.poll() is not None or time.monotonic() > end:
                tail = (self.folder / "log").read_text(errors="replace").splitlines()[-1:]
                self.close()
                pytest.skip(f"{command[0]} does not start here: {' '.join(tail)[:300]}")
            time.sleep(0.05)

    def close(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        # deepest first: what is left mounted would make rmtree fail
        mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        for mount in sorted((m for m in mounts if m.startswith(f"{self.folder}/")), reverse=True):
            subprocess.run(["umount", "-l", mount], capture_output=True, check=False)
        shutil.rmtree(self.folder, ignore_errors=True)


class Docker:
    """A dockerd with its own data-root, exec-root and socket."""

    def __init__(self, daemon: _Daemon) -> None:
        self._daemon = daemon
        self.data_root = daemon.folder / "data"
        self.socket = daemon.folder / "sock"
        self._host = f"unix://{self.socket}"
        self._names: list[str] = []

    def __call__(self, *arguments: str) -> str:
        return _run("docker", "-H", self._host, *arguments).strip()

    def answers(self) -> bool:
        return (
            subprocess.run(
                ["docker", "-H", self._host, "version"], capture_output=True, check=False
            ).returncode
            == 0
        )

    def run(self, name: str, *options: str, command: Sequence[str] = SLEEP) -> RealContainer:
        self._names.append(name)
        container = self("run", "-d", "--name", name, "--network", "none", *options, IMAGE, *command)
        return RealContainer(container, name, int(self.inspect(name)["State"]["Pid"]))

    def inspect(self, name: str) -> dict[str, Any]:
        record: dict[str, Any] = json.loads(self("inspect", name))[0]
        return record

    def exec(self, name: str, *command: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            ["docker", "-H", self._host, "exec", name, *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def remove(self, name: str) -> None:
        subprocess.run(["docker", "-H", self._host, "rm", "-f", name], capture_output=True, check=False)

    def close(self) -> None:
        for name in self._names:
            self.remove(name)
        self._daemon.close()


@pytest.fixture(scope="session")
def dockerd(busybox_tar: Path) -> Iterator[Docker]:
    """A dockerd of our own: vfs driver, no bridge, no iptables, the image `busybox-test:1.0`."""
    _need("dockerd", "docker", "containerd", "runc")
    daemon = _Daemon("etd")
    docker = Docker(daemon)
    folder = str(daemon.folder)
    daemon.start(
        *("dockerd", "--data-root", f"{folder}/data", "--exec-root", f"{folder}/exec"),
        *("--pidfile", f"{folder}/pid", "-H", f"unix://{folder}/sock", "--storage-driver", "vfs"),
        *("--iptables=false", "--ip6tables=false", "--ip-masq=false", "--bridge=none"),
        ready=docker.answers,
    )
    try:
        docker("import", str(busybox_tar), IMAGE)
        try:
            docker.run("ebpf-tui-probe")
        except RuntimeError as error:
            pytest.skip(f"docker cannot start containers here: {_first_line(error)}")
        docker.remove("ebpf-tui-probe")
        yield docker
    finally:
        docker.close()


class Containerd:
    """A containerd with its own root, state and socket, driven by ctr."""

    def __init__(self, daemon: _Daemon) -> None:
        self._daemon = daemon
        self._socket = str(daemon.folder / "sock")
        self._names: list[tuple[str, str]] = []

    def __call__(self, *arguments: str, namespace: str = "default") -> str:
        return _run("ctr", "-a", self._socket, "-n", namespace, *arguments).strip()

    def answers(self) -> bool:
        return (
            subprocess.run(
                ["ctr", "-a", self._socket, "version"], capture_output=True, check=False
            ).returncode
            == 0
        )

    def import_image(self, layer: Path) -> None:
        """Make IMAGE_OF_CTR of one layer: `ctr image import` takes what `docker save` writes."""
        digest = hashlib.sha256(layer.read_bytes()).hexdigest()
        rootfs = {"type": "layers", "diff_ids": [f"sha256:{digest}"]}
        config = {"architecture": "amd64", "os": "linux", "config": {}, "rootfs": rootfs}
        manifest = [{"Config": "config.json", "RepoTags": [IMAGE_OF_CTR], "Layers": ["layer.tar"]}]
        archive = self._daemon.folder / "image.tar"
        with tarfile.open(archive, "w") as tar:
            tar.add(layer, "layer.tar")
            for name, content in (("config.json", config), ("manifest.json", manifest)):
                text = json.dumps(content).encode()
                member = tarfile.TarInfo(name)
                member.size = len(text)
                tar.addfile(member, io.BytesIO(text))
        self("image", "import", "--snapshotter", "native", str(archive))

    def run_image(self, name: str, *options: str) -> RealContainer:
        return self._run(name, "default", "--snapshotter", "native", *options, IMAGE_OF_CTR, name)

    def run(
        self, name: str, rootfs: Path, namespace: str = "default", options: Sequence[str] = ()
    ) -> RealContainer:
        return self._run(name, namespace, *options, "--rootfs", str(rootfs), name)

    def _run(self, name: str, namespace: str, *what: str) -> RealContainer:
        self._names.append((name, namespace))
        self("run", "-d", *what, "/bin/sleep", "300", namespace=namespace)
        tasks = (line.split() for line in self("task", "ls", namespace=namespace).splitlines()[1:])
        return RealContainer(name, name, next(int(task[1]) for task in tasks if task[0] == name))

    def remove(self, name: str, namespace: str = "default") -> None:
        client = ["ctr", "-a", self._socket, "-n", namespace]
        for command in (["task", "rm", "-f", name], ["container", "rm", name]):
            subprocess.run([*client, *command], capture_output=True, check=False)

    def close(self) -> None:
        for name, namespace in self._names:
            self.remove(name, namespace)
        self._daemon.close()


@pytest.fixture(scope="session")
def containerd() -> Iterator[Containerd]:
    _need("containerd", "ctr", "runc")
    daemon = _Daemon("etc")
    folder = daemon.folder
    (folder / "config.toml").write_text(
        f'version = 2\nroot = "{folder}/root"\nstate = "{folder}/state"\n'
        'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n'
        f'[grpc]\naddress = "{folder}/sock"\n'
    )
    client = Containerd(daemon)
    command = ("containerd", "-c", f"{folder}/config.toml", "--root", f"{folder}/root")
    daemon.start(*command, ready=client.answers)
    try:
        yield client
    finally:
        client.close()


class Podman:
    """podman with storage of its own, over runc (crun refuses hybrid cgroup hosts)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._names: list[str] = []

    def __call__(self, *arguments: str) -> str:
        return _run(
            *("podman", "--root", f"{self.folder}/root", "--runroot", f"{self.folder}/run"),
            *("--tmpdir", f"{self.folder}/tmp", "--storage-driver", "vfs", "--runtime", "runc"),
            *("--cgroup-manager", "cgroupfs", "--events-backend", "file", *arguments),
        ).strip()

    def run(self, name: str, *options: str) -> RealContainer:
        self._names.append(name)
        limits = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024")
        container = self(
            "run", "-d", "--name", name, "--network", "none", *limits, *options, IMAGE, "sleep", "300"
        )
        return RealContainer(container, name, int(self.inspect(name)["State"]["Pid"]))

    def inspect(self, name: str) -> dict[str, Any]:
        record: dict[str, Any] = json.loads(self("inspect", name))[0]
        return record

    def close(self) -> None:
        for name in self._names:
            with contextlib.suppress(RuntimeError):
                self("rm", "-f", "-t", "0", name)
        with contextlib.suppress(RuntimeError):
            self("pod", "rm", "-f", "-a")
        shutil.rmtree(self.folder, ignore_errors=True)


@pytest.fixture(scope="session")
def podman(busybox_tar: Path) -> Iterator[Podman]:
    _need("podman", "runc", "conmon")
    client = Podman(Path(tempfile.mkdtemp(prefix="etp", dir="/tmp")))
    try:
        try:
            client("import", str(busybox_tar), IMAGE)
            client.run("ebpf-tui-probe")
        except RuntimeError as error:
            pytest.skip(f"podman cannot start containers here: {_first_line(error)}")
        yield client
    finally:
        client.close()
