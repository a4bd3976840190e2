"""Parses /proc/PID/task/TID/cgroup, and chooses the line that identifies the container.

A line is `hierarchy:controllers:path`. On cgroup v1 there is one for each hierarchy, among them a named
one (`name=systemd`); on v2 there is `0::path` alone; a hybrid host has both, and they may differ: a
runtime may have joined only some of them (EKS on Fargate: v1 lines end at the container, `0::` at the task).
"""

from __future__ import annotations

from typing import NamedTuple

from core.containers.container_id import container_of_cgroup
from core.model.entities import ContainerContext
from core.system.host import Host

_READ_LIMIT = 1 << 20


class CgroupLine(NamedTuple):
    """One hierarchy: its number (0 is cgroup v2), its controllers or `name=…`, the path in it."""

    hierarchy: int
    controllers: bytes
    path: bytes


def parse_cgroup_file(data: bytes) -> tuple[CgroupLine, ...]:
    """Return the lines of a cgroup file; invalid lines are left out. Never raises.

    Only the first two colons are separators: a path may contain more. It contains no newline (the kernel
    refuses to create such a cgroup).
    """
    lines = []
    for raw in data.split(b"\n"):
        fields = raw.strip(b"\r").split(b":", 2)
        # isdigit alone would pass text of any length to int().
        if len(fields) == 3 and fields[0].isdigit() and len(fields[0]) < 10 and fields[2].startswith(b"/"):
            lines.append(CgroupLine(int(fields[0]), fields[1], fields[2]))
    return tuple(lines)


def chosen_line(lines: tuple[CgroupLine, ...]) -> CgroupLine | None:
    """Return the line that identifies the container, None without lines. Every tier uses this function.

    Named hierarchies go before v2, v2 before controllers. The first line with a container wins, unless
    another one names a container inside it; without a container it is the first line that is not the root.
    A controller's line is searched for containers, but otherwise used only if there is no other line:
    resource managers move processes in single v1 controllers (the Datadog Agent's reason for this order).
    """
    ordered = sorted(lines, key=_rank)
    chosen: CgroupLine | None = None
    container: str | None = None
    for line in ordered:
        context = container_of_cgroup(line.path)
        if context.id and (chosen is None or context.parent_id == container):
            chosen, container = line, context.id
    if chosen is not None:
        return chosen
    main = [line for line in ordered if _rank(line)[0] < _CONTROLLERS] or ordered
    return next((line for line in main if line.path != b"/"), main[0] if main else None)


def container_of_lines(lines: tuple[CgroupLine, ...]) -> ContainerContext:
    """Return the container of a process from its lines; its `cgroup_path` is the path of `chosen_line`."""
    line = chosen_line(lines)
    return ContainerContext() if line is None else container_of_cgroup(line.path)


def choose_cgroup(data: bytes) -> bytes:
    """Return the path that identifies the container in the text of a cgroup file, b"" if it has no line."""
    line = chosen_line(parse_cgroup_file(data))
    return b"" if line is None else line.path


_NAMED, _V2, _CONTROLLERS = range(3)


def _rank(line: CgroupLine) -> tuple[int, int]:
    """Return the sort key of a line. Hierarchies descend, as in /proc; the kernel's records have no order."""
    if line.controllers.startswith(b"name="):
        return _NAMED, -line.hierarchy
    return _CONTROLLERS if line.controllers else _V2, -line.hierarchy


def read_cgroup_file(host: Host, pid: int) -> bytes:
    """Return the cgroup text of the process's first thread, at most 1 MiB of it.

    Raises OSError (ProcessLookupError or FileNotFoundError when there is no such process).
    """
    with open(host.proc / str(pid) / "task" / str(pid) / "cgroup", "rb", buffering=0) as file:
        chunks = []
        left = _READ_LIMIT
        while left and (chunk := file.read(left)):
            chunks.append(chunk)
            left -= len(chunk)
    return b"".join(chunks)


def container_of_process(host: Host, pid: int) -> ContainerContext:
    """Return the container of a process from its cgroup file.

    `cgroup_path` is the path of the chosen line. Raises OSError, see `read_cgroup_file`.
    """
    return container_of_lines(parse_cgroup_file(read_cgroup_file(host, pid)))
