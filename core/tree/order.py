"""The order of siblings."""

from __future__ import annotations

from typing import Any

from core.model.view import SortKey
from core.tree.node import HOST, Node, Rank, is_pod

MOVING = frozenset({SortKey.CPU, SortKey.MEMORY})
"""Orders that depend on the sums of subtrees, which change all the time."""


_PROCESS, _GROUP, _HOST = range(3)


def rank_of(node: Node, sort: SortKey, reverse: bool) -> Rank:
    """Return the sort key of `node`; unique among siblings.

    CPU and memory order by the sum of the subtree, so that the path to the busiest process is always at the
    top. In a container its own processes come before nested containers, and the host's group is last, even
    in reverse order.
    """
    view = node.view
    if view is not None:
        if sort is SortKey.TREE:
            return (_PROCESS, view.entry.start_ns, view.entry.pid)
        return (_PROCESS, _lead(node, sort), view.entry.start_ns, view.entry.pid)
    place = _HOST if node.key == HOST else _GROUP
    lead = _lead(node, sort) if sort in MOVING else 0
    return (-place if reverse else place, lead, _name(node), node.key)


def _name(node: Node) -> str:
    container = node.container
    if container is None:
        return ""
    if is_pod(node.key):
        return f"{container.namespace or ''}/{container.pod}" if container.pod else str(node.key)
    return container.name or str(node.key)


def _lead(node: Node, sort: SortKey) -> Any:
    if sort is SortKey.CPU:
        return -node.cpu
    if sort is SortKey.MEMORY:
        return -node.rss
    if node.view is None or sort is SortKey.TREE:
        return 0
    if sort is SortKey.AGE:
        return -node.view.entry.start_ns
    if sort is SortKey.PID:
        return node.view.entry.pid
    return node.view.entry.comm.lower()
