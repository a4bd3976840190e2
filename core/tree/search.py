"""Searches the tree, folded nodes included."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from core.model.view import Find, RowKey, SearchMatches
from core.tree.forest import Forest
from core.tree.node import Node


def find(forest: Forest, search: Find, matches: Callable[[Node], bool]) -> SearchMatches:
    """Search a settled forest for the nodes that `matches` accepts."""
    start = forest.find(search.start) if search.start is not None else None
    hits: list[Node] = []
    before = 0
    for node in _matching_nodes(forest):
        if node is start:
            before = len(hits)
        if matches(node):
            hits.append(node)
    if not hits:
        return SearchMatches()
    at_start = before < len(hits) and hits[before] is start
    index = (before + (search.step if search.step < 0 or at_start else 0)) % len(hits)
    return SearchMatches(hits[index].key, index + 1, len(hits), _hidden_by(hits[index]))


def _matching_nodes(forest: Forest) -> Iterator[Node]:
    """Yield all nodes that pass the filter, in screen order, folded ones included."""
    levels = [forest.siblings(forest.root)]
    while levels:
        node = next(levels[-1], None)
        if node is None:
            levels.pop()
        elif node.matched:
            yield node
            levels.append(forest.siblings(node))


def _hidden_by(node: Node) -> frozenset[RowKey]:
    folded = []
    above = node.parent
    while above is not None:
        if above.folded:
            folded.append(above.key)
        above = above.parent
    return frozenset(folded)
