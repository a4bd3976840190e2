"""The tree against a plain re-computation of what it should show, and the facts that people rely on."""

from __future__ import annotations

import gc
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.model.entities import ContainerContext, Origin, ProcessKey, Tier
from core.model.view import Grouping, ProcessView, Row, RowKey, SortKey, ViewRequest, Window
from core.tree.node import Node
from core.tree.tree import Tree
from tests.core.tree.trees import DB, IN_DB, IN_UNSEEN, SECOND, WEB, key, process, tree_of, window


def drawn(shown: Window) -> list[str]:
    return [f"{row.guides}{row.text}" for row in shown.rows]


def test_containers_stand_before_the_host_and_processes_below_their_parents() -> None:
    tree = tree_of(
        process(1),
        process(7, 1),
        process(20, 7, container=WEB),
        process(21, 20, container=WEB),
        process(22, 21, container=WEB),
        process(23, 20, container=WEB),
        process(30, 7, container=DB),
    )
    shown = window(tree)
    assert drawn(shown) == [
        "shop/db-0",
        "  bbbbbbbbbbbb",
        "/bin/p30",
        "web",
        "/bin/p20",
        "├─ /bin/p21",
        "│  └─ /bin/p22",
        "└─ /bin/p23",
        "host",
        "/bin/p1",
        "└─ /bin/p7",
    ]
    assert (shown.processes, shown.containers, shown.total) == (7, 2, 11)
    assert [row.detail for row in shown.rows[:2]] == ["pod · 1 container", "containerd"]
    assert shown.rows[3].detail == "docker · nginx:1.27 · aaaaaaaaaaaa"


def nested_host() -> Tree:
    return tree_of(
        process(1, cpu=1),
        process(30, 1, container=DB, cpu=2, rss=10),
        process(31, 30, container=DB, rss=1),
        process(40, 30, container=IN_DB, cpu=4, rss=100),
        process(50, 1, container=IN_UNSEEN, cpu=9),
    )


def test_pods_and_outer_containers_are_levels_with_sums_of_all_below() -> None:
    tree = nested_host()
    shown = window(tree)
    assert drawn(shown)[:9] == [
        "cccccccccccc",  # runs nothing itself: its node stands for what is in it
        "  job",
        "/bin/p50",
        "shop/db-0",
        "  bbbbbbbbbbbb",
        "/bin/p30",
        "└─ /bin/p31",
        "    inner",
        "/bin/p40",
    ]
    unseen, _, _, pod, db, *_ = shown.rows
    assert [row.kind for row in (unseen, pod, db)] == ["container", "pod", "container"]
    assert (pod.count, pod.cpu_percent, pod.rss_bytes, pod.start_ns) == (3, 6.0, 111, 30 * SECOND)
    assert (db.count, db.detail) == (3, "containerd · holds 1 container")
    assert (unseen.count, unseen.detail) == (1, "docker · holds 1 container")
    assert shown.containers == 3
    assert drawn(window(tree, folded=frozenset({POD})))[3:5] == ["shop/db-0", "host"]
    assert set(window(tree, below=POD).below) == {POD, DB.id, IN_DB.id, key(30)}
    assert window(tree, folded=frozenset({DB.id}), anchor=key(40)).anchor_index == 4
    by_cpu = drawn(window(tree, sort=SortKey.CPU, reverse=True))
    assert by_cpu.index("host") == len(by_cpu) - 3 + 1
    assert by_cpu.index("/bin/p30") < by_cpu.index("    inner")


def test_levels_go_with_the_last_process_in_them_and_come_when_they_are_known() -> None:
    tree = nested_host()
    tree.put(process(40, 30, container=IN_DB, ended_ns=1))
    inner = next(row for row in window(tree).rows if row.text == "inner")
    assert (inner.count, inner.ended) == (0, True)
    for pid in (50, 40, 30):
        tree.drop(key(pid))
    assert drawn(window(tree)) == ["shop/db-0", "  bbbbbbbbbbbb", "/bin/p31", "host", "/bin/p1"]
    tree.drop(key(31))
    tree.put(process(60, container=ContainerContext(id="d" * 64, runtime="docker")))
    assert drawn(window(tree)) == ["dddddddddddd", "/bin/p60", "host", "/bin/p1"]
    tree.put(process(60, container=IN_DB))
    assert drawn(window(tree))[:3] == ["shop/db-0", "  bbbbbbbbbbbb", "    inner"]


