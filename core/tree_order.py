"""The order of siblings."""

from __future__ import annotations

from typing import Any

from core.tree_node import HOST, Node, Rank
from core.view import SortKey

MOVING = frozenset({SortKey.CPU, SortKey.MEMORY})
"""Orders that depend on the sums of subtrees, and so change all the time."""


def rank_of(node: Node, sort: SortKey, reverse: bool) -> Rank:
    """Return what `node` is sorted by; unique among siblings.

    CPU and memory order by the sum of the subtree, so that the way to the busiest process is
    always at the top, whoever its parents are. The host's group is last, also when all is reversed.
    """
    lead = _lead(node, sort)
    if node.view is not None:
        return (lead, node.view.entry.start_ns, node.view.entry.pid)
    is_host = node.key == HOST
    last = not is_host if reverse else is_host
    name = (node.container.name if node.container is not None else None) or str(node.key)
    return (last, lead if sort in MOVING else 0, name, node.key)


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
