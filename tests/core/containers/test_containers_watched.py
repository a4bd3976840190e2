"""Real containers that come, change and go while a session and `watch --json` run."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from core.tree.node import group_key
from tests.containers_real import (
    IMAGE,
    Containerd,
    Docker,
    OciRuntime,
    unique,
    wait_until,
)
from tests.core.containers.watching import Rows, Watch

SHELL = ("sh", "-c", "sleep 300; true")  # a process with a child: `; true` keeps the shell from exec'ing


@pytest.fixture(scope="module")
def rows() -> Iterator[Rows]:
    made = Rows()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def watch(rows: Rows) -> Iterator[Watch]:
    made = Watch()
    yield made
    made.stop()


class Expected(NamedTuple):
    """What has to be told of a container's processes."""

    id: str
    runtime: str
    name: str
    image: str | None = None
    parent_id: str | None = None


def pids_in(cgroup: str) -> set[int]:
    """Return the processes of a cgroup of v2 and those below it, from the kernel's own lists."""
    mount = Path("/sys/fs/cgroup")
    if (mount / "unified").is_dir():
        mount /= "unified"
    found: set[int] = set()
    for file in (mount / cgroup.strip("/")).glob("**/cgroup.procs"):
        try:
            text = file.read_text()
        except OSError as error:
            if error.errno != errno.EOPNOTSUPP:
                raise
            # runc makes a cgroup threaded when the one above has processes; ours have one thread each
            text = file.with_name("cgroup.threads").read_text()
        found |= {int(pid) for pid in text.split()}
    return found


def cgroup_of(pid: int) -> str:
    """Return a process's cgroup in v2, whose line is the last one."""
    return Path(f"/proc/{pid}/cgroup").read_text().splitlines()[-1].split(":", 2)[2]


def everything_is_told(rows: Rows, cgroup: str, expected: Expected, count: int) -> set[int]:
    """Wait until the tree has the processes of a cgroup, each with the right container; return them."""
    wait_until(lambda: len(pids_in(cgroup)) == count, f"{count} processes in {cgroup}")
    truth = pids_in(cgroup)
    wait_until(lambda: rows.living(expected.id) == truth, f"{truth} in the tree")
    for pid in truth:
        told = rows.container(pid)
        assert told is not None
        assert (told.id, told.runtime, told.name, told.image, told.parent_id) == expected
        wait_until(
            lambda pid=pid: getattr(rows.row(pid), "container", "") == expected.name,  # type: ignore[misc]
            f"the row of {pid} in {expected.name}",
        )
    group = rows.row(group_key(rows.container(min(truth))))
    assert group is not None
    assert group.text == expected.name
    for word in (expected.runtime, expected.image or ""):
        assert word in group.detail
    return truth


def is_shown(rows: Rows, key: str, *, paused: bool) -> None:
    """Wait until a container's row says that it is paused, or does not say so any more."""

    def says() -> bool:
        row = rows.row(key)
        return row is not None and row.detail.startswith("paused") == paused

    wait_until(says, f"{'paused' if paused else 'running'} in the row of {key}", 30)


def is_gone(rows: Rows, expected: Expected) -> None:
    wait_until(lambda: not rows.living(expected.id), f"the end of {expected.name} in the tree")


def test_docker(dockerd: Docker, rows: Rows, watch: Watch) -> None:
    container = dockerd.run("ebpf-tui-watched", command=SHELL)
    expected = Expected(container.id, "docker", "ebpf-tui-watched", IMAGE)
    cgroup = cgroup_of(container.pid)
    first = everything_is_told(rows, cgroup, expected, 2)
    for pid in first:
        watch.wait(pid, "exec", container.id)

    session = dockerd.exec("ebpf-tui-watched", "sleep", "300")
    joined = everything_is_told(rows, cgroup, expected, 3) - first
    for pid in joined:
        watch.wait(pid, "exec", container.id)

    dockerd("pause", "ebpf-tui-watched")
    is_shown(rows, container.id, paused=True)
    assert everything_is_told(rows, cgroup, expected, 3) == first | joined
    assert dockerd.inspect("ebpf-tui-watched")["State"]["Status"] == "paused"
    dockerd("unpause", "ebpf-tui-watched")
    is_shown(rows, container.id, paused=False)

    dockerd("rename", "ebpf-tui-watched", "ebpf-tui-renamed")
    renamed = expected._replace(name="ebpf-tui-renamed")
    wait_until(lambda: rows.container(container.pid).name == "ebpf-tui-renamed", "the new name")  # type: ignore[union-attr]
    wait_until(lambda: getattr(rows.row(container.id), "text", "") == "ebpf-tui-renamed", "its row")
    assert everything_is_told(rows, cgroup, renamed, 3) == first | joined

    dockerd("kill", "ebpf-tui-renamed")
    is_gone(rows, renamed)
    for pid in first | joined:
        watch.wait(pid, "exit", container.id)
    session.wait(20)
    dockerd.remove("ebpf-tui-renamed")