def test_two_processes_that_disagree_about_the_outer_container_make_no_loop() -> None:
    left, right = (ContainerContext(id=letter * 64, runtime="docker") for letter in "12")
    between = ContainerContext(id="3" * 64, runtime="docker", outer=left)
    tree = tree_of(
        process(1, container=ContainerContext(id="1" * 64, runtime="docker", outer=right)),
        process(2, container=ContainerContext(id="2" * 64, runtime="docker", outer=between)),
    )
    assert {row.pid for row in window(tree).rows} == {0, 1, 2}
    assert window(tree).total == 4
    for pid in (1, 2):
        tree.drop(key(pid))
    assert window(tree).total == 0


def test_a_chain_of_containers_without_end() -> None:
    """Whoever may make cgroups can say of ever more containers that they are in each other."""
    tree = Tree(str)
    before = None
    for pid in range(1, 3000):
        before = ContainerContext(id=f"{pid:064x}", runtime="docker", outer=before)
        tree.put(process(pid, container=before))
        before = ContainerContext(id=before.id, runtime="docker")
    shown = window(tree, height=10_000)
    assert (shown.total, shown.containers) == (5998, 2999)
    assert shown.rows[0].start_ns == 1 * SECOND


def test_a_paused_container_says_so_in_its_row_and_those_around_it_do_not() -> None:
    paused = ContainerContext(id="f" * 64, runtime="docker", name="build", outer=DB, paused=True)
    tree = tree_of(process(1), process(30, container=DB), process(40, container=paused))

    def details() -> dict[str, str]:
        return {row.text: row.detail for row in window(tree).rows if not row.pid}

    assert details()["build"] == "paused · docker · ffffffffffff"
    assert not any("paused" in text for name, text in details().items() if name != "build")
    tree.put(process(40, container=ContainerContext(id="f" * 64, runtime="docker", name="build", outer=DB)))
    assert details()["build"] == "docker · ffffffffffff"


def test_a_container_that_is_called_host_is_not_the_host() -> None:
    tree = tree_of(process(1), process(2, container=ContainerContext(id="host", runtime="lxc", name="host")))
    assert [(row.key, row.kind) for row in window(tree).rows if not row.pid] == [
        ("ctr:host", "container"),
        ("host", "host"),
    ]


def test_filters_know_the_outer_container_and_the_pod_by_name_and_uid() -> None:
    uid = "11111111-2222-3333-4444-555555555555"
    outer = ContainerContext(id="e" * 64, runtime="containerd", name="node", pod="ci-7", pod_uid=uid)
    inner = ContainerContext(id="f" * 64, runtime="docker", name="build", outer=outer)
    tree = tree_of(process(1), process(2, container=outer), process(3, container=inner))
    for text in ("ctr:node", "pod:ci-7", f"pod:{uid}", "ctr:eeee"):
        assert {row.pid for row in window(tree, filter=text).rows if row.pid} == {2, 3}, text
    assert {row.pid for row in window(tree, filter="ctr:build").rows if row.pid} == {3}
    assert {row.pid for row in window(tree, filter="!ctr:node").rows if row.pid} == {1}


def test_parents_view_is_one_forest_with_the_container_as_a_column() -> None:
    tree = tree_of(process(1), process(20, 1, container=WEB), process(21, 20, container=WEB), process(5))
    shown = window(tree, grouping=Grouping.PARENTS)
    assert drawn(shown) == ["/bin/p1", "└─ /bin/p20", "   └─ /bin/p21", "/bin/p5"]
    assert [row.container for row in shown.rows] == ["", "web", "web", ""]


def test_a_child_that_comes_before_its_parent_is_taken_in_by_it() -> None:
    tree = tree_of(process(9, 5), process(5, 1), process(1))
    assert drawn(window(tree)) == ["host", "/bin/p1", "└─ /bin/p5", "   └─ /bin/p9"]


def test_a_process_that_moves_into_a_container_takes_its_place_there_with_its_children() -> None:
    tree = tree_of(process(1), process(2, 1), process(3, 2, container=WEB))
    window(tree)
    tree.put(process(2, 1, container=WEB))
    assert drawn(window(tree)) == ["web", "/bin/p2", "└─ /bin/p3", "host", "/bin/p1"]
    tree.drop(key(3))
    tree.drop(key(2))
    assert drawn(window(tree)) == ["host", "/bin/p1"]


