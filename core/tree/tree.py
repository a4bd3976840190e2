"""The tree of processes: put and drop processes, and request a window of rows. One thread owns it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import islice

from core.model.entities import ProcessKey
from core.model.view import Find, Grouping, ProcessView, RowKey, SearchMatches, SortKey, ViewRequest, Window
from core.system.users import Users
from core.tree.cpu_history import GROUPS
from core.tree.filter import Filter, FilterError, Subject, parse_filter
from core.tree.forest import Forest
from core.tree.node import HOST, Node, group_key
from core.tree.rows import FRESH_NS, group_text, process_text, rows_from
from core.tree.search import find


class Tree:
    """All processes shown, and the window of rows that a screen requests.

    Not thread-safe. Windows and rows are immutable, and a row that did not change is the same object in the
    next window.
    """

    def __init__(self, user_name: Callable[[int], str] | None = None) -> None:
        """`user_name` returns the name of a uid; by default this machine's users are looked up."""
        self._user_name = user_name or Users().name
        self._forest = Forest(Grouping.CONTAINERS, SortKey.TREE, False, frozenset())
        self._containers: Counter[str] = Counter()
        self._live = 0
        self._filter_text = ""
        self._filter: Filter | None = None
        self._problem = ""
        self._youngest_ns = 0

    def put(self, view: ProcessView) -> None:
        """Add a process, or replace its view."""
        entry = view.entry
        key = entry.key
        node = self._forest.nodes.get(key)
        old = None if node is None else node.view
        if old is None:
            if view.ended_ns is None:
                self._tally(view, 1)
        elif (old.ended_ns is None) != (view.ended_ns is None) or old.container is not view.container:
            self._tally(old, -1)
            self._tally(view, 1)
        if entry.start_ns > self._youngest_ns:  # noqa: PLR1730 - max() costs more
            self._youngest_ns = entry.start_ns
        self._forest.put(key, view, self._filter is None or self._matches(view, node))

    def drop(self, key: ProcessKey) -> None:
        """Remove a process; an unknown key is not an error."""
        node = self._forest.nodes.get(key)
        if node is not None and node.view is not None:
            if node.view.ended_ns is None:
                self._tally(node.view, -1)
            self._forest.drop(key, node)

    def users_changed(self) -> None:
        """Apply the filter again, because names of users have arrived."""
        if self._filter is not None:
            self._refilter(self._filter_text)

    def view(self, key: ProcessKey) -> ProcessView | None:
        """Return the latest view put for a process, None when the tree lacks it."""
        node = self._forest.nodes.get(key)
        return None if node is None else node.view

    def group(self, key: str) -> Node | None:
        """Return the node of a group as of the latest window, or None. It must be read at once."""
        return self._forest.groups.get(key)

    def group_cpu(self) -> dict[str, int]:
        """Return CPU by group in thousandths of a percent, as of the latest window; at most GROUPS groups."""
        groups = self._forest.groups
        return {key: groups[key].cpu for key in islice(groups, GROUPS)}

    def window(self, request: ViewRequest, now_ns: int) -> Window:
        """Return the requested rows. `now_ns` is the boot clock."""
        forest = self._arrange(request)
        total = forest.root.shown
        anchor_index = None if request.anchor is None else self._index_of(request.anchor)
        top = request.top if anchor_index is None else anchor_index - request.anchor_offset
        top = max(0, min(top, total - request.height))
        rows = rows_from(forest, top, now_ns, self._user_name)
        return Window(
            rows=tuple(row for _, row in zip(range(request.height), rows, strict=False)),
            top=top,
            total=total,
            anchor_index=anchor_index,
            processes=self._live,
            containers=len(self._containers),
            problem=self._problem,
            request=request,
            below=() if request.below is None else self._below(request.below),
            found=None if request.find is None else self._find(request.find),
        )

    def fresh_until(self) -> int:
        """Return the boot clock, in ns, from which no current row is marked as new."""
        return self._youngest_ns + FRESH_NS

    def _arrange(self, request: ViewRequest) -> Forest:
        """Apply grouping, filter, folds and order of `request`."""
        if request.grouping is not self._forest.grouping:
            before = self._forest
            views = [node.view for node in before.nodes.values() if node.view is not None]
            texts = {node.key: (node.text, node.text_of) for node in before.nodes.values()}
            self._forest = Forest(request.grouping, request.sort, request.reverse, request.folded)
            for view in views:
                node = self._forest.put(view.entry.key, view, False)
                node.text, node.text_of = texts[view.key]
            before.dissolve()
            self._refilter(request.filter)
        elif request.filter != self._filter_text:
            self._refilter(request.filter)
        forest = self._forest
        forest.fold(request.folded)
        forest.settle()
        forest.order(request.sort, request.reverse)
        return forest

    def _refilter(self, text: str) -> None:
        self._filter_text = text
        self._problem = ""
        try:
            self._filter = parse_filter(text)
        except FilterError as error:
            self._filter, self._problem = None, str(error)
        for node in self._forest.nodes.values():
            if node.view is not None:
                self._forest.set_match(node, self._matches(node.view, node))

    def _matches(self, view: ProcessView, node: Node | None) -> bool:
        return self._filter is None or self._filter(self._subject(view, node))

    def _subject(self, view: ProcessView, node: Node | None) -> Subject:

        def text() -> str:
            if node is None:
                return process_text(view.entry)
            if node.text_of is not view.entry:
                node.text, node.text_of = process_text(view.entry), view.entry
            return node.text

        return Subject(view, self._user_name(view.entry.credentials.euid), text)

    def _find(self, search: Find) -> SearchMatches:
        """Search groups by a part of their row's text, and processes by the filter language."""
        try:
            accepts = parse_filter(search.text)
        except FilterError as error:
            return SearchMatches(problem=str(error))
        if accepts is None:
            return SearchMatches()
        needle = search.text.strip().lower()

        def matches(node: Node) -> bool:
            if node.view is not None:
                return accepts(self._subject(node.view, node))
            return needle in group_text(node).lower()

        return find(self._forest, search, matches)

    def _index_of(self, key: RowKey) -> int | None:
        """Return the row index of a node, or of the outermost folded node that hides it."""
        node = self._forest.find(key)
        if node is None or not node.matched:
            return None
        path = []
        climbing: Node | None = node
        while climbing is not None and climbing.parent is not None:
            path.append(climbing)
            climbing = climbing.parent
        index = -1
        above = self._forest.root
        for step in reversed(path):
            index += 1
            for sibling in self._forest.siblings(above):
                if sibling is step:
                    break
                index += sibling.visible
            if step.folded:
                break
            above = step
        return index

    def _below(self, key: RowKey) -> tuple[RowKey, ...]:
        """Return the keys of all foldable nodes in this subtree; an empty key means the whole tree."""
        start = self._forest.root if key == "" else self._forest.find(key)
        todo = [] if start is None else [start]
        foldable: list[RowKey] = []
        while todo:
            node = todo.pop()
            if node.children:
                todo.extend(node.children)
                if node is not self._forest.root:
                    foldable.append(node.key)
        return tuple(foldable)

    def _tally(self, view: ProcessView, step: int) -> None:
        """Count live processes, and the containers with live processes, for the header."""
        if view.ended_ns is not None:
            return
        self._live += step
        if view.container is not None and (key := group_key(view.container)) != HOST:
            self._containers[key] += step
            if not self._containers[key]:
                del self._containers[key]