def test_docker_stopped_and_started_again_is_the_same_container(
    dockerd: Docker, rows: Rows, watch: Watch
) -> None:
    container = dockerd.run("ebpf-tui-again")
    expected = Expected(container.id, "docker", "ebpf-tui-again", IMAGE)
    everything_is_told(rows, cgroup_of(container.pid), expected, 1)
    dockerd("kill", "ebpf-tui-again")
    is_gone(rows, expected)
    dockerd("start", "ebpf-tui-again")
    pid = int(dockerd.inspect("ebpf-tui-again")["State"]["Pid"])
    assert everything_is_told(rows, cgroup_of(pid), expected, 1) == {pid}
    watch.wait(pid, "exec", container.id)
    dockerd.remove("ebpf-tui-again")


def test_runc(runc: OciRuntime, rows: Rows, watch: Watch) -> None:
    """No id in its path: whose cgroup it is, runc writes down when its process is in it already."""
    name = unique("watched")
    container = runc.run(name, command=SHELL)
    expected = Expected(name, "unknown", name)
    cgroup = cgroup_of(container.pid)
    first = everything_is_told(rows, cgroup, expected, 2)
    for pid in first:
        watch.wait(pid, "exec", name)

    session = runc.exec(name, "sleep", "300")
    joined = everything_is_told(rows, cgroup, expected, 3) - first
    for pid in joined:
        watch.wait(pid, "exec", name)

    runc("pause", name)
    is_shown(rows, f"ctr:{name}", paused=True)
    assert everything_is_told(rows, cgroup, expected, 3) == first | joined
    assert runc.state(name)["status"] == "paused"
    truth = Path(f"/proc/{container.pid}/stat").read_text().rpartition(")")[2].split()[0]
    wait_until(lambda: getattr(rows.row(container.pid), "state", "") == truth, f"{truth} in its row", 30)
    runc("resume", name)
    is_shown(rows, f"ctr:{name}", paused=False)

    runc("kill", name, "KILL")
    is_gone(rows, expected)
    for pid in first | joined:
        watch.wait(pid, "exit", name)
    session.wait(20)
    runc.delete(name)


def test_a_name_of_runc_that_is_used_again(runc: OciRuntime, rows: Rows, watch: Watch) -> None:
    name = unique("twice")
    expected = Expected(name, "unknown", name)
    for _ in range(2):
        container = runc.run(name)
        everything_is_told(rows, cgroup_of(container.pid), expected, 1)
        watch.wait(container.pid, "exec", name)
        runc.delete(name)
        is_gone(rows, expected)


def test_ctr(containerd: Containerd, busybox_rootfs: Path, rows: Rows, watch: Watch) -> None:
    name = unique("ctr-watched")
    container = containerd.run(name, busybox_rootfs)
    expected = Expected(name, "containerd", name)
    everything_is_told(rows, cgroup_of(container.pid), expected, 1)
    watch.wait(container.pid, "exec", name)
    containerd.remove(name)
    is_gone(rows, expected)
    watch.wait(container.pid, "exit", name)


def test_one_name_in_two_namespaces_of_containerd(
    containerd: Containerd, busybox_rootfs: Path, rows: Rows
) -> None:
    name = unique("same")
    outer = containerd.run(name, busybox_rootfs)
    other = containerd.run(name, busybox_rootfs, namespace="jobs")
    everything_is_told(rows, cgroup_of(outer.pid), Expected(name, "containerd", name), 1)
    everything_is_told(rows, cgroup_of(other.pid), Expected(f"jobs/{name}", "containerd", name), 1)


