"""The tree against a plain re-computation of what it should show, and the facts that people rely on."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.model import ContainerContext, Credentials, Origin, ProcessEntry, ProcessKey, Tier, Usage
from core.tree import Tree
from core.view import Grouping, ProcessView, Row, RowKey, SortKey, ViewRequest, Window

SECOND = 1_000_000_000
WEB = ContainerContext(id="a" * 64, runtime="docker", name="web", image="nginx:1.27")
DB = ContainerContext(id="b" * 64, runtime="containerd", namespace="shop", pod="db-0")


def process(
    pid: int,
    parent: int | None = None,
    *,
    container: ContainerContext | None = None,
    args: tuple[bytes, ...] | None = None,
    cpu: float = 0.0,
    rss: int = 0,
    state: str = "S",
    uid: int = 0,
    source: Tier | None = Tier.CACHE,
    origin: Origin = Origin.EVENT,
    ended_ns: int | None = None,
    kthread: bool = False,
    comm: bytes | None = None,
) -> ProcessView:
    cmdline = b"".join(arg + b"\0" for arg in args) if args is not None else b"/bin/p%d\0" % pid
    return ProcessView(
        entry=ProcessEntry(
            pid=pid,
            start_ns=pid * SECOND,
            ppid=parent or 0,
            comm=comm or b"p%d" % pid,
            cmdline=b"" if kthread else cmdline,
            credentials=Credentials(uid=uid, euid=uid),
            kthread=kthread,
        ),
        source=source,
        origin=origin,
        parent=None if parent is None else key(parent),
        container=container,
        usage=Usage(rss_bytes=rss, state=state, threads=1, cpu_percent=cpu),
        ended_ns=ended_ns,
    )


def key(pid: int) -> ProcessKey:
    return ProcessKey(pid, pid * SECOND)


def tree_of(*views: ProcessView) -> Tree:
    tree = Tree({0: "root", 33: "www-data"}.__getitem__)
    for view in views:
        tree.put(view)
    return tree


def window(tree: Tree, **request: object) -> Window:
    return tree.window(ViewRequest(**{"height": 1000, **request}), now_ns=10**15)  # type: ignore[arg-type]


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
        "bbbbbbbbbbbb",
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
    assert (shown.processes, shown.containers, shown.total) == (7, 2, 10)
    assert shown.rows[0].detail == "containerd · pod shop/db-0"
    assert shown.rows[2].detail == "docker · nginx:1.27 · aaaaaaaaaaaa"


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
    tree.drop(ProcessKey(*anchor))  # type: ignore[misc]
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

CONTAINERS = [None, None, WEB, DB]


def plain_rows(
    views: dict[int, ProcessView], folded: frozenset[RowKey], matching: set[int]
) -> list[tuple[RowKey, int, int]]:
    """(key, live processes, RSS) of the container view in birth order, computed the slow way."""

    def group(view: ProcessView) -> str:
        return view.container.id if view.container and view.container.id else "host"

    def parent(view: ProcessView) -> ProcessView | None:
        found = views.get(view.parent.tgid) if view.parent else None
        return found if found and group(found) == group(view) else None

    def below(view: ProcessView) -> list[ProcessView]:
        inner = [child for child in views.values() if parent(child) is view]
        return [view, *(deeper for child in inner for deeper in below(child))]

    rows: list[tuple[RowKey, int, int]] = []

    def add(view: ProcessView) -> None:
        mine = below(view)
        if not any(one.entry.pid in matching for one in mine):
            return
        sums = mine if view.key in folded and len(mine) > 1 else [view]
        rss = sum(one.usage.rss_bytes for one in sums if one.usage)
        rows.append((view.key, len(sums) if len(sums) > 1 else 0, rss))
        if view.key not in folded:
            for child in sorted(views.values(), key=lambda one: one.entry.pid):
                if parent(child) is view:
                    add(child)

    names = {"host": (1, ""), WEB.id: (0, "web"), DB.id: (0, DB.id)}
    for name in sorted({group(view) for view in views.values()}, key=names.__getitem__):
        members = [view for view in views.values() if group(view) == name]
        if not any(view.entry.pid in matching for view in members):
            continue
        rows.append((name, len(members), sum(view.usage.rss_bytes for view in members if view.usage)))
        if name not in folded:
            for view in sorted(members, key=lambda one: one.entry.pid):
                if parent(view) is None:
                    add(view)
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
        folded = frozenset(rng.sample([key(n) for n in range(1, 26)] + ["host", WEB.id], rng.randint(0, 5)))
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


def test_switching_grouping_keeps_every_process() -> None:
    tree = tree_of(*(process(pid, pid // 2 or None, container=CONTAINERS[pid % 4]) for pid in range(1, 60)))
    for grouping in (Grouping.PARENTS, Grouping.CONTAINERS, Grouping.PARENTS):
        rows: tuple[Row, ...] = window(tree, grouping=grouping, filter="bin").rows
        assert {row.pid for row in rows if row.pid} == set(range(1, 60))