@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
def test_two_processes_that_claim_each_other_as_parent_are_both_shown(order: tuple[int, int]) -> None:
    other = {1: 2, 2: 1}
    tree = tree_of(*(process(pid, other[pid]) for pid in order), process(3, 3))
    assert {row.pid for row in window(tree).rows} == {0, 1, 2, 3}
    for pid in order:
        tree.drop(key(pid))
    assert {row.pid for row in window(tree).rows} == {0, 3}


def test_groups_and_folded_rows_show_sums() -> None:
    tree = tree_of(
        process(1, cpu=1.5, rss=100),
        process(2, 1, cpu=2.25, rss=50),
        process(3, 2, cpu=0.25, rss=7),
        process(4, 2, cpu=50, rss=1000, ended_ns=1),
    )
    host, one, *_ = window(tree).rows
    assert (host.count, host.cpu_percent, host.rss_bytes) == (3, 4.0, 157)
    assert (one.folded, one.count, one.cpu_percent, one.rss_bytes) == (False, 0, 1.5, 100)
    shown = window(tree, folded=frozenset({key(2)}))
    assert drawn(shown) == ["host", "/bin/p1", "└─ /bin/p2"]
    assert (shown.rows[2].folded, shown.rows[2].count, shown.rows[2].cpu_percent) == (True, 2, 2.5)
    assert [row.key for row in window(tree, folded=frozenset({"host"})).rows] == ["host"]


def test_the_whole_way_to_the_busiest_process_is_on_top_and_invert_keeps_the_host_last() -> None:
    tree = tree_of(
        process(1),
        process(2, 1, cpu=5),
        process(3, 1),
        process(4, 3, cpu=90),
        process(9, container=WEB, cpu=1),
    )
    assert drawn(window(tree, sort=SortKey.CPU))[3:] == [
        "/bin/p1",
        "├─ /bin/p3",
        "│  └─ /bin/p4",
        "└─ /bin/p2",
    ]
    tree.put(process(2, 1, cpu=100))
    assert drawn(window(tree, sort=SortKey.CPU))[4] == "├─ /bin/p2"
    inverted = drawn(window(tree, sort=SortKey.CPU, reverse=True))
    assert inverted == ["web", "/bin/p9", "host", "/bin/p1", "├─ /bin/p3", "│  └─ /bin/p4", "└─ /bin/p2"]


def test_a_filter_keeps_the_ancestors_of_its_matches_dimmed() -> None:
    tree = tree_of(process(1), process(2, 1), process(3, 2, args=(b"nginx",)), process(4, 1))
    shown = window(tree, filter="nginx")
    assert [(row.text, row.dim) for row in shown.rows] == [
        ("host", False),
        ("/bin/p1", True),
        ("/bin/p2", True),
        ("nginx", False),
    ]
    tree.put(process(4, 1, args=(b"nginx", b"-t")))
    assert window(tree, filter="nginx").total == 5
    assert window(tree, filter="nothing like it").total == 0


def test_a_bad_filter_is_told_and_shows_everything() -> None:
    tree = tree_of(process(1), process(2, 1))
    shown = window(tree, filter="src:kernel")
    assert shown.total == 3
    assert "cache, maps, procfs" in shown.problem
    assert window(tree, filter="").problem == ""


def test_the_anchor_stays_where_it_is_when_rows_come_above_it() -> None:
    tree = tree_of(*(process(pid) for pid in range(100, 200)))
    first = window(tree, top=50, height=10)
    anchor = first.rows[3].key
    for pid in range(50, 60):
        tree.put(process(pid))
    moved = window(tree, top=50, height=10, anchor=anchor, anchor_offset=3)
    assert moved.rows[3].key == anchor
    assert moved.top == 60
    assert isinstance(anchor, ProcessKey)
    tree.drop(anchor)
    gone = window(tree, top=60, height=10, anchor=anchor, anchor_offset=3)
    assert (gone.anchor_index, gone.top) == (None, 60)