def test_a_container_in_a_container(dockerd: Docker, runc: OciRuntime, rows: Rows, watch: Watch) -> None:
    """As docker in docker makes it: the inner one's cgroup is below the outer one's."""
    outer = dockerd.run("ebpf-tui-around")
    name = unique("within")
    inner = runc.run(name, f"{cgroup_of(outer.pid)}/{name}", command=SHELL)
    within = Expected(name, "unknown", name, parent_id=outer.id)
    told = everything_is_told(rows, cgroup_of(inner.pid), within, 2)
    for pid in told:
        watch.wait(pid, "exec", name)
    assert rows.living(outer.id) == {outer.pid}

    digits = os.urandom(32).hex()
    deep = runc.run(digits, f"{cgroup_of(inner.pid)}/docker/{digits}")
    wait_until(lambda: rows.says(deep.pid, digits), "the innermost container in the tree")
    told_deep = rows.container(deep.pid)
    assert told_deep is not None
    assert (told_deep.runtime, told_deep.parent_id) == ("docker", name)

    runc.delete(digits)
    runc.delete(name)
    is_gone(rows, within)
    wait_until(lambda: rows.living(outer.id) == {outer.pid}, "the outer container alone")
    dockerd.remove("ebpf-tui-around")


def test_a_container_that_is_frozen_by_the_other_cgroup_version_and_the_one_inside(
    dockerd: Docker, runc: OciRuntime, rows: Rows
) -> None:
    """Docker uses v1's freezer on a hybrid host; cgroup v2's freezes as well, and what is inside with it."""
    outer = dockerd.run("ebpf-tui-frozen")
    name = unique("chilled")
    runc.run(name, f"{cgroup_of(outer.pid)}/{name}")
    is_shown(rows, f"ctr:{name}", paused=False)
    mount = Path("/sys/fs/cgroup")
    freeze = (mount / "unified" if (mount / "unified").is_dir() else mount) / cgroup_of(outer.pid)[1:]
    freeze /= "cgroup.freeze"
    freeze.write_text("1")
    try:
        is_shown(rows, outer.id, paused=True)
        is_shown(rows, f"ctr:{name}", paused=True)
    finally:
        freeze.write_text("0")
    is_shown(rows, outer.id, paused=False)
    is_shown(rows, f"ctr:{name}", paused=False)
    runc.delete(name)
    dockerd.remove("ebpf-tui-frozen")


def test_a_container_that_is_made_anew_is_watched_anew(runc: OciRuntime, rows: Rows) -> None:
    name = unique("refrozen")
    for _ in range(2):
        runc.run(name)
        is_shown(rows, f"ctr:{name}", paused=False)
        runc("pause", name)
        is_shown(rows, f"ctr:{name}", paused=True)
        runc("resume", name)
        is_shown(rows, f"ctr:{name}", paused=False)
        runc.delete(name)
        is_gone(rows, Expected(name, "unknown", name))


def test_a_process_that_is_moved_moves_in_the_tree(runc: OciRuntime, rows: Rows, watch: Watch) -> None:
    """What `runc exec` does, with a process that has long been running: every hierarchy, then back."""
    name = unique("moved")
    container = runc.run(name)
    child = subprocess.Popen(["/bin/sleep", "300"])
    try:
        wait_until(lambda: rows.says(child.pid, None), "the process in the tree")
        _put(child.pid, container.pid)
        wait_until(lambda: rows.says(child.pid, name), "its move into the container")
        wait_until(lambda: getattr(rows.row(child.pid), "container", "") == name, "its row there")
        watch.wait(child.pid, "cgroup", name)
        _put(child.pid, os.getpid())
        wait_until(lambda: rows.says(child.pid, None), "its move back")
        watch.wait(child.pid, "cgroup", None)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()


def _put(pid: int, into: int) -> None:
    """Write a process into the cgroups that another one is in."""
    for line in Path(f"/proc/{into}/cgroup").read_text().splitlines():
        number, controllers, path = line.split(":", 2)
        mount = Path("/sys/fs/cgroup")
        if number != "0":
            mount /= controllers.removeprefix("name=")
        elif (mount / "unified").is_dir():
            mount /= "unified"
        (mount / path.lstrip("/") / "cgroup.procs").write_text(str(pid))
