"""Finds the container of a cgroup: id, runtime, name, image, pod."""

from core.containers.cgroup_file import (
    choose_cgroup,
    container_of_lines,
    container_of_process,
    parse_cgroup_file,
)
from core.containers.container_id import container_of_cgroup
from core.containers.names import ContainerNames

__all__ = [
    "ContainerNames",
    "choose_cgroup",
    "container_of_cgroup",
    "container_of_lines",
    "container_of_process",
    "parse_cgroup_file",
]
