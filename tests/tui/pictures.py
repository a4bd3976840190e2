"""The pictures: which there are, and how the app is brought there. Used by the snapshot tests and by
tools/screenshots.py, so that what is tested is what is shown.

Processes and the resolver are those of a real recording (recorded.py). Made up is what none can show: a
session that may send signals, one without a probe, and the builds of a project (fixture_*.py).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial

from textual.pilot import Pilot

from buildgen.session.board import Board
from buildgen.session.session import BoardRead
from core.model.view import Row
from tests.tui import fixture_object
from tests.tui.fixture_build import board, failed, findings, half_way
from tests.tui.fixture_engine import NO_PROBE, FixtureEngine
from tests.tui.harness import go_to, not_opened, press, processes, settle
from tests.tui.recorded import ReplayInStep
from tui.app import EbpfApp
from tui.config import Config
from tui.screens import object_views as views
from tui.screens.build import BuildScreen
from tui.screens.headers import HeadersScreen
from tui.screens.objects import ObjectsScreen
from tui.settings import Settings

Prepare = Callable[[Pilot[None]], Awaitable[None]]

MOMENT = 38
"""When most pictures are taken, in seconds of the recording: `sh release` was typed two seconds before."""


@dataclass(frozen=True)
class Picture:
    """One state of the app. `own_data`: nothing in it depends on the machine it is made on."""

    prepare: Prepare
    engine: Callable[[], ReplayInStep | FixtureEngine] = ReplayInStep
    own_data: bool = True
    config: Config = field(default_factory=Config)

    def app(self) -> EbpfApp:
        engine = self.engine()
        if isinstance(engine, ReplayInStep):
            return EbpfApp(engine, Settings(), self.config)
        return EbpfApp(engine, Settings(allow_signals=True), self.config, not_opened)


def replay(pilot: Pilot[None]) -> ReplayInStep:
    assert isinstance(pilot.app, EbpfApp)
    assert isinstance(pilot.app.engine, ReplayInStep)
    return pilot.app.engine


async def play(pilot: Pilot[None], seconds: int) -> None:
    """Let the recording go on for so long."""
    await settle(pilot)
    replay(pilot).play(seconds)
    await settle(pilot)


async def find(pilot: Pilot[None], wanted: Callable[[Row], bool]) -> None:
    """Put the cursor on the first row that is wanted, wherever in the tree it is."""
    rows = replay(pilot).rows()
    processes(pilot).tree.move_to(next(index for index, row in enumerate(rows) if wanted(row)))
    await settle(pilot)


async def tree(pilot: Pilot[None]) -> None:
    await play(pilot, MOMENT)
    await find(pilot, lambda row: row.text.startswith("gzip"))


async def pods(pilot: Pilot[None]) -> None:
    await play(pilot, MOMENT)
    await find(pilot, lambda row: row.kind == "pod")
    await press(pilot, "enter")


async def explain(pilot: Pilot[None]) -> None:
    """A process that has had four images."""
    await play(pilot, MOMENT)
    await find(pilot, lambda row: "busybox nc" in row.text)
    await press(pilot, "enter")


async def explain_container(pilot: Pilot[None]) -> None:
    await play(pilot, MOMENT)
    await find(pilot, lambda row: row.kind == "container" and row.text == "thumbnails")
    await press(pilot, "enter")


async def fixture_tree(pilot: Pilot[None]) -> None:
    await settle(pilot)
    await go_to(pilot, 4122)


async def procfs_only(pilot: Pilot[None]) -> None:
    await fixture_tree(pilot)
    await press(pilot, "enter")


async def parents(pilot: Pilot[None]) -> None:
    await tree(pilot)
    await press(pilot, "t", "P")


async def filtered(pilot: Pilot[None]) -> None:
    await play(pilot, MOMENT)
    await press(pilot, "slash")
    processes(pilot).filter_line.input.value = "user:deploy !sed"
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
    await fixture_tree(pilot)
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
    while screen.board is None:  # the real projects, which the made-up ones replace
        await pilot.pause(0.01)
    await settle(pilot)
    made = board()
    then(made)
    screen.post_message(BuildScreen.FromSession(BoardRead(made)))
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
    for _ in range(58):  # the lines are drawn of the frames that were shown
        await play(pilot, 1)


async def rewound(pilot: Pilot[None]) -> None:
    """Back in a build that has ended since."""
    await play(pilot, 17)
    await find(pilot, lambda row: "-bash" in row.text)
    await press(pilot, "enter", "left_square_bracket", "left_square_bracket", "right_square_bracket")


made_up = FixtureEngine
no_probe = partial(FixtureEngine, tiers=NO_PROBE)

PICTURES = {
    "processes": Picture(tree),
    "light": Picture(explain, config=Config(theme="light")),
    "colour-blind": Picture(explain, config=Config(theme="colour-blind")),
    "mono": Picture(explain, config=Config(theme="mono")),
    "ascii": Picture(explain, config=Config(ascii=True)),
    "explain": Picture(explain),
    "explain-container": Picture(explain_container),
    "pods": Picture(pods),
    "parents": Picture(parents),
    "filter": Picture(filtered),
    "search": Picture(search),
    "folded": Picture(folded),
    "procfs-only": Picture(procfs_only, no_probe),
    "help": Picture(help_screen, made_up),
    "sort": Picture(sort_menu),
    "columns": Picture(column_menu),
    "signal": Picture(signal_menu, made_up),
    "build": Picture(build, made_up),
    "build-failed": Picture(build_failed, made_up),
    "build-watched": Picture(build_watched, made_up),
    "headers": Picture(headers, made_up),
    "objects": Picture(objects, made_up, own_data=False),
    "objects-tree": Picture(objects_tree, made_up),
    "resolver": Picture(resolver),
    "rewind": Picture(rewound),
}
