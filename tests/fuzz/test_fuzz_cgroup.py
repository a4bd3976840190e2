"""/proc/PID/cgroup: its paths are named by whoever makes cgroups."""

from __future__ import annotations

from core.containers.cgroup_file import choose_cgroup, container_of_lines, parse_cgroup_file
from core.containers.container_id import LEVELS, container_of_cgroup
from tests.fuzz.harness import corpus, fuzz, mutator

TOKENS = b"/ :: \n docker- .scope crio-conmon- libpod- kubepods /pod .mount machine- \\x2d ../".split(b" ")


def _target(data: bytes) -> None:
    for container in (container_of_lines(parse_cgroup_file(data)), container_of_cgroup(choose_cgroup(data))):
        levels = list(container.levels())
        assert len(levels) <= LEVELS
        assert all((level.id or "").isprintable() for level in levels)
    container_of_cgroup(data)


def test_cgroup() -> None:
    fuzz(_target, corpus("cgroup"), name="cgroup", mutate=mutator(TOKENS))
