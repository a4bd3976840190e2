"""One node of the forest, and the sums that it passes up to its parent."""

from __future__ import annotations

from itertools import islice
from typing import Any

import msgspec

from core.model.entities import ContainerContext
from core.model.view import ProcessView, Row, RowKey

HOST = "host"
"""Key of the group of processes outside any container."""

Rank = tuple[Any, ...]
"""The sort key of siblings."""


class Node(msgspec.Struct, eq=False):
    """A process, a group of processes (a container, a pod, the host), or the invisible root.

    `count`, `cpu`, `rss` and `matched` are settled sums over the subtree, the node included; the fields with
    `d_` are changes since then. `visible` is how many rows the subtree shows. `cpu` is in thousandths of a
    percent: integers accumulate no error over a million additions and subtractions. A Struct because every
    fork makes one.
    """

    key: RowKey
    view: ProcessView | None = None
    container: ContainerContext | None = None
    parent: Node | None = None
    children: list[Node] = []  # a Struct copies the default for each instance
    rank: Rank = ()
    folded: bool = False
    matches: bool = False
    count: int = 0
    cpu: int = 0
    rss: int = 0
    matched: int = 0
    shown: int = 0
    visible: int = 0
    d_count: int = 0
    d_cpu: int = 0
    d_rss: int = 0
    d_matched: int = 0
    d_shown: int = 0
    row: Row | None = None
    text: str = ""
    text_of: object = None


def group_key(container: ContainerContext | None) -> str:
    """Return the key of the group that a process in `container` belongs to.

    An id of 64 digits is the key itself. Other ids are names: a name could be `host`, or have 64 characters
    and the prefix of another key, so it gets a prefix of its own.
    """
    if container is None or not container.id:
        return HOST
    name = container.id
    return name if len(name) == 64 and ":" not in name else f"ctr:{name}"


def pod_key(container: ContainerContext) -> str | None:
    """Return the key of the pod of `container`, None when it has none."""
    if container.pod_uid:
        return f"pod:{container.pod_uid}"
    return f"pod:{container.namespace or ''}/{container.pod}" if container.pod else None


def level_above(key: str, container: ContainerContext | None) -> tuple[str, ContainerContext] | None:
    """Return the group around the group `key`, from the facts of a container in it.

    A container is in its pod, and a pod in the container that it runs in (Kubernetes in Docker); a container
    created inside a pod's container (Docker in Kubernetes) is in that container.
    """
    if container is None or not container.id:
        return None
    pod = pod_key(container)
    if pod is not None and pod != key and pod not in map(pod_key, islice(container.levels(), 1, None)):
        return pod, container
    return None if container.outer is None else (group_key(container.outer), container.outer)


def is_pod(key: RowKey) -> bool:
    return isinstance(key, str) and key.startswith("pod:")


def weight(view: ProcessView) -> tuple[int, int, int]:
    """Return the contribution of one process to the sums: count, thousandths of CPU percent, bytes."""
    if view.ended_ns is not None:
        return 0, 0, 0
    usage = view.usage
    if usage is None:
        return 1, 0, 0
    return 1, round((usage.cpu_percent or 0.0) * 1000), usage.rss_bytes


def hand_up(node: Node, parent: Node | None) -> None:
    """Add the changes of a node to its sums and pass them to its parent."""
    count, cpu, rss = node.d_count, node.d_cpu, node.d_rss
    node.d_count = node.d_cpu = node.d_rss = 0
    node.count += count
    node.cpu += cpu
    node.rss += rss
    if parent is not None:
        parent.d_count += count
        parent.d_cpu += cpu
        parent.d_rss += rss


def carry(parent: Node, child: Node, sign: int) -> None:
    """Add a child's settled sums to its parent's changes (`sign` 1), or subtract them (-1)."""
    parent.d_count += sign * child.count
    parent.d_cpu += sign * child.cpu
    parent.d_rss += sign * child.rss
    parent.d_matched += sign * child.matched
    parent.d_shown += sign * child.visible


def is_below(node: Node, ancestor: Node) -> bool:
    """Return whether `node` is `ancestor` or below it (reported parents may form a loop)."""
    climbing: Node | None = node
    while climbing is not None:
        if climbing is ancestor:
            return True
        climbing = climbing.parent
    return False
