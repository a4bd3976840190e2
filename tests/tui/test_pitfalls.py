"""Pitfalls of Textual and of terminals that no other test file is about, and the table of all of them."""

from __future__ import annotations

import ast
import re

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from buildgen.session import session
from core.model.view import Frame
from tests.places import ROOT
from tests.tui.harness import engine, lines, opened, press, processes, settle, text, words
from tui.app import EbpfApp
from tui.screens import headers, objects
from tui.widgets.lines import width_of

TABLE = ROOT / "docs/pitfalls.md"
ROW = re.compile(r"^\| .* \|$", re.MULTILINE)
TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def test_the_table_names_tests_that_exist() -> None:
    rows = [row for row in ROW.findall(TABLE.read_text()) if not set(row) <= set("|-: ")]
    assert len(rows) > 40
    known: dict[str, set[str]] = {}
    for row in rows:
        if row.startswith("| Pitfall"):
            continue
        named = TEST.findall(row)
        assert named, f"no test is named: {row}"
        for file, name in named:
            if file not in known:
                tree = ast.parse((ROOT / file).read_text())
                defined = (ast.FunctionDef, ast.AsyncFunctionDef)
                known[file] = {node.name for node in tree.body if isinstance(node, defined)}
            assert name in known[file], f"{file} has no {name}"


@pytest.mark.parametrize(
    ("module", "name", "key"),
    [(headers, "search", "3"), (objects, "read_board", "4"), (session, "read_board", "2")],
    ids=["headers", "objects", "build"],
)
async def test_a_thread_that_fails_is_told_and_the_session_goes_on(
    module: object, name: str, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: object) -> None:
        raise ZeroDivisionError("no [bold]luck\x1b[2J")

    monkeypatch.setattr(module, name, broken)
    async with opened(size=(120, 30)) as pilot:
        await press(pilot, key)
        for _ in range(600):
            if "Refresh failed" in words(pilot):
                break
            await pilot.pause(0.05)
        assert "Refresh failed: no [bold]luck" in words(pilot)
        assert "press r to retry" in words(pilot)
        await press(pilot, "1")
        assert pilot.app.screen is processes(pilot)


def test_every_worker_outlives_its_errors() -> None:
    calls = [
        (path, node)
        for path in sorted((ROOT / "tui").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("work", "self.run_worker", "run_worker")
    ]
    assert calls
    for path, call in calls:
        options = {word.arg: ast.unparse(word.value) for word in call.keywords}
        assert options.get("exit_on_error") == "False", f"{path}:{call.lineno}"


async def test_letters_are_typed_into_an_input_and_ctrl_c_still_ends() -> None:
    async with opened() as pilot:
        await press(pilot, "slash", *"qv?:12")
        assert processes(pilot).filter_line.input.value == "qv?:12"
        await pilot.press("ctrl+c")
        await pilot.pause()
        assert pilot.app.return_code == 130


async def test_the_colon_and_ctrl_p_both_open_the_palette() -> None:
    from textual.command import CommandPalette

    for key in ("colon", "ctrl+p"):
        async with opened() as pilot:
            await press(pilot, key)
            assert isinstance(pilot.app.screen, CommandPalette)


async def test_no_key_is_one_that_terminals_keep_or_cannot_tell_from_another() -> None:
    from tui.keymap import COMMANDS

    kept = {f"ctrl+{letter}" for letter in "abqsjmhi"}
    for command in COMMANDS:
        assert set(command.keys.split(",")) - kept, command.id


async def test_many_frames_at_once_are_drawn_as_one() -> None:
    async with opened() as pilot:
        assert isinstance(pilot.app, EbpfApp)
        drawn: list[int] = []
        screen = processes(pilot)
        show = screen.show_frame

        def show_and_note(frame: Frame) -> None:
            drawn.append(frame.header.now_ns)
            show(frame)

        screen.show_frame = show_and_note  # type: ignore[method-assign]
        host = engine(pilot)
        for step in range(100):  # without a chance to draw in between
            host.now_ns += step
            host.publish()
        await settle(pilot)
        assert drawn == [host.now_ns]


SIZES = [(20, 5), (21, 6), (40, 8), (6, 3), (80, 24), (200, 50), (20, 5)]


@pytest.mark.parametrize(
    "keys",
    [
        ["slash", *"nginx"],
        ["ctrl+f", *"worker"],
        ["enter"],
        ["question_mark"],
        ["s"],
        ["C"],
        ["colon", *"qu"],
        ["n"],
        ["2"],
        ["3"],
        ["4"],
        ["5"],
    ],
    ids=lambda keys: keys[0],
)
async def test_resized_with_anything_open(keys: list[str]) -> None:
    async with opened(size=(100, 30)) as pilot:
        await press(pilot, *keys)
        for width, height in SIZES:
            await pilot.resize_terminal(width, height)
            for _ in range(600):  # Textual lays out again when it is idle
                await settle(pilot)
                if {width_of(line) for line in lines(pilot)} == {width} and len(lines(pilot)) == height:
                    break
            assert {width_of(line) for line in lines(pilot)} == {width}
            assert len(lines(pilot)) == height
            await pilot.press("down")
        await pilot.resize_terminal(100, 30)
        await settle(pilot)
        await still_there(pilot, keys)


async def still_there(pilot: Pilot[None], keys: list[str]) -> None:
    """What was typed is still there, and it can be left."""
    if keys[0] in ("slash", "ctrl+f"):
        values = [field.value for field in pilot.app.screen.query(Input)]
        assert "".join(keys[1:]) in values
    await press(pilot, "escape", "1")
    assert pilot.app.screen is processes(pilot)
    assert "nginx" in text(pilot)


def test_neither_core_nor_buildgen_know_textual() -> None:
    for package in ("core", "buildgen"):
        for path in (ROOT / package).rglob("*.py"):
            assert not re.search(r"^\s*(from|import) textual", path.read_text(), re.MULTILINE), path


def test_textual_is_held_to_the_major_version_that_was_tried() -> None:
    project = (ROOT / "pyproject.toml").read_text()
    assert re.search(r'"textual>=8\.\d+,<9"', project)
    assert '"textual==8.' in project
