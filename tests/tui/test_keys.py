"""Every command of the registry, pressed; and the places that are made from the registry."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec
import pytest
from textual.events import Key
from textual.geometry import Region
from textual.pilot import Pilot

from core.model.entities import ProcessKey
from core.model.view import Grouping, Position, SortKey
from tests.tui.fixture_engine import NOW, SECOND, WEB, FixtureEngine, large_host, process
from tests.tui.harness import (
    engine,
    go_to,
    lines,
    not_opened,
    opened,
    press,
    processes,
    settle,
    text,
    tree,
    words,
)
from tui.app import EbpfApp
from tui.keymap import COMMANDS, SCOPES, bindings
from tui.screens.base_screen import BaseScreen
from tui.screens.help import HelpScreen
from tui.screens.sort_menu import SortMenu
from tui.settings import Settings
from tui.widgets import header_bar
from tui.widgets.lines import LineWidget

Check = Callable[[Pilot[None]], Awaitable[None]]
CHECKS: dict[str, Check] = {}


def name_of(check: Check) -> str:
    return str(getattr(check, "__name__", ""))


def checks(*ids: str) -> Callable[[Check], Check]:
    """Mark a function as the check of these commands."""

    def mark(check: Check) -> Check:
        for name in ids:
            CHECKS[name] = check
        return check

    return mark


@checks("screen.processes", "screen.build", "screen.headers", "screen.objects", "screen.resolver")
async def rooms(pilot: Pilot[None]) -> None:
    for key, name in zip("23451", ("build", "headers", "objects", "resolver", "processes"), strict=True):
        await press(pilot, key)
        assert isinstance(pilot.app.screen, BaseScreen)
        assert name == pilot.app.screen.NAME
        assert f"[{key} {name.title()}]" in text(pilot)


@checks("app.help")
async def help_lists_the_live_keys(pilot: Pilot[None]) -> None:
    await press(pilot, "question_mark")
    help_screen = pilot.app.screen
    assert isinstance(help_screen, HelpScreen)
    shown = text(pilot)
    assert shown.index("Process tree") < shown.index("Navigation") < shown.index("Page up")
    await press(pilot, "escape", "f1", "q")
    assert pilot.app.screen is processes(pilot)


@checks("app.reload")
async def reload_is_left_to_the_engine_and_its_message_goes_away(pilot: Pilot[None]) -> None:
    app = pilot.app
    assert isinstance(app, EbpfApp)
    await press(pilot, "L")  # a fixture has no probe, as a recording has none
    assert "Nothing to reload: this is a recording" in text(pilot)
    assert engine(pilot).reloads == 0
    app._open_probe = not_opened
    app.clear_notifications()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(header_bar, "MESSAGE_SECONDS", 0.2)
        await press(pilot, "L")
        assert "the probe was loaded anew (1)" in lines(pilot)[1]
        engine(pilot).publish()  # the session goes on telling it; that makes it no news
        await pilot.pause(0.3)
        assert "anew" not in text(pilot)
        await press(pilot, "L")
        assert "anew (2)" in lines(pilot)[1]


@checks("app.palette")
async def palette_runs_a_command_by_name(pilot: Pilot[None]) -> None:
    for key in ("colon", "ctrl+p"):
        before = tree(pilot).grouping
        await press(pilot, key, "v", "i", "e", "w")
        await pilot.app.workers.wait_for_complete()
        await settle(pilot)
        await press(pilot, "enter")
        assert tree(pilot).grouping is not before


@checks("app.suspend")
async def suspend_without_a_terminal_does_nothing(pilot: Pilot[None]) -> None:
    await press(pilot, "ctrl+z")  # with a terminal: test_terminal.py
    assert pilot.app.is_running


@checks("app.quit")
async def quit_ends_with_0(pilot: Pilot[None]) -> None:
    await press(pilot, "q")
    assert not pilot.app.is_running or pilot.app._exit
    assert (pilot.app.return_code or 0) == 0


@checks("app.interrupt")
async def ctrl_c_ends_with_130_wherever_the_keys_go(pilot: Pilot[None]) -> None:
    await press(pilot, "slash")
    await pilot.press("ctrl+c")
    await pilot.pause()
    assert pilot.app.return_code == 130


@checks("list.down", "list.up")
async def up_and_down(pilot: Pilot[None]) -> None:
    await press(pilot, "down", "j", "j")
    assert tree(pilot).cursor == 3
    await press(pilot, "k", "up")
    assert tree(pilot).cursor == 1
    await press(pilot, "up", "up", "up")
    assert tree(pilot).cursor == 0


@checks("list.page_down", "list.page_up")
async def pages(pilot: Pilot[None]) -> None:
    view = tree(pilot)
    await press(pilot, "down", "pagedown")
    assert (view.cursor, view.top) == (1 + view.page, view.row_count - view.page)
    await press(pilot, "pageup")
    assert (view.cursor, view.top) == (1, 0)


@checks("list.last", "list.first")
async def first_and_last(pilot: Pilot[None]) -> None:
    view = tree(pilot)
    for last, first in (("G", "g"), ("end", "home")):
        await press(pilot, last)
        assert view.cursor == view.row_count - 1
        assert view.cursor_row is not None
        assert view.cursor_row.pid == 41
        await press(pilot, first)
        assert (view.cursor, view.top) == (0, 0)


@checks("tree.toggle")
async def space_folds_and_unfolds(pilot: Pilot[None]) -> None:
    view = tree(pilot)
    before = view.row_count
    await go_to(pilot, 4121)
    await press(pilot, "space")
    assert view.row_count == before - 2
    assert "▸+2 nginx: master process" in text(pilot)
    await press(pilot, "space")
    assert view.row_count == before


@checks("tree.fold", "tree.unfold")
async def left_and_right_fold_and_walk(pilot: Pilot[None]) -> None:
    view = tree(pilot)
    await go_to(pilot, 4123)
    await press(pilot, "left")
    assert view.cursor_row is not None
    assert view.cursor_row.pid == 4121
    await press(pilot, "left")
    assert view.cursor_row.folded
    await press(pilot, "h")
    assert view.cursor_row.text == "web"
    await press(pilot, "right", "right")
    assert not view.cursor_row.folded
    await press(pilot, "l")
    assert view.cursor_row.pid == 4122


@checks("tree.fold_all", "tree.unfold_all")
async def minus_and_plus_work_on_the_subtree(pilot: Pilot[None]) -> None:
    view = tree(pilot)
    await go_to(pilot, 1)
    total = view.row_count
    await press(pilot, "minus")
    assert view.row_count == total - 10  # everything below init in its own group
    await press(pilot, "right")
    assert view.row_count == total - 10 + 3  # its children are folded too
    await press(pilot, "plus")
    assert view.row_count == total


@checks("tree.fold_everything")
async def asterisk_folds_everything_and_back(pilot: Pilot[None]) -> None:
    view = tree(pilot)
    total = view.row_count
    await go_to(pilot, 4122)
    await press(pilot, "asterisk")
    row = view.cursor_row
    assert row is not None
    assert row.text == "web"  # what is folded away leaves the cursor on what hides it
    assert [line[:10].strip() for line in lines(pilot)[3:7]] == [
        "▸ ⬢ c0ffee",
        "▸ ⬢ shop/o",
        "▸ ⬢ web",
        "▸ host",
    ]
    await press(pilot, "asterisk")
    assert view.row_count == total


@checks("tree.follow")
async def follow_takes_the_scroll_along(pilot: Pilot[None]) -> None:
    await press(pilot, "F")
    assert "follow" in lines(pilot)[2]
    await press(pilot, "F")
    assert "follow" not in lines(pilot)[2]


@checks("processes.explain")
async def enter_explains_the_row_and_follows_the_cursor(pilot: Pilot[None]) -> None:
    await go_to(pilot, 4122)
    await press(pilot, "enter")
    shown = text(pilot)
    assert "─ explain 4122 ─" in shown
    assert "pid_cache → cookie 0x5f21 → proc_cache" in shown
    assert "not needed" in shown
    assert "init(1) › containerd(700) › containerd-shim(4100) › nginx(4121)" in shown
    assert "drift      none, checked 12s ago" in shown
    await press(pilot, "down")
    assert "─ explain 4123 ─" in text(pilot)
    await press(pilot, "home")
    assert "─ explain container c0ffee123456 ─" in text(pilot)
    await press(pilot, "enter")
    assert "explain" not in text(pilot)


@checks("processes.explain_more", "processes.explain_back")
async def the_pane_scrolls_when_it_has_more_than_fits(pilot: Pilot[None]) -> None:
    await pilot.resize_terminal(80, 24)
    await go_to(pilot, 4122)
    await press(pilot, "shift+down", "enter")
    assert "shift+down: 2 more lines ─" in text(pilot)
    assert "identity" not in text(pilot)
    for key, back in (("shift+down", "shift+up"), ("ctrl+d", "ctrl+u")):
        await press(pilot, key)
        assert "identity   pid 4122" in text(pilot)
        assert "shift+up: back ─" in text(pilot)
        assert "no entry for pid 4122" not in text(pilot)
        await press(pilot, back)
        assert "no entry for pid 4122" in text(pilot)
    await press(pilot, "shift+down", "down")
    assert "start time agrees" in text(pilot)  # another row is read from its beginning
    assert tree(pilot).cursor_row is not None


@checks("processes.filter", "filter.done", "filter.clear")
async def the_filter_line(pilot: Pilot[None]) -> None:
    view = tree(pilot)
    total = view.row_count
    await press(pilot, *"/nginx")
    assert view.row_count == 4
    await press(pilot, "enter", "down")
    assert view.cursor == 1
    assert "nginx" in lines(pilot)[-2]  # the line stays as long as there is a filter
    await press(pilot, "slash", "space", *"!src:maps")
    assert view.row_count == 3
    await press(pilot, "escape")
    assert view.row_count == total
    assert view.has_focus


@checks("processes.search", "search.done", "search.clear", "tree.next_match", "tree.previous_match")
async def search_goes_to_matches_and_hides_nothing(pilot: Pilot[None]) -> None:
    view = tree(pilot)
    total = view.row_count
    await press(pilot, "n")
    assert "No search: press ctrl+f to start one" in text(pilot)
    pilot.app.clear_notifications()
    await go_to(pilot, 4121)
    await press(pilot, "space", "home", "ctrl+f", *"worker")
    row = view.cursor_row
    assert row is not None
    assert row.pid == 4122  # what it was folded into is open again
    assert view.row_count == total
    assert "1 of 3" in lines(pilot)[-2]
    await press(pilot, "enter")
    assert "“worker” 1 of 3" in lines(pilot)[2]
    for key, pid in (("n", 4123), ("n", 9), ("n", 4122), ("N", 9)):
        await press(pilot, key)
        assert view.cursor_row is not None
        assert view.cursor_row.pid == pid
    await press(pilot, "ctrl+f", *"zzz")
    assert "no match" in lines(pilot)[-2]
    await press(pilot, *["backspace"] * 3, *"src:x")
    assert "! src: needs one of" in lines(pilot)[-2]
    await press(pilot, "escape")
    assert view.has_focus
    assert "“" not in lines(pilot)[2]


@checks("processes.back")
async def escape_clears_the_filter_and_then_closes_the_pane(pilot: Pilot[None]) -> None:
    await press(pilot, "down", "enter", "slash", *"nginx", "enter", "escape")
    assert tree(pilot).filter == ""
    assert processes(pilot).explain.is_open
    await press(pilot, "escape")
    assert not processes(pilot).explain.is_open


@checks("processes.view")
async def t_changes_between_containers_and_parents(pilot: Pilot[None]) -> None:
    await go_to(pilot, 4122)
    for key, grouping in (("t", Grouping.PARENTS), ("f5", Grouping.CONTAINERS)):
        await press(pilot, key)
        row = tree(pilot).cursor_row
        assert row is not None
        assert row.pid == 4122  # the same process, wherever it stands now
        assert tree(pilot).grouping is grouping


@checks("processes.sort", "processes.sort_cpu", "processes.sort_memory", "processes.sort_age")
async def orders(pilot: Pilot[None]) -> None:
    view = tree(pilot)
    for key, sort, first in (
        ("P", SortKey.CPU, "shop/orders-6c9d"),
        ("M", SortKey.MEMORY, "shop/orders-6c9d"),
    ):
        await press(pilot, key)
        row = view.row_at(0)
        assert row is not None
        assert (view.sort, row.text) == (sort, first)
    await press(pilot, "T")
    by_age = view.sort
    assert by_age is SortKey.AGE
    await press(pilot, "T")
    in_tree_order = view.sort
    assert in_tree_order is SortKey.TREE
    await press(pilot, "s")
    assert isinstance(pilot.app.screen, SortMenu)
    await press(pilot, "down", "down", "enter")
    assert view.sort is SortKey.MEMORY
    await press(pilot, "f6", "escape")
    assert view.sort is SortKey.MEMORY


@checks("processes.columns")
async def columns_are_chosen_and_show_at_once(pilot: Pilot[None]) -> None:
    await press(pilot, "C", "space", "down", "enter")  # neither pid nor user
    assert "[ ] pid" in text(pilot)
    assert "[ ] user" in text(pilot)
    await press(pilot, "C")
    assert tree(pilot).columns == ("state", "threads", "tty", "cpu", "memory", "age", "container")
    assert lines(pilot)[2].split()[:3] == ["SOURCE", "S", "THR"]
    await press(pilot, "C", "space", "down", "space", "escape")
    assert tree(pilot).columns == ()
    await press(pilot, "C", *["space", "down"] * 9, "escape")
    assert lines(pilot)[2].split()[:2] == ["SOURCE", "TREE"]


@checks("processes.invert")
async def invert_keeps_the_host_last(pilot: Pilot[None]) -> None:
    await press(pilot, "I")
    view = tree(pilot)
    groups = [row.text for row in view.window.rows if row.kind != "process"]
    assert groups == ["web", "shop/orders-6c9d", "orders", "c0ffee123456", "host"]


@checks("processes.pause")
async def pause_is_shown_and_stays_navigable(pilot: Pilot[None]) -> None:
    await press(pilot, "Z")
    assert engine(pilot).paused
    assert "paused" in lines(pilot)[0]
    await press(pilot, "down", "Z")
    assert tree(pilot).cursor == 1
    assert not engine(pilot).paused


@checks("processes.earlier", "processes.later", "processes.far_earlier", "processes.far_later")
async def brackets_go_through_the_past(pilot: Pilot[None]) -> None:
    host = engine(pilot)
    view = tree(pilot)
    await go_to(pilot, 4123)
    for age in (20, 12, 3):
        host.now_ns = NOW + (20 - age) * SECOND
        host.put(process(7000 + age, 612, f"/bin/visitor {age}", age=0))
    host.now_ns = NOW + 20 * SECOND
    host.drop(4122)
    await settle(pilot)
    total = view.row_count
    await press(pilot, "left_square_bracket")
    assert host.paused
    assert view.row_count == total + 1
    assert "nginx: worker process" in str([row.text for row in view.window.rows if row.pid == 4122])
    assert view.cursor_row is not None
    assert view.cursor_row.pid == 4123  # the same process, one row lower
    assert "paused · 1s ago · [ back · ] forward" in lines(pilot)[0]
    await press(pilot, "left_curly_bracket")
    assert "paused · 11s ago" in lines(pilot)[0]
    assert "visitor 3" not in text(pilot)
    await press(pilot, *"/visitor", "enter")  # the filter works there
    assert [row.pid for row in view.window.rows if not row.dim and row.pid] == [7012, 7020]
    await press(pilot, "escape")
    await go_to(pilot, 4123)
    await press(pilot, "left_curly_bracket", "left_square_bracket")
    assert "Start of history (limit 10m / 64M" in words(pilot)
    assert "paused · 20s ago · ] forward" in lines(pilot)[0]
    pilot.app.clear_notifications()
    await press(pilot, "right_curly_bracket", "right_square_bracket")
    assert "visitor 12" in str([row.text for row in view.window.rows])
    await press(pilot, "right_curly_bracket", "right_curly_bracket")
    assert not host.paused
    assert view.row_count == total
    assert "paused" not in lines(pilot)[0]
    assert view.cursor_row.pid == 4123


@checks("processes.slower", "processes.faster")
async def only_a_replay_goes_faster(pilot: Pilot[None]) -> None:
    await press(pilot, "greater_than_sign")
    assert "Only a replay can change its speed" in words(pilot)
    pilot.app.clear_notifications()
    engine(pilot).replay = Position(12 * SECOND, 300 * SECOND, 1.0)
    engine(pilot).publish()
    await settle(pilot)
    assert "1× 0:12/5:00" in lines(pilot)[0]
    await press(pilot, "greater_than_sign")
    assert "2× 0:12/5:00" in lines(pilot)[0]
    await press(pilot, "less_than_sign", "less_than_sign")
    assert "0.5× 0:12/5:00" in lines(pilot)[0]


@checks("tree.tag", "tree.untag_all")
async def v_tags_and_goes_on(pilot: Pilot[None]) -> None:
    view = tree(pilot)
    await press(pilot, "v")  # a group cannot be tagged
    assert view.tagged == frozenset()
    await go_to(pilot, 4121)
    await press(pilot, "v", "v")
    assert [key.tgid for key in view.chosen()] == [4121, 4122]
    assert [line[:6] for line in lines(pilot) if line.startswith("*")] == ["*cache", "*maps "]
    assert "2 tagged" in lines(pilot)[2]
    await press(pilot, "up", "v")
    assert [key.tgid for key in view.chosen()] == [4121]
    await press(pilot, "U")
    assert [key.tgid for key in view.chosen()] == [4123]


@checks("processes.signal")
async def signals_are_off_unless_allowed(pilot: Pilot[None]) -> None:
    await go_to(pilot, 4121)
    for key in ("f9", "K"):
        await press(pilot, key)
        assert pilot.app.screen is processes(pilot)
        assert "Signals are off" in text(pilot)
        pilot.app.clear_notifications()


@checks("processes.resolve", "processes.evict")
async def resolve_again(pilot: Pilot[None]) -> None:
    await press(pilot, "r")  # on a group: nothing to resolve
    await go_to(pilot, 4122)
    await press(pilot, "r", "R")
    assert engine(pilot).resolved == [(4122, False), (4122, True)]


BY_NAME = {name_of(check): check for check in CHECKS.values()}


@pytest.mark.parametrize("name", sorted(BY_NAME))
async def test_command(name: str) -> None:
    async with opened(size=(100, 22)) as pilot:
        await BY_NAME[name](pilot)


def test_every_command_has_a_check_and_every_key_one_meaning() -> None:
    elsewhere = {"build", "headers", "objects"}  # test_screens.py presses these
    assert {command.id for command in COMMANDS if command.scope not in elsewhere} == set(CHECKS)
    assert {command.scope for command in COMMANDS} == set(SCOPES)
    for scope in SCOPES:
        keys = [key for binding in bindings(scope) for key in binding.key.split(",")]
        assert len(keys) == len(set(keys))


async def test_keys_of_the_tree_and_the_slash_itself_can_be_typed_into_the_filter() -> None:
    async with opened() as pilot:
        await pilot.press(*"/q/Z")
        await settle(pilot)
        assert processes(pilot).filter_line.input.value == "q/Z"
        assert not engine(pilot).paused


async def test_keys_that_come_at_once_with_the_slash_belong_to_the_filter() -> None:
    async with opened() as pilot:
        for name, char in (("slash", "/"), ("q", "q"), ("Z", "Z")):
            pilot.app.post_message(Key(name, char))
        await settle(pilot)
        assert processes(pilot).filter_line.input.value == "qZ"
        assert not engine(pilot).paused


async def test_a_bad_filter_says_so_and_shows_everything() -> None:
    async with opened() as pilot:
        total = tree(pilot).row_count
        await press(pilot, *"/src:x")
        assert "! src: needs one of cache, maps, procfs" in lines(pilot)[-2]
        assert tree(pilot).row_count == total


@pytest.mark.parametrize("order", ["", "P"])
async def test_a_match_far_away_is_scrolled_to(order: str) -> None:
    async with opened(FixtureEngine(large_host(2000))) as pilot:
        view = tree(pilot)
        await press(pilot, *order, "ctrl+f", *"/1777.toml", "enter")
        row = view.cursor_row
        assert row is not None
        assert row.pid == 1777
        assert view.top < view.cursor < view.top + view.page - 1
        await press(pilot, "n")
        assert view.cursor_row is row
        await press(pilot, "down")
        assert view.cursor_row is not row


async def test_the_cursor_stays_with_its_process_when_rows_come_and_go_above_it() -> None:
    host = FixtureEngine(large_host(500))
    async with opened(host) as pilot:
        view = tree(pilot)
        await press(pilot, "end", *["up"] * 40)
        key, line = view.cursor_key, view.cursor - view.top
        for pid in range(9000, 9030):
            host.put(process(pid, 0, "/bin/newcomer", age=39 * 86_400 * SECOND + pid))
        await settle(pilot)
        assert view.cursor_key == key
        assert view.cursor - view.top == line
        for pid in range(9000, 9030):
            host.drop(pid)
        await settle(pilot)
        assert (view.cursor_key, view.cursor - view.top) == (key, line)


async def test_the_cursor_goes_to_a_neighbour_when_its_process_is_gone() -> None:
    async with opened() as pilot:
        await go_to(pilot, 4122)
        index = tree(pilot).cursor
        engine(pilot).drop(4122)
        await settle(pilot)
        assert tree(pilot).cursor == index
        assert tree(pilot).cursor_key == ProcessKey(4123, NOW - 2 * 86_400 * SECOND)


async def test_follow_in_a_moving_order() -> None:
    host = FixtureEngine(large_host(300))
    async with opened(host) as pilot:
        view = tree(pilot)
        await press(pilot, "P", "F")
        chosen = view.row_at(25)
        assert chosen is not None
        await go_to(pilot, chosen.pid)
        idle = process(chosen.pid, chosen.ppid, "/usr/bin/idle", age=NOW - chosen.start_ns)
        host.put(msgspec.structs.replace(idle, container=host.container_of(chosen.pid)))
        await settle(pilot)
        assert view.cursor_key == chosen.key
        assert view.cursor > 25
        assert view.top <= view.cursor < view.top + view.page


async def test_without_news_nothing_is_painted_and_news_paint_their_line_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    painted: list[tuple[str, list[int]]] = []
    refresh = LineWidget.refresh

    def note(widget: LineWidget, *regions: Region, **how: bool) -> LineWidget:
        painted.append((type(widget).__name__, [region.y for region in regions]))
        return refresh(widget, *regions, **how)

    async with opened() as pilot:
        await go_to(pilot, 5231)
        await press(pilot, "enter")
        monkeypatch.setattr(LineWidget, "refresh", note)
        for _ in range(3):
            engine(pilot).publish()
            await settle(pilot)
        assert painted == []
        engine(pilot).put(process(4122, 4121, "nginx: worker busy", age=2 * 86_400 * SECOND, container=WEB))
        await settle(pilot)
        # The process, and the sums of its group two rows above.
        assert painted == [("TreeView", [7, 9])]


async def test_nothing_is_done_to_the_past() -> None:
    host = FixtureEngine()
    async with opened(host, settings=Settings(allow_signals=True), live=True) as pilot:
        host.now_ns += 5 * SECOND
        host.drop(4122)
        await press(pilot, "left_square_bracket")
        await go_to(pilot, 4122)
        for key, refusal in (
            ("r", "Resolving again needs the live view; press Z"),
            ("R", "Resolving again needs the live view; press Z"),
            ("K", "Signals need the live view; press Z"),
            ("L", "Return to live (Z) before reloading the probe"),
        ):
            await press(pilot, key)
            assert refusal in words(pilot)
            assert pilot.app.screen is processes(pilot)
            pilot.app.clear_notifications()
        assert (host.resolved, host.reloads) == ([], 0)
        await press(pilot, "Z")
        await go_to(pilot, 4121)
        await press(pilot, "r")
        assert host.resolved == [(4121, False)]
