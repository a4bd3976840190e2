"""An agent of our own on the host: its object, and a process that has loaded it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from core.bpf import syscall

HERE = Path(__file__).parent
ROOT = HERE.parents[2]


@dataclass
class RunningAgent:
    """A process that has loaded agent.bpf.o: ids of its objects by name, and its descriptors."""

    pid: int
    maps: dict[str, int]
    programs: dict[str, int]
    links: dict[str, int]
    fds: dict[str, dict[str, int]]


@pytest.fixture(scope="session")
def agent_object(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled("agent", tmp_path_factory.mktemp("agent"))


def compiled(name: str, directory: Path) -> Path:
    """Compile NAME.bpf.c of this directory."""
    clang = shutil.which("clang")
    if clang is None:
        pytest.skip("no clang")
    target = directory / f"{name}.bpf.o"
    include = f"-I/usr/include/{os.uname().machine}-linux-gnu"
    command = [clang, "-target", "bpf", "-mcpu=v3", "-g", "-O2", include, "-c", HERE / f"{name}.bpf.c"]
    subprocess.run([*command, "-o", target], check=True)
    return target


@pytest.fixture(scope="module")
def agent(agent_object: Path) -> Iterator[RunningAgent]:
    """The agent in a process of its own. `skipped: why` where it cannot be loaded."""
    if os.geteuid() != 0:
        pytest.skip("loading eBPF needs root")
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.core.bpf.agent", agent_object],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert child.stdout is not None
        line = child.stdout.readline()
        if not line:
            pytest.skip(f"the agent cannot be loaded here: {child.communicate()[1][-300:]}")
        fds = json.loads(line)
        yield RunningAgent(
            child.pid,
            {name: id_of(child.pid, fd, b"map_id") for name, fd in fds["maps"].items()},
            {name: id_of(child.pid, fd, b"prog_id") for name, fd in fds["programs"].items()},
            {name: id_of(child.pid, fd, b"link_id") for name, fd in fds["links"].items()},
            fds,
        )
    finally:
        child.communicate()


def id_of(pid: int, fd: int, field: bytes) -> int:
    """The id of what a process has open, from its fdinfo: the outside truth."""
    lines = Path(f"/proc/{pid}/fdinfo/{fd}").read_bytes().splitlines()
    (value,) = [line.split(b":\t")[1] for line in lines if line.startswith(field + b":")]
    return int(value)


def bpftool(*arguments: str) -> object:
    """What bpftool says, as JSON. `skipped: why` without one."""
    tool = shutil.which("bpftool")
    if tool is None:
        pytest.skip("no bpftool")
    ran = subprocess.run([tool, "-j", *arguments], capture_output=True, check=False, timeout=60)
    return json.loads(ran.stdout)


def needs_ids() -> None:
    try:
        list(syscall.ids("program"))
    except PermissionError:
        pytest.skip("listing ids needs CAP_SYS_ADMIN")
