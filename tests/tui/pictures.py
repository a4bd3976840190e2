"""The pictures: which there are, and how the app is brought there. Used by the snapshot tests and by
tools/screenshots.py, so that what is tested is what is shown."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import fixture_object
from fixture_build import board, failed, findings, half_way
from fixture_engine import (
    ALL_ON,
    NO_PROBE,
    NOW,
    SECOND,
    FixtureEngine,
    labelled_host,
    nested_host,
    process,
    small_host,
)
from harness import go_to, not_opened, press, processes, settle
from textual.pilot import Pilot

from core.model import Tiers
from core.view import ProcessView
from tui.app import EbpfApp
from tui.config import Config
from tui.screens import object_views as views
from tui.screens.build import BuildScreen
from tui.screens.build_board import Board
from tui.screens.headers import HeadersScreen
from tui.screens.objects import ObjectsScreen
from tui.settings import Settings

Prepare = Callable[[Pilot[None]], Awaitable[None]]


@dataclass(frozen=True)
class Picture:
    """One state of the app. `own_data`: nothing in it depends on the machine it is made on."""

    prepare: Prepare
    tiers: Tiers = ALL_ON
    own_data: bool = True
    config: Config = field(default_factory=Config)
    host: Callable[[], list[ProcessView]] = small_host

    def app(self) -> EbpfApp:
        engine = FixtureEngine(self.host(), tiers=self.tiers)
        engine.stats = (("hits cache", 0), ("hits maps", 0), ("hits procfs", 0), ("miss", 0))
        return EbpfApp(engine, Settings(allow_signals=True), self.config, not_opened)


async def tree(pilot: Pilot[None]) -> None:
    await settle(pilot)
    await go_to(pilot, 4122)


async def pods(pilot: Pilot[None]) -> None:
    await settle(pilot)
    await go_to(pilot, 7052)


async def explain(pilot: Pilot[None]) -> None:
    await tree(pilot)
    await press(pilot, "enter")


async def explain_container(pilot: Pilot[None]) -> None:
    await tree(pilot)
    app = pilot.app
    assert isinstance(app, EbpfApp)
    assert isinstance(app.engine, FixtureEngine)
    app.engine.cpu_history = (*[None] * 12, *(1 + step * step % 23 / 4 for step in range(48)))
    await press(pilot, "up", "up", "enter")


async def parents(pilot: Pilot[None]) -> None:
    await tree(pilot)
    await press(pilot, "t", "P")


async def filtered(pilot: Pilot[None]) -> None:
    await settle(pilot)
    await press(pilot, "slash")
    processes(pilot).filter_line.input.value = "user:deploy !vim"
    await settle(pilot)


async def search(pilot: Pilot[None]) -> None:
    await tree(pilot)
    await press(pilot, "ctrl+f", *"worker")


async def folded(pilot: Pilot[None]) -> None:
    await tree(pilot)
    await press(pilot, "asterisk")


async def help_screen(pilot: Pilot[None]) -> None:
    await press(pilot, "question_mark")


async def signal_menu(pilot: Pilot[None]) -> None:
    await tree(pilot)
    await press(pilot, "v", "v", "f9", "down")


async def column_menu(pilot: Pilot[None]) -> None:
    await tree(pilot)
    await press(pilot, "C", "down", "down", "space", "down", "space", "down", "space")


async def sort_menu(pilot: Pilot[None]) -> None:
    await tree(pilot)
    await press(pilot, "s", "down")


async def _build(pilot: Pilot[None], then: Callable[[Board], None], cursor: int) -> None:
    await press(pilot, "2")
    screen = pilot.app.screen
    assert isinstance(screen, BuildScreen)
    await pilot.app.workers.wait_for_complete()
    await settle(pilot)
    made = board()
    then(made)
    screen.post_message(BuildScreen.Read(made))
    await settle(pilot)
    await press(pilot, *["down"] * cursor)
    screen.progress.show(made, building=then is half_way)
    await settle(pilot)


async def build(pilot: Pilot[None]) -> None:
    await _build(pilot, half_way, 1)


async def build_failed(pilot: Pilot[None]) -> None:
    await _build(pilot, failed, 2)


async def build_watched(pilot: Pilot[None]) -> None:
    """What `w` shows, without watching anything: a made-up project's files are not there."""
    await _build(pilot, half_way, 0)
    screen = pilot.app.screen
    assert isinstance(screen, BuildScreen)
    assert screen.board is not None
    screen.progress.show(screen.board, building=True, watching="watching 37 files")
    await settle(pilot)


