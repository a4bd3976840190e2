"""Next and previous match in the whole tree."""

from __future__ import annotations

import pytest

from core.model.view import Find, RowKey, SearchMatches, SortKey
from core.tree.tree import Tree
from tests.core.tree.trees import DB, WEB, key, process, tree_of, window


@pytest.fixture
def tree() -> Tree:
    """web: 2 below 1; the pod: 4; the host: 3, with 5 and 6 below it."""
    return tree_of(
        process(1, container=WEB, args=(b"/bin/red",)),
        process(2, 1, container=WEB, args=(b"/bin/blue",)),
        process(3, args=(b"/bin/red",)),
        process(4, container=DB, args=(b"/bin/blue",)),
        process(5, 3, args=(b"/bin/blue",)),
        process(6, 3, args=(b"/bin/red",)),
    )


def find(
    tree: Tree, text: str, start: RowKey | None = None, step: int = 0, folded: frozenset[RowKey] = frozenset()
) -> SearchMatches:
    found = window(tree, find=Find(text, start, step), folded=folded).found
    assert found is not None
    return found


def test_the_matches_in_the_order_of_the_screen_round_and_round(tree: Tree) -> None:
    rows = [row.key for row in window(tree).rows if row.text == "/bin/blue"]
    assert len(rows) == 3
    for step, order in ((1, rows), (-1, rows[::-1])):
        at: RowKey | None = None
        for turn in range(7):
            found = find(tree, "blue", at, step)
            assert (found.key, found.total) == (order[turn % 3], 3)
            assert found.number == rows.index(found.key) + 1  # type: ignore[arg-type]
            at = found.key


def test_it_starts_from_any_row_and_stays_where_it_stands_when_that_matches(tree: Tree) -> None:
    assert find(tree, "blue", key(5)).key == key(5)
    assert find(tree, "blue", key(3)).key == key(5)
    assert find(tree, "red", key(5), 1).key == key(6)
    assert find(tree, "red", key(5), -1).key == key(3)
    assert find(tree, "red", key(99)).number == 1  # gone: from the beginning


def test_what_is_folded_away_is_found_and_it_says_where(tree: Tree) -> None:
    assert WEB.id is not None
    found = find(tree, "blue", key(3), folded=frozenset({"host", key(3), WEB.id}))
    assert found.key == key(5)
    assert found.hidden_by == {"host", key(3)}


def test_the_filter_language_and_the_words_of_groups(tree: Tree) -> None:
    assert find(tree, "pid:4").key == key(4)
    assert find(tree, "nginx:1.27").key == WEB.id
    assert find(tree, "shop/db-0").key == "pod:shop/db-0"
    assert find(tree, "containerd").key == DB.id
    assert find(tree, "host").key == "host"
    assert find(tree, "nothing") == SearchMatches()
    assert find(tree, " ") == SearchMatches()
    assert find(tree, "src:x").problem.startswith("src: needs one of")


def test_what_the_filter_hides_is_not_found_and_orders_hold(tree: Tree) -> None:
    shown = window(tree, filter="ctr:web", find=Find("blue", None, 1))
    assert shown.found is not None
    assert (shown.found.key, shown.found.total) == (key(2), 1)
    backwards = window(tree, sort=SortKey.PID, reverse=True, find=Find("blue", key(5), 1)).found
    assert backwards is not None
    assert backwards.total == 3
    assert window(tree).found is None
