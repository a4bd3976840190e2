"""/proc/PID/cgroup on v1, v2 and hybrid hosts: the lines, and the line that tells containers apart."""

from __future__ import annotations

import os
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.containers import choose_cgroup, container_of_lines, container_of_process, parse_cgroup_file
from core.system.host import LOCAL

B = "f0dcdc9c4a1e179084fff86098037e6486b864c6ad2e5afa74be5145280d833b"
A = "1b060cc81653a5c4a1d5bb6b1ea0e8b9f3b1d2c3e4f5061728394a5b6c7d8e9f"
TASK = "0c7d9b9350cd4c7e97ddbf5becfd6f22-3057940393"
FARGATE = f"/ecs/0c7d9b9350cd4c7e97ddbf5becfd6f22/{TASK}"

CHOICES = {
    "v2": ("0::/system.slice/ssh.service\n", "/system.slice/ssh.service"),
    "v1, the named hierarchy": (
        "3:memory:/user\n2:cpu,cpuacct:/\n1:name=systemd:/user.slice/session-1.scope\n",
        "/user.slice/session-1.scope",
    ),
    "hybrid, v2 where the named hierarchy is at its root": (
        "2:memory:/a\n1:name=systemd:/\n0::/b\n",
        "/b",
    ),
    "hybrid, all at the root; single controllers do not speak for the process": (
        "9:name=systemd:/\n4:memory:/process_api/2171aa41f9fb60f03ddef75ed6e1b25c\n0::/\n",
        "/",
    ),
    "the named hierarchy before v2, in any order of lines": ("0::/b\n1:name=systemd:/a\n", "/a"),
    "the same for containers": (
        f"3:cpu:/docker/{A}\n0::/docker/{A}\n1:name=systemd:/docker/{B}\n",
        f"/docker/{B}",
    ),
    "v1 without a named hierarchy": ("2:cpu:/\n1:memory:/jobs/7\n", "/jobs/7"),
    # bug 4: not the first line only
    "a container in one controller only": (f"2:memory:/docker/{A}\n1:name=systemd:/\n0::/\n", f"/docker/{A}"),
    "a container wins over a plain line that is asked before it": (
        f"1:name=systemd:/system.slice/docker.service\n0::/docker/{A}\n",
        f"/docker/{A}",
    ),
    "EKS on Fargate: v1 lines end at the container, v2 at the task": (
        f"12:pids:{FARGATE}/kubepods/pod1/{A}\n0::{FARGATE}\n",
        f"{FARGATE}/kubepods/pod1/{A}",
    ),
    # bug 4: a path may hold colons
    "colons": (f"0::/system.slice:docker:{A}\n", f"/system.slice:docker:{A}"),
    "malformed lines are left out": (
        f"\nx\n1:2\n::/a\nz:name=systemd:/b\n-1::/c\n{'9' * 5000}::/d\n0::relative\n0::/docker/{A}",
        f"/docker/{A}",
    ),
    "nothing": ("", ""),
    "no line at all": ("hello\nworld", ""),
}


@pytest.mark.parametrize(("text", "path"), CHOICES.values(), ids=CHOICES.keys())
def test_the_line_that_is_chosen(text: str, path: str) -> None:
    assert choose_cgroup(text.encode()) == path.encode()


def test_the_task_is_the_parent_of_a_fargate_container() -> None:
    text = f"12:pids:{FARGATE}/kubepods/pod1/{A}\n0::{FARGATE}\n"
    context = container_of_lines(parse_cgroup_file(text.encode()))
    assert (context.id, context.parent_id, context.runtime) == (A, TASK, "containerd")


def test_long_lines_and_bytes_that_are_no_utf8() -> None:
    data = b"1:name=systemd:/\xff\xfe" + b"a" * 65_536 + b"\n0::/docker/" + A.encode() + b"\n"
    lines = parse_cgroup_file(data)
    assert [len(line.path) for line in lines] == [65_539, 72]
    assert container_of_lines(lines).id == A


@given(st.binary(max_size=300) | st.text("0123456789:=/name\n\r", max_size=200).map(str.encode))
def test_any_text_gives_lines_that_are_in_it(data: bytes) -> None:
    for line in parse_cgroup_file(data):
        assert b":" + line.controllers + b":" + line.path in data
        assert line.path.startswith(b"/")
    assert choose_cgroup(data) in {b"", *(line.path for line in parse_cgroup_file(data))}


def test_this_process() -> None:
    context = container_of_process(LOCAL, os.getpid())
    with open("/proc/self/cgroup", "rb") as file:
        assert context.cgroup_path in [line.rstrip(b"\n").split(b":", 2)[2] for line in file]


def test_a_process_that_is_gone() -> None:
    child = subprocess.Popen(["true"])
    child.wait()
    with pytest.raises((FileNotFoundError, ProcessLookupError)):
        container_of_process(LOCAL, child.pid)
