"""The forest behind the rows: parents and children, their order, and the sums of subtrees.

A put or drop only links nodes and notes what changed. `settle` then propagates all changes upwards at once,
visiting each node once, so a window costs the changed nodes and their ancestors, not the whole host.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from operator import attrgetter

from core.model.entities import ContainerContext, ProcessKey
from core.model.view import Grouping, ProcessView, RowKey, SortKey
from core.tree.node import Node, Rank, carry, group_key, hand_up, is_below, is_pod, level_above, weight
from core.tree.order import MOVING, rank_of

_rank = attrgetter("rank")


class Forest:
    """All nodes in one grouping and one order.

    In `CONTAINERS` a process is below its parent when both are in the same container, else at the top of its
    group. Groups form levels: a container is below its pod or the container around it, even if those have no
    processes of their own. In `PARENTS` a process is below its parent, else at the top.
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
        self._ranks_move = sort in MOVING
        self._emptied: list[Node] = []
        """Groups that lost a child while another node was being placed."""

    def find(self, key: RowKey) -> Node | None:
        """Return the node of a process or group, None when there is none."""
        return self.groups.get(key) if isinstance(key, str) else self.nodes.get(key)

    def put(self, key: ProcessKey, view: ProcessView, matches: bool) -> Node:
        """Add a process or replace its view. `key` is the view's own."""
        node = self.nodes.get(key)
        if node is None or node.view is None:
            return self._add(key, view, matches)
        old, node.view = node.view, view
        self._changed[node] = None
        if old.usage is not view.usage or (old.ended_ns is None) != (view.ended_ns is None):
            _weigh_again(node, old, view)
        if matches != node.matches:
            self.set_match(node, matches)
        if old.parent != view.parent or (
            old.container is not view.container and old.container != view.container
        ):
            self._move(key, node, old, view)
        elif self.sort is SortKey.NAME:
            self._rerank(node)
        return node

    def _add(self, key: ProcessKey, view: ProcessView, matches: bool) -> Node:
        node = self.nodes[key] = Node(key, view)
        if self.folded and key in self.folded:
            node.folded = True
        if view.ended_ns is None:
            node.d_count, node.d_cpu, node.d_rss = weight(view)
        if matches:
            node.matches = True
            node.d_matched = 1
        if view.parent is not None:
            children = self._children_of.get(view.parent)
            if children is None:
                children = self._children_of[view.parent] = {}
            children[key] = None
        self._attach(node)
        if key in self._children_of:
            self._adopt(key)
        return node

    def drop(self, key: ProcessKey, node: Node) -> None:
        """Remove a process. Its children go to the top of their groups until they are put again."""
        del self.nodes[key]
        self._detach(node)
        self._changed.pop(node, None)
        if node.view is not None and node.view.parent is not None:
            self._disown(node.view.parent, key)
        if node.children:
            for child in tuple(node.children):
                self._detach(child)
                self._attach(child)

    def set_match(self, node: Node, matches: bool) -> None:
        """Set whether a process passes the filter."""
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
        self._ranks_move = sort in MOVING
        nodes = [*self.nodes.values(), *self.groups.values()]
        for node in nodes:
            node.rank = self._rank_of(node)
        for node in (*nodes, self.root):
            node.children.sort(key=_rank)

    def dissolve(self) -> None:
        """Unlink all nodes: they reference each other, and only the garbage collector would free them."""
        for node in (*self.nodes.values(), *self.groups.values(), self.root):
            node.parent = None
            node.children.clear()

    def settle(self) -> bool:
        """Propagate all changes up to the root; return whether there were any."""
        if not self._changed:
            return False
        waiting: dict[Node, int] = {}
        for node in self._changed:
            climbing: Node | None = node
            if not node.children:  # most are leaves, which wait for no other node
                self._settle_node(node)
                climbing = node.parent
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
        """Yield the children of `node` in screen order."""
        return reversed(node.children) if self.reverse else iter(node.children)

    def _settle_node(self, node: Node) -> None:
        """Add the changes of a node to its sums and pass them up. Often there are none: ended ones add 0."""
        parent = node.parent
        if node.d_count or node.d_cpu or node.d_rss:
            hand_up(node, parent)
        if node.d_matched:
            node.matched += node.d_matched
            if parent is not None:
                parent.d_matched += node.d_matched
            node.d_matched = 0
        if node.d_shown:
            node.shown += node.d_shown
            node.d_shown = 0
        if parent is None:
            return
        visible = (1 if node.folded else 1 + node.shown) if node.matched else 0
        if visible != node.visible:
            parent.d_shown += visible - node.visible
            node.visible = visible
        if self._ranks_move or node.view is None:
            rank = self._rank_of(node)
            if rank != node.rank:
                del parent.children[bisect_left(parent.children, node.rank, key=_rank)]
                node.rank = rank
                insort(parent.children, node, key=_rank)

    def _move(self, key: ProcessKey, node: Node, old: ProcessView, new: ProcessView) -> None:
        if old.parent != new.parent:
            if old.parent is not None:
                self._disown(old.parent, key)
            if new.parent is not None:
                self._children_of.setdefault(new.parent, {})[key] = None
        self._detach(node)
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
        """Attach the children that were put before their parent."""
        for child in tuple(self._children_of.get(key, ())):
            node = self.nodes.get(child)
            if node is not None:
                self._detach(node)
                self._attach(node)

    def _place(self, node: Node) -> Node:
        """Return the node that `node` belongs below."""
        view = node.view
        assert view is not None
        above = None if view.parent is None else self.nodes.get(view.parent)
        if (
            above is not None
            and above is not node
            and above.view is not None
            and (above.view.container is view.container or self._same_group(above.view, view))
            and not (node.children and is_below(above, node))
        ):
            return above
        if self.grouping is Grouping.PARENTS:
            return self.root
        return self._group(group_key(view.container), view.container)

    def _same_group(self, parent: ProcessView, view: ProcessView) -> bool:
        return self.grouping is Grouping.PARENTS or group_key(parent.container) == group_key(view.container)

    def _group(self, key: str, container: ContainerContext | None) -> Node:
        """Return the node of a group, made with the levels above it when it is new."""
        group = self.groups.get(key)
        if group is None:
            group = self.groups[key] = Node(key, container=container)
            group.folded = key in self.folded
            above = self._above(group)
            # The group above may just have been placed inside this one: then neither contains the other.
            self._hang(group, self.root if is_below(above, group) else above)
        elif container is not group.container and container is not None and container != group.container:
            self._learn(group, container)
        return group

    def _above(self, group: Node) -> Node:
        level = level_above(str(group.key), group.container)
        return self.root if level is None else self._group(*level)

    def _learn(self, group: Node, container: ContainerContext) -> None:
        """Update the facts of a group. A name or level that is known once is kept."""
        if _name(group, group.container) and not _name(group, container):
            return
        group.container = container  # settle sorts it among its siblings
        self._changed[group] = None
        above, before = self._above(group), group.parent
        if above is self.root or above is before or before is None:
            return
        if is_below(above, group):  # two processes disagree about which container contains the other
            self._emptied.append(above)
            return
        self._unhook(group)
        self._hang(group, above)
        self._emptied.append(before)

    def _hang(self, node: Node, parent: Node) -> None:
        rank = node.rank = rank_of(node, self.sort, self.reverse)
        node.parent = parent
        siblings = parent.children
        if not siblings or siblings[-1].rank < rank:  # the youngest, in birth order
            siblings.append(node)
        else:
            insort(siblings, node, key=_rank)
        if node.count or node.matched:  # a new node has no settled sums yet
            carry(parent, node, 1)
        self._changed[node] = self._changed[parent] = None

    def _attach(self, node: Node) -> None:
        self._hang(node, self._place(node))
        while self._emptied:  # only now: the placed node might have gone below one of them
            self._prune(self._emptied.pop())

    def _detach(self, node: Node) -> None:
        parent = node.parent
        if parent is not None:
            self._unhook(node)
            if parent.view is None:
                self._prune(parent)

    def _unhook(self, node: Node) -> None:
        parent = node.parent
        assert parent is not None
        siblings = parent.children
        # A removed node is mostly the oldest of the history, or the only child.
        del siblings[0 if siblings[0] is node else bisect_left(siblings, node.rank, key=_rank)]
        if node.count or node.matched:
            carry(parent, node, -1)
        node.parent = None
        self._changed[parent] = None

    def _prune(self, group: Node) -> None:
        """Remove an empty group, and the groups above it that contained only this one."""
        while not group.children and group.view is None and group.parent is not None:
            above = group.parent
            self._unhook(group)
            # Its unsettled changes are only the removal of its last process.
            self._changed.pop(group, None)
            del self.groups[str(group.key)]
            group = above

    def _rank_of(self, node: Node) -> Rank:
        return rank_of(node, self.sort, self.reverse)


def _weigh_again(node: Node, old: ProcessView, new: ProcessView) -> None:
    """Note the change of a process's own contribution to the sums."""
    count, cpu, rss = weight(new)
    was_count, was_cpu, was_rss = weight(old)
    node.d_count += count - was_count
    node.d_cpu += cpu - was_cpu
    node.d_rss += rss - was_rss


def _name(group: Node, container: ContainerContext | None) -> str | None:
    return None if container is None else container.pod if is_pod(group.key) else container.name