async def headers(pilot: Pilot[None]) -> None:
    await press(pilot, "3")
    await pilot.app.workers.wait_for_complete()
    await settle(pilot)
    screen = pilot.app.screen
    assert isinstance(screen, HeadersScreen)
    screen._arch = findings().arch
    screen.post_message(HeadersScreen.Found(findings()))
    await settle(pilot)


async def objects(pilot: Pilot[None]) -> None:
    await press(pilot, "4")
    await pilot.app.workers.wait_for_complete()
    await settle(pilot)
    await pilot.app.workers.wait_for_complete()
    await settle(pilot)


async def objects_tree(pilot: Pilot[None]) -> None:
    await objects(pilot)
    screen = pilot.app.screen
    assert isinstance(screen, ObjectsScreen)
    names = ["amd64/co-re/network.bpf.o", "amd64/co-re/process.bpf.o", "amd64/prebuilt/offsets-kern.o"]
    made = [(name, fixture_object.PATH.parents[2] / name) for name in names]
    screen.post_message(ObjectsScreen.Listed(made))
    await settle(pilot)
    await pilot.app.workers.wait_for_complete()
    await settle(pilot)
    page = views.overview(fixture_object.found(), fixture_object.since())
    views.judge(page.tree, fixture_object.verdict())
    programs = next(node for node in page.tree if node.children)
    programs.children[0].lazy = None
    programs.children[0].children = views.code(fixture_object.code())
    screen._overview = page
    screen._turn_to(page)
    await press(pilot, "right", *["down"] * page.tree.index(programs), "down", "space")


async def resolver(pilot: Pilot[None]) -> None:
    await press(pilot, "5")
    app = pilot.app
    assert isinstance(app, EbpfApp)
    engine = app.engine
    assert isinstance(engine, FixtureEngine)
    cache = maps = procfs = miss = added = 0
    for step in range(60):
        cache += 40 + step * step % 97
        maps += step % 7
        procfs += step % 11 == 0
        miss += step % 23 == 0
        added += 3 + step % 5
        engine.now_ns = NOW + 2 * step * SECOND
        engine.stats = (
            ("added event", added),
            ("added snapshot", 71),
            ("hits cache", cache),
            ("hits maps", maps),
            ("hits procfs", procfs),
            ("miss", miss),
            ("reparent success", added // 9),
        )
        app.history.add(engine.now_ns, engine.stats)
        app.history.note(engine.now_ns, (("events/s", 380 + step * 37 % 101), ("drift", 0)))
    engine.publish()
    await settle(pilot)


async def rewound(pilot: Pilot[None]) -> None:
    app = pilot.app
    assert isinstance(app, EbpfApp)
    engine = app.engine
    assert isinstance(engine, FixtureEngine)
    await explain(pilot)
    engine.now_ns = NOW + 5 * SECOND
    engine.put(process(7001, 2214, "less notes", age=0, uid=1000))
    engine.drop(4123)
    engine.now_ns = NOW + 15 * SECOND
    engine.drop(7001)
    engine.now_ns = NOW + 17 * SECOND
    await settle(pilot)
    await press(pilot, "left_curly_bracket")
    await press(pilot, "left_square_bracket", "left_square_bracket", "right_square_bracket")


PICTURES = {
    "processes": Picture(tree),
    "light": Picture(explain, config=Config(theme="light")),
    "colour-blind": Picture(explain, config=Config(theme="colour-blind")),
    "mono": Picture(explain, config=Config(theme="mono")),
    "ascii": Picture(explain, config=Config(ascii=True)),
    "explain": Picture(explain),
    "explain-container": Picture(explain_container, host=labelled_host),
    "pods": Picture(pods, host=nested_host),
    "parents": Picture(parents),
    "filter": Picture(filtered),
    "search": Picture(search),
    "folded": Picture(folded),
    "procfs-only": Picture(explain, NO_PROBE),
    "help": Picture(help_screen),
    "sort": Picture(sort_menu),
    "columns": Picture(column_menu),
    "signal": Picture(signal_menu),
    "build": Picture(build),
    "build-failed": Picture(build_failed),
    "build-watched": Picture(build_watched),
    "headers": Picture(headers),
    "objects": Picture(objects, own_data=False),
    "objects-tree": Picture(objects_tree),
    "resolver": Picture(resolver),
    "rewind": Picture(rewound),
}