def test_an_anchor_hidden_by_a_fold_is_where_the_folded_node_is() -> None:
    tree = tree_of(process(1), process(2, 1), process(3, 2), process(4))
    assert window(tree, folded=frozenset({key(1)}), anchor=key(3)).anchor_index == 1


def test_below_names_every_node_that_can_be_folded() -> None:
    tree = tree_of(process(1), process(2, 1), process(3, 2), process(4, container=WEB))
    assert set(window(tree, below="").below) == {"host", WEB.id, key(1), key(2)}
    assert set(window(tree, below=key(2)).below) == {key(2)}
    assert window(tree).below == ()


def test_texts_are_scrubbed_safe_and_as_ps_writes_them() -> None:
    tree = tree_of(
        process(2, kthread=True, comm=b"kworker/0:1"),
        process(3, args=(), comm=b"wiped"),
        process(4, args=(b"evil\x1b[2J", b"two\nlines", "\u202egnp".encode())),
        process(5, args=(b"mysql", b"--password=hunter2")),
        process(6, args=(b"x" * 3_000_000,)),
    )
    texts = [row.text for row in window(tree).rows[1:]]
    assert texts[:3] == ["[kworker/0:1]", "wiped", r"evil\x1b[2J two\x0alines \u202egnp"]
    assert "hunter2" not in texts[3]
    assert texts[3].startswith("mysql")
    assert len(texts[4]) == 1024


@pytest.mark.parametrize(
    ("source", "origin", "text"),
    [
        (Tier.CACHE, Origin.EVENT, "cache‹event"),
        (Tier.CACHE, Origin.PROCFS, "cache‹procfs"),
        (Tier.MAPS, Origin.SNAPSHOT, "maps"),
        (Tier.PROCFS, Origin.PROCFS, "procfs"),
        (None, Origin.EVENT, "–"),
    ],
)
def test_source_says_who_answered_and_how_the_entry_came_in(
    source: Tier | None, origin: Origin, text: str
) -> None:
    assert window(tree_of(process(1, source=source, origin=origin))).rows[1].source == text


def test_a_row_that_did_not_change_is_the_same_object() -> None:
    tree = tree_of(process(1), process(2, 1))
    before = window(tree).rows
    tree.put(process(2, 1, rss=5))
    after = window(tree).rows
    assert after[1] is before[1]
    assert after[2] is not before[2]


def test_a_new_process_is_fresh_for_three_seconds() -> None:
    tree = tree_of(process(5))
    assert tree.window(ViewRequest(), now_ns=6 * SECOND).rows[1].fresh
    assert not tree.window(ViewRequest(), now_ns=8 * SECOND).rows[1].fresh
    assert tree.fresh_until() == 8 * SECOND


def test_a_very_deep_chain_is_shown_and_its_guides_stay_short() -> None:
    depth = 3000
    tree = tree_of(*(process(pid, pid - 1 if pid > 1 else None) for pid in range(1, depth + 1)))
    shown = window(tree, top=depth - 5, height=6)
    assert shown.total == depth + 1
    assert shown.rows[-1].guides.startswith("⋯")
    assert len(shown.rows[-1].guides) < 70


# --- against a plain re-computation ---------------------------------------------------------------

CONTAINERS = [None, None, WEB, DB, IN_DB, IN_UNSEEN]
POD = "pod:shop/db-0"
LEVELS: dict[str | None, tuple[str, ...]] = {
    None: ("host",),
    WEB.id: ("a" * 64,),
    DB.id: (POD, "b" * 64),
    IN_DB.id: (POD, "b" * 64, "d" * 64),
    IN_UNSEEN.id: ("c" * 64, "ctr:job"),
}
NAMES = {"host": "~", "a" * 64: "web", POD: "shop/db-0", "d" * 64: "inner"}


