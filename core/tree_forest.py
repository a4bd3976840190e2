"""The forest behind the rows: who stands below whom, in which order, and what a subtree sums up to.

A put or a drop only links nodes and notes what changed; `settle` then carries all changes up at once,
each node touched once, so that a window costs the changed nodes and their ancestors, not the host.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from operator import attrgetter
from typing import Any

from core.model import ContainerContext, ProcessKey
from core.view import Grouping, ProcessView, Row, RowKey, SortKey

HOST = "host"
"""Key of the group that holds what runs in no container."""

_rank = attrgetter("rank")

Rank = tuple[Any, ...]


class Node:
    """A process, a group of processes, or the invisible root.

    `count`, `cpu`, `rss` and `matched` are settled sums over the subtree, the node included; the
    fields with `d_` are what has come in since. `visible` is how many rows the subtree shows.
    `cpu` is in thousandths of a percent: whole numbers do not drift when they are added and taken
    away a million times.
    """

    __slots__ = (
        "children",
        "container",
        "count",
        "cpu",
        "d_count",
        "d_cpu",
        "d_matched",
        "d_rss",
        "d_shown",
        "folded",
        "key",
        "matched",
        "matches",
        "parent",
        "rank",
        "row",
        "rss",
        "shown",
        "text",
        "text_of",
        "view",
        "visible",
    )

    def __init__(
        self, key: RowKey, view: ProcessView | None = None, container: ContainerContext | None = None
    ) -> None:
        self.key = key
        self.view = view
        self.container = container
        self.parent: Node | None = None
        self.children: list[Node] = []
        self.rank: Rank = ()
        self.folded = False
        self.matches = False
        self.count = self.cpu = self.rss = self.matched = self.shown = self.visible = 0
        self.d_count = self.d_cpu = self.d_rss = self.d_matched = self.d_shown = 0
        self.row: Row | None = None
        self.text = ""
        self.text_of: object = None


class Forest:
    """All nodes in one grouping and one order.

    In `CONTAINERS` a process stands below its parent when both are in the same container, else at
    the top of its group. In `PARENTS` it stands below its parent, else at the top.
    """

    def __init__(self, grouping: Grouping, sort: SortKey, reverse: bool, folded: frozenset[RowKey]) -> None:
        self.grouping = grouping
        self.sort = sort
        self.reverse = reverse
        self.folded = folded
        self.root = Node("")
        self.groups: dict[str, Node] = {}
        self.nodes: dict[ProcessKey, Node] = {}
        self._children_of: dict[ProcessKey, dict[ProcessKey, None]] = {}
        self._changed: dict[Node, None] = {}
        self._ranks_move = sort in (SortKey.CPU, SortKey.MEMORY)

    def find(self, key: RowKey) -> Node | None:
        """Return the node of a process or group, None when it is not there."""
        return self.groups.get(key) if isinstance(key, str) else self.nodes.get(key)

    def put(self, view: ProcessView, matches: bool) -> Node:
        """Add a process or replace what is known of it."""
        key = view.key
        node = self.nodes.get(key)
        old = None
        if node is None:
            node = self.nodes[key] = Node(key)
            node.folded = key in self.folded
        else:
            old = node.view
        self._weigh(node, old, view)
        node.view = view
        self.set_match(node, matches)
        if old is None:
            node.rank = self._rank_of(node)
            if view.parent is not None:
                self._children_of.setdefault(view.parent, {})[key] = None
            self._attach(node)
            self._adopt(key)
        else:
            self._move(node, old, view)
        return node

    def drop(self, key: ProcessKey) -> None:
        """Forget a process. Its children go to the top of their groups until they are put again."""
        node = self.nodes.pop(key, None)
        if node is None or node.view is None:
            return
        self._detach(node)
        self._changed.pop(node, None)
        if node.view.parent is not None:
            self._disown(node.view.parent, key)
        for child in tuple(node.children):
            self._detach(child)
            self._attach(child)

    def set_match(self, node: Node, matches: bool) -> None:
        """Say whether the filter takes this process."""
        if matches != node.matches:
            node.matches = matches
            node.d_matched += 1 if matches else -1
            self._changed[node] = None

    def fold(self, folded: frozenset[RowKey]) -> None:
        """Fold exactly these nodes."""
        if folded is self.folded:
            return
        for key in folded ^ self.folded:
            node = self.find(key)
            if node is not None:
                node.folded = key in folded
                self._changed[node] = None
        self.folded = folded

    def order(self, sort: SortKey, reverse: bool) -> None:
        """Sort siblings differently. `settle` first: the order may depend on the sums."""
        if (sort, reverse) == (self.sort, self.reverse):
            return
        self.sort, self.reverse = sort, reverse
        self._ranks_move = sort in (SortKey.CPU, SortKey.MEMORY)
        everyone = [*self.nodes.values(), *self.groups.values()]
        for node in everyone:
            node.rank = self._rank_of(node)
        for node in (*everyone, self.root):
            node.children.sort(key=_rank)

    def settle(self) -> bool:
        """Carry what changed up to the root; return whether anything had."""
        if not self._changed:
            return False
        waiting: dict[Node, int] = {}
        for node in self._changed:
            climbing: Node | None = node
            step = 0
            while climbing is not None:
                if climbing in waiting:
                    waiting[climbing] += step
                    break
                waiting[climbing] = step
                step = 1
                climbing = climbing.parent
        self._changed.clear()
        ready = [node for node, children in waiting.items() if not children]
        while ready:
            node = ready.pop()
            self._settle_node(node)
            parent = node.parent
            if parent is not None:
                waiting[parent] -= 1
                if not waiting[parent]:
                    ready.append(parent)
        return True

    def siblings(self, node: Node) -> Iterator[Node]:
        """Yield the children of `node` in the order of the screen."""
        return reversed(node.children) if self.reverse else iter(node.children)

    def _settle_node(self, node: Node) -> None:
        count, cpu, rss, matched = node.d_count, node.d_cpu, node.d_rss, node.d_matched
        node.count += count
        node.cpu += cpu
        node.rss += rss
        node.matched += matched
        node.shown += node.d_shown
        node.d_count = node.d_cpu = node.d_rss = node.d_matched = node.d_shown = 0
        before = node.visible
        node.visible = (1 if node.folded else 1 + node.shown) if node.matched else 0
        parent = node.parent
        if parent is None:
            return
        parent.d_count += count
        parent.d_cpu += cpu
        parent.d_rss += rss
        parent.d_matched += matched
        parent.d_shown += node.visible - before
        if self._ranks_move or node.view is None:
            rank = self._rank_of(node)
            if rank != node.rank:
                del parent.children[bisect_left(parent.children, node.rank, key=_rank)]
                node.rank = rank
                insort(parent.children, node, key=_rank)

    def _weigh(self, node: Node, old: ProcessView | None, new: ProcessView) -> None:
        """Note by how much the process itself weighs more or less than before."""
        count, cpu, rss = _weight(new)
        if old is not None:
            was_count, was_cpu, was_rss = _weight(old)
            count, cpu, rss = count - was_count, cpu - was_cpu, rss - was_rss
        node.d_count += count
        node.d_cpu += cpu
        node.d_rss += rss
        self._changed[node] = None

    def _move(self, node: Node, old: ProcessView, new: ProcessView) -> None:
        key = new.key
        if old.parent != new.parent:
            if old.parent is not None:
                self._disown(old.parent, key)
            if new.parent is not None:
                self._children_of.setdefault(new.parent, {})[key] = None
        elif old.container == new.container:
            if self.sort is SortKey.NAME:
                self._rerank(node)
            return
        self._detach(node)
        node.rank = self._rank_of(node)
        self._attach(node)
        if self.grouping is Grouping.CONTAINERS and old.container != new.container:
            for child in tuple(node.children):
                self._detach(child)
                self._attach(child)
            self._adopt(key)

    def _rerank(self, node: Node) -> None:
        rank = self._rank_of(node)
        parent = node.parent
        if rank != node.rank and parent is not None:
            del parent.children[bisect_left(parent.children, node.rank, key=_rank)]
            node.rank = rank
            insort(parent.children, node, key=_rank)

    def _disown(self, parent: ProcessKey, child: ProcessKey) -> None:
        children = self._children_of.get(parent)
        if children is not None:
            children.pop(child, None)
            if not children:
                del self._children_of[parent]

    def _adopt(self, key: ProcessKey) -> None:
        """Take in the children that came before their parent did."""
        for child in tuple(self._children_of.get(key, ())):
            node = self.nodes.get(child)
            if node is not None:
                self._detach(node)
                self._attach(node)

    def _place(self, node: Node) -> Node:
        """Return the node that `node` belongs below."""
        view = node.view
        assert view is not None
        parent = self.nodes.get(view.parent) if view.parent is not None else None
        if parent is not None and (
            not self._same_group(parent, view) or (node.children and _is_below(parent, node))
        ):
            parent = None
        if parent is not None and parent is not node:
            return parent
        return self._group(view.container) if self.grouping is Grouping.CONTAINERS else self.root

    def _same_group(self, parent: Node, view: ProcessView) -> bool:
        if self.grouping is Grouping.PARENTS:
            return True
        assert parent.view is not None
        return group_key(parent.view.container) == group_key(view.container)

    def _group(self, container: ContainerContext | None) -> Node:
        key = group_key(container)
        group = self.groups.get(key)
        if group is None:
            group = self.groups[key] = Node(key, container=container)
            group.folded = key in self.folded
            group.rank = self._rank_of(group)
            group.parent = self.root
            insort(self.root.children, group, key=_rank)
            self._changed[group] = None
        elif container is not None and container.name and container != group.container:
            group.container = container  # its name became known; settle moves it to its place
            self._changed[group] = None
        return group

    def _attach(self, node: Node) -> None:
        parent = self._place(node)
        node.parent = parent
        insort(parent.children, node, key=_rank)
        _carry(parent, node, 1)
        self._changed[node] = self._changed[parent] = None

    def _detach(self, node: Node) -> None:
        parent = node.parent
        if parent is None:
            return
        del parent.children[bisect_left(parent.children, node.rank, key=_rank)]
        _carry(parent, node, -1)
        node.parent = None
        self._changed[parent] = None
        if parent.parent is self.root and parent.view is None and not parent.children:
            self._remove_group(parent)

    def _remove_group(self, group: Node) -> None:
        del self.root.children[bisect_left(self.root.children, group.rank, key=_rank)]
        _carry(self.root, group, -1)
        # What the group has not settled yet is the farewell of its last process.
        self._changed.pop(group, None)
        self._changed[self.root] = None
        group.parent = None
        del self.groups[str(group.key)]

    def _rank_of(self, node: Node) -> Rank:
        """Return what `node` is sorted by; unique among siblings.

        CPU and memory order by the sum of the subtree, so that the way to the busiest process is
        always at the top, whoever its parents are.
        """
        lead = self._lead(node)
        if node.view is not None:
            return (lead, node.view.entry.start_ns, node.view.entry.pid)
        is_host = node.key == HOST
        last = not is_host if self.reverse else is_host
        name = (node.container.name if node.container is not None else None) or str(node.key)
        return (last, lead if self._ranks_move else 0, name, node.key)

    def _lead(self, node: Node) -> Any:
        sort = self.sort
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


def group_key(container: ContainerContext | None) -> str:
    """Return the key of the group that a process in `container` belongs to."""
    return container.id if container is not None and container.id else HOST


def _weight(view: ProcessView) -> tuple[int, int, int]:
    """Return what one process adds to the sums: count, thousandths of CPU percent, bytes."""
    if view.ended_ns is not None:
        return 0, 0, 0
    usage = view.usage
    if usage is None:
        return 1, 0, 0
    return 1, round((usage.cpu_percent or 0.0) * 1000), usage.rss_bytes


def _carry(parent: Node, child: Node, sign: int) -> None:
    """Add a child's settled sums to its parent's notes, or take them away."""
    parent.d_count += sign * child.count
    parent.d_cpu += sign * child.cpu
    parent.d_rss += sign * child.rss
    parent.d_matched += sign * child.matched
    parent.d_shown += sign * child.visible


def _is_below(node: Node, ancestor: Node) -> bool:
    """Return whether `node` is `ancestor` or stands below it (a loop in what we were told)."""
    climbing: Node | None = node
    while climbing is not None:
        if climbing is ancestor:
            return True
        climbing = climbing.parent
    return False
