"""The explain pane: what it says of containers, pods and the host, at every size, also from a recording."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from textual.pilot import Pilot

from core.model.entities import ContainerContext, LadderStep, ProcessEntry, Tiers, TierState, Usage
from core.model.events import Sample, SnapshotRecord
from core.model.view import RowKey
from core.session.session import open_replay
from core.sources.feed import HostFacts
from core.sources.recording.file import FORMAT, Head, Named, Snapshot, Sweep, Writer
from core.tree.cpu_history import GROUPS, CpuHistory
from tests.tui.fixture_engine import (
    CI_JOB,
    LOOSE_JOB,
    NAMELESS,
    NOW,
    POD_UID,
    SECOND,
    WEB,
    FixtureEngine,
    nested_host,
    process,
    small_host,
)
from tests.tui.harness import engine, lines, opened, press, settle, text, tree, words
from tui.app import EbpfApp
from tui.settings import Settings
from tui.widgets.explain_pane import ExplainPane
from tui.widgets.lines import width_of, wrap

ESCAPES = "\x1b]0;owned\x07\x1b[2J\x1b[31m"
HOSTILE = f"{ESCAPES}[bold]x[/]\u202e"


async def explain_group(pilot: Pilot[None], key: RowKey) -> str:
    """Put the cursor on a group and open the pane; return what is on the screen as words."""
    view = tree(pilot)
    for index in range(view.row_count):
        row = view.row_at(index)
        if row is not None and row.key == key:
            view.move_to(index)
            await settle(pilot)
            if not pilot.app.screen.query_one(ExplainPane).is_open:
                await press(pilot, "enter")
            return words(pilot)
    raise AssertionError(f"no group {key}")


async def test_a_container_is_explained() -> None:
    labelled = msgspec.structs.replace(
        WEB,
        labels=(("app", "shop"), ("com.example.team", "web")),
        source="/var/lib/docker/containers/1b06/config.v2.json",
    )
    views = [
        msgspec.structs.replace(view, container=labelled) if view.container is WEB else view
        for view in small_host()
    ]
    async with opened(FixtureEngine(views), size=(100, 44)) as pilot:
        shown = await explain_group(pilot, str(WEB.id))
        assert "─ explain container web ─" in shown
        assert f"id {WEB.id}" in shown
        assert "runtime docker image nginx:1.27 known by its runtime's own state;" in shown
        assert "the other facts from /var/lib/docker/containers/1b06/config.v2.json" in shown
        assert "cgroup /docker/1b06" in shown
        assert "state running processes 3 memory 44M, shared pages" in shown
        assert "oldest 2d pid 4121 nginx: master process" in shown
        assert "cpu 6.0 % " in shown
        assert "labels app=shop com.example.team=web" in shown
        assert "no entry for pid" not in shown


async def test_a_container_that_is_paused_or_has_ended_says_so() -> None:
    paused = msgspec.structs.replace(WEB, paused=True)
    host = FixtureEngine([process(1, 0, "/x", container=paused), process(2, 0, "/y")])
    async with opened(host) as pilot:
        assert "state paused: its cgroup or a parent cgroup is frozen" in await explain_group(
            pilot, str(WEB.id)
        )
        host.put(process(1, 0, "/x", container=WEB))
        assert "state running" in await explain_group(pilot, str(WEB.id))
        host.put(process(1, 0, "/x", container=WEB, ended=True))
        shown = await explain_group(pilot, str(WEB.id))
        assert "state all its processes have ended processes 0" in shown
        assert "state" not in (await explain_group(pilot, "host")).split("─ explain host ─")[1]


async def test_why_a_name_is_not_known() -> None:
    unread = msgspec.structs.replace(NAMELESS, reason="/run/x: permission denied")
    async with opened(FixtureEngine([process(1, 0, "/x", container=unread)])) as pilot:
        shown = await explain_group(pilot, str(NAMELESS.id))
        assert "─ explain container c0ffee123456 ─" in shown
        assert "name not known: /run/x: permission denied" in shown
        assert "image not known" in shown


async def test_pods_nested_containers_and_the_host() -> None:
    async with opened(FixtureEngine(nested_host()), size=(120, 34)) as pilot:
        shown = await explain_group(pilot, f"pod:{POD_UID}")
        assert "─ explain pod shop/orders-6c9d ─" in shown
        assert f"uid {POD_UID}" in shown
        assert "containers metrics registry.local/statsd:2" in shown
        assert "orders registry.local/orders:4.2" in shown
        shown = await explain_group(pilot, str(CI_JOB.id))
        assert "nested inside ci-runner" in shown
        assert "processes 2" in shown
        shown = await explain_group(pilot, "ctr:job-7")
        assert LOOSE_JOB.outer is not None
        assert f"nested inside {LOOSE_JOB.outer.short_id}" in shown
        shown = await explain_group(pilot, "host")
        assert "─ explain host ─" in shown
        assert "processes outside any container" in shown


async def test_the_cpu_line_shows_the_last_minutes() -> None:
    async with opened(size=(80, 30)) as pilot:
        engine(pilot).cpu_history = (None, None, *[0.0] * 50, 3.0, 6.0, 12.0, 0.0, 1.5, 6.0, 12.0, 6.0)
        shown = await explain_group(pilot, str(WEB.id))
        assert "cpu 6.0 % now, peak 12.0 % in the last 3m" in shown
        assert f"··{'▁' * 50}▃▅█▁▂▅█▅" in text(pilot)


def test_the_history_is_by_group_bounded_and_tells_what_nobody_saw() -> None:
    history = CpuHistory()
    for second in range(0, 4000, 2):
        seen = {f"c{number}": 1000 * number for number in range(3)} if second % 4 == 0 else {"c0": 1}
        history.add(second * SECOND, seen)
    assert len(history._moments) == 180
    assert history.series("c2", 3998 * SECOND, 3) == (2.0, 2.0, 2.0)
    assert history.series("gone", 3998 * SECOND, 3) == (None, None, None)
    assert history.series("c2", 3996 * SECOND + 60 * SECOND, 3) == (2.0, 2.0, None)
    assert history.series("c2", 3600 * SECOND, 2) == (None, None)  # before what is kept


def test_only_so_many_groups_are_kept() -> None:
    containers = [ContainerContext(id=f"{n:064x}", runtime="docker") for n in range(GROUPS + 10)]
    views = [process(10 + n, 0, "/x", container=container) for n, container in enumerate(containers)]
    host = FixtureEngine(views)
    host.start()
    host.publish()
    assert len(host._tree.group_cpu()) == GROUPS


async def test_a_recording_is_explained_and_its_texts_steer_nothing(tmp_path: Path) -> None:
    path = tmp_path / "evil.rec"
    state = TierState(True)
    writer = Writer(path)
    writer.write(
        Head(
            FORMAT, NOW, HostFacts("vm", "6.1", "amd64"), Tiers(state, state, state, LadderStep.PROCFS), True
        )
    )
    evil = ContainerContext(
        id="e" * 64,
        runtime=HOSTILE,
        image=HOSTILE,
        pod=HOSTILE,
        namespace=HOSTILE,
        reason=HOSTILE,
        labels=((HOSTILE, HOSTILE), ("team", HOSTILE)),
        source=HOSTILE,
        cgroup_path=b"/docker/" + HOSTILE.encode(),
    )
    raw = HOSTILE.encode()
    entry = ProcessEntry(
        70,
        NOW - 7 * SECOND,
        comm=raw,
        exe=raw,
        cmdline=raw + b"\0",
        cgroup=b"/x",
        script=raw,
        tty=raw,
        problem=HOSTILE,
    )
    writer.write(Named(NOW, b"/x", evil))
    writer.write(Snapshot(NOW, [SnapshotRecord(entry, Usage(rss_bytes=4096, state="S"))]))
    sample = Sample(70, NOW - 7 * SECOND, 0, 0, raw, 0, False, Usage(rss_bytes=4096, state="S"))
    for second in range(20):
        writer.write(Sweep(NOW + second * SECOND, [sample]))
    writer.close()
    app = EbpfApp(open_replay(path), Settings(read_only=True))
    async with app.run_test(size=(100, 50)) as pilot:
        await until(pilot, lambda: "[bold]" in text(pilot))
        await press(pilot, "down", "enter")
        await until(pilot, lambda: "\\x1b]0;owned" in text(pilot) and "labels" in text(pilot))
        shown = text(pilot)
        assert "─ explain container eeeeeeeeeeee ─" in shown
        assert all(line.isprintable() for line in lines(pilot))
        assert "team=\\x1b]0;owned" in shown
        told = app.frame.explanation if app.frame is not None else None
        assert told is not None
        assert all(part.isprintable() for line in (*told.story, *told.facts) for part in line)
        await press(pilot, "down")
        await until(pilot, lambda: "─ explain 70 ─" in text(pilot) and "lineage" in text(pilot))
        assert all(line.isprintable() for line in lines(pilot))
        assert "a recording has no /proc to compare with" in text(pilot)
        assert "forked " in text(pilot)


async def until(pilot: Pilot[None], wanted: Callable[[], bool]) -> None:
    """Wait until the screen shows what is wanted."""
    deadline = time.monotonic() + 30
    while not wanted():
        assert time.monotonic() < deadline, text(pilot)
        await pilot.pause(0.02)


@pytest.mark.parametrize("size", [(20, 5), (60, 20), (80, 24), (120, 34), (200, 50)])
async def test_every_group_is_drawn_at_every_size(size: tuple[int, int]) -> None:
    async with opened(FixtureEngine(nested_host()), size=size) as pilot:
        await press(pilot, "enter")
        for _ in range(tree(pilot).row_count):
            await press(pilot, "down", "shift+down")
            assert all(width_of(line) == size[0] for line in lines(pilot))


@pytest.mark.parametrize(
    ("value", "width", "expected"),
    [
        ("", 5, [""]),
        ("ab cd ef", 5, ["ab cd", "ef"]),
        ("abcdefghij k", 4, ["abcd", "efgh", "ij k"]),
        ("名前名前", 4, ["名前", "名前"]),
        ("a b c d e f g", 1, ["a", "b", "…"]),
    ],
)
def test_texts_are_wrapped_at_blanks(value: str, width: int, expected: list[str]) -> None:
    assert wrap(value, width, 3) == expected