def plain_rows(
    views: dict[int, ProcessView], folded: frozenset[RowKey], matching: set[int]
) -> list[tuple[RowKey, int, int]]:
    """(key, live processes, RSS) of the container view in birth order, computed the slow way."""
    in_order = sorted(views.values(), key=lambda one: one.entry.pid)
    rows: list[tuple[RowKey, int, int]] = []

    def levels(view: ProcessView) -> tuple[str, ...]:
        return LEVELS[view.container.id if view.container else None]

    def parent(view: ProcessView) -> ProcessView | None:
        found = views.get(view.parent.tgid) if view.parent else None
        return found if found and levels(found) == levels(view) else None

    def below(view: ProcessView) -> list[ProcessView]:
        inner = [child for child in in_order if parent(child) is view]
        return [view, *(deeper for child in inner for deeper in below(child))]

    def add(view: ProcessView) -> None:
        mine = below(view)
        if not any(one.entry.pid in matching for one in mine):
            return
        sums = mine if view.key in folded and len(mine) > 1 else [view]
        rss = sum(one.usage.rss_bytes for one in sums if one.usage)
        rows.append((view.key, len(sums) if len(sums) > 1 else 0, rss))
        if view.key not in folded:
            for child in in_order:
                if parent(child) is view:
                    add(child)

    def add_groups(above: tuple[str, ...]) -> None:
        depth = len(above)
        inside = [view for view in in_order if levels(view)[:depth] == above and len(levels(view)) > depth]
        for name in sorted({levels(view)[depth] for view in inside}, key=lambda key: NAMES.get(key, key)):
            members = [view for view in inside if levels(view)[depth] == name]
            if not any(view.entry.pid in matching for view in members):
                continue
            rows.append((name, len(members), sum(view.usage.rss_bytes for view in members if view.usage)))
            if name not in folded:
                for view in members:
                    if levels(view) == (*above, name) and parent(view) is None:
                        add(view)
                add_groups((*above, name))

    add_groups(())
    return rows


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_random_lives_give_the_rows_of_a_plain_recomputation(seed: int) -> None:
    rng = random.Random(seed)
    tree = Tree()
    views: dict[int, ProcessView] = {}
    for _ in range(60):
        pid = rng.randint(1, 25)
        if rng.random() < 0.25:
            tree.drop(key(pid))
            views.pop(pid, None)
        else:
            # A parent is always older: loops have their own test.
            parent = rng.randint(1, pid - 1) if pid > 1 and rng.random() < 0.8 else None
            name = rng.choice([b"red", b"blue"])
            view = process(pid, parent, container=rng.choice(CONTAINERS), rss=rng.randint(0, 9), args=(name,))
            tree.put(view)
            views[pid] = view
        if rng.random() < 0.5:
            continue
        groups: list[RowKey] = ["host", "a" * 64, POD, "b" * 64, "c" * 64]
        folded = frozenset(rng.sample([key(n) for n in range(1, 26)] + groups, rng.randint(0, 5)))
        wanted = rng.choice(["", "red"])
        matching = {pid for pid, view in views.items() if wanted.encode() in view.entry.cmdline}
        expected = plain_rows(views, folded, matching)
        height = rng.choice([3, 1000])
        shown = window(tree, folded=folded, filter=wanted, top=rng.randint(0, 10), height=height)
        assert shown.total == len(expected)
        got = [(row.key, row.count, row.rss_bytes) for row in shown.rows]
        if wanted:  # a folded row counts everything below it, whatever the filter hides
            got, expected = [g[:1] for g in got], [e[:1] for e in expected]  # type: ignore[misc]
        assert got == expected[shown.top : shown.top + height]
        for offset, row in enumerate(shown.rows):
            asked = window(tree, folded=folded, filter=wanted, anchor=row.key)
            assert asked.anchor_index == shown.top + offset


def test_the_nodes_of_the_other_grouping_are_freed() -> None:
    tree = Tree()
    for pid in range(1, 301):
        tree.put(process(pid, pid // 2 or None, container=(WEB, None, IN_DB)[pid % 3]))
    window(tree)
    gc.collect()
    before = sum(type(one) is Node for one in gc.get_objects())
    gc.disable()  # what is left is left by reference counting
    try:
        for grouping in (Grouping.PARENTS, Grouping.CONTAINERS) * 3:
            window(tree, grouping=grouping)
        assert sum(type(one) is Node for one in gc.get_objects()) - before < 20
    finally:
        gc.enable()


def test_switching_grouping_keeps_every_process() -> None:
    tree = tree_of(*(process(pid, pid // 2 or None, container=CONTAINERS[pid % 4]) for pid in range(1, 60)))
    for grouping in (Grouping.PARENTS, Grouping.CONTAINERS, Grouping.PARENTS):
        rows: tuple[Row, ...] = window(tree, grouping=grouping, filter="bin").rows
        assert {row.pid for row in rows if row.pid} == set(range(1, 60))
