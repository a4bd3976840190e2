"""Objects: code with source lines, the verifier's verdicts, the difference to the build before."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from textual.pilot import Pilot

from buildgen.ninja.runner import run_build
from buildgen.objects.disassembly import Instruction
from buildgen.objects.model import CoreRelocation, MapDef, ObjectFile, Program, Variable
from buildgen.plan.plan import plan
from buildgen.project.project import load_project
from core.text.safe import safe_text
from tests.needs import lacks
from tests.tui.build_project import until
from tests.tui.harness import lines, opened, press, text
from tui.screens import object_views as views
from tui.screens.objects import ObjectsScreen
from tui.widgets.list_pane import Line

SOURCE = """\
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
struct { __uint(type, BPF_MAP_TYPE_HASH); __type(key, int); __type(value, long);
         __uint(max_entries, 8); } counts SEC(".maps");
SEC("raw_tp/sched_process_exec") int counted(void *ctx) {
    int key = 1;
    long *value = bpf_map_lookup_elem(&counts, &key);
    return CHECK *value;
}
char LICENSE[] SEC("license") = "GPL";
"""


@pytest.fixture
async def pilot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Pilot[None]]:
    """The Objects screen on a project that was built twice: with the check of a pointer, then without."""
    if shutil.which("clang") is None or not Path("/usr/include/bpf/bpf_helpers.h").exists():
        lacks("clang or libbpf-dev")
    home = tmp_path / "project"
    home.mkdir()
    for check in ("!value ? 0 :", ""):
        (home / "counted.bpf.c").write_text(SOURCE.replace("CHECK", check))
        for _event in run_build(plan(load_project(home))):
            pass
    monkeypatch.chdir(home)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    async with opened(size=(130, 40)) as started:
        await press(started, "4")
        await until(started, lambda: "co-re/counted.bpf.o" in text(started))
        await press(started, "down")
        await until(started, lambda: "license GPL" in text(started))
        yield started


def objects(pilot: Pilot[None]) -> ObjectsScreen:
    assert isinstance(pilot.app.screen, ObjectsScreen)
    return pilot.app.screen


async def test_an_object_says_how_it_differs_from_the_build_before(pilot: Pilot[None]) -> None:
    assert "since the previous build: " in text(pilot)
    assert "1 programs" in text(pilot)
    await press(pilot, "d")
    await until(pilot, lambda: "insns" in text(pilot) and "changed" in text(pilot))
    assert "→" in text(pilot)
    await press(pilot, "escape")
    assert "license GPL" in text(pilot)


async def to(pilot: Pilot[None], name: str) -> None:
    """Put the cursor on the line that begins with `name`."""
    await press(pilot, "home")
    for _ in range(objects(pilot).inside.row_count):
        node = objects(pilot).inside.node
        if node is not None and node.line[0].text.rstrip() == name:
            return
        await press(pilot, "down")
    raise AssertionError(text(pilot))


@pytest.mark.parametrize("key", ["space", "enter", "right"])
async def test_a_program_unfolds_to_its_code(pilot: Pilot[None], key: str) -> None:
    await press(pilot, "right")  # into the object
    assert pilot.app.focused is objects(pilot).inside
    await to(pilot, "counted")
    rows = objects(pilot).inside.row_count
    await press(pilot, key)
    await until(pilot, lambda: "bpf_map_lookup_elem" in text(pilot) and "exit" in text(pilot))
    assert "counted.bpf.c:8  return  *value;" in text(pilot)
    assert "counts" in text(pilot)
    await press(pilot, "right")  # an open line: into it
    await press(pilot, "left", "left")  # up to the program, and folded
    assert objects(pilot).inside.row_count == rows
    await press(pilot, "space")  # what was read once is there
    assert "bpf_map_lookup_elem" in text(pilot)
    await press(pilot, "space", "left")
    assert "exit" not in text(pilot)
    node = objects(pilot).inside.node
    assert node is not None
    assert node.line[0].text == "programs "
    await press(pilot, "left")
    assert "raw_tracepoint" not in text(pilot)
    assert "▸ programs 1" in text(pilot)
    await press(pilot, "escape")
    assert pilot.app.focused is objects(pilot).objects


async def test_groups_fold(pilot: Pilot[None]) -> None:
    await press(pilot, "right")
    for name, inside in (("sections", ".symtab"), ("maps", "→ 8 B"), ("programs", "raw_tracepoint")):
        await to(pilot, name)
        assert inside in text(pilot)
        await press(pilot, "h")
        assert inside not in text(pilot)
        await press(pilot, "right")
        assert inside in text(pilot)
        await press(pilot, "space")


async def test_code_that_cannot_be_read_is_one_line(pilot: Pilot[None]) -> None:
    await press(pilot, "right")
    await to(pilot, "counted")
    shown = objects(pilot)._shown
    assert shown is not None
    shown.write_bytes(b"gone")
    await press(pilot, "space")
    await until(pilot, lambda: "▾ counted" in text(pilot) and "not an ELF file" in text(pilot))


def hostile(count: int) -> ObjectFile:
    """An object with programs, maps and variables that somebody named to do harm."""
    name = safe_text("[red]\x1b[2J\u202e\nnext")
    program = Program(name, name, "kprobe", name, 2, False, 0, "", name)
    return ObjectFile(
        Path("/x.o"), 1, "EM_BPF", "little", name, (program,) * count,
        (MapDef(name, "hash", 4, 8, 1, 0, name),), (Variable(name, name, 1, 0),), None,
        (CoreRelocation(name, 0, "field_off", name, name, "0"),), (), (),
    )  # fmt: skip


async def test_hostile_names_and_very_many_lines(pilot: Pilot[None]) -> None:
    screen = objects(pilot)
    page = views.overview(hostile(500), None)
    screen._overview = page
    screen._turn_to(page)
    await press(pilot, "right")
    assert "▾ programs 500" in text(pilot)
    assert "[red]" in text(pilot)
    assert all(line.isprintable() for line in lines(pilot))
    code = views.code([Instruction(number, "[b]r0 = 0[/b]") for number in range(20_000)])
    node = next(group for group in page.tree if group.children).children[3]
    await press(pilot, "end", "home", *["down"] * 7)
    assert screen.inside.node is node
    drawn: list[int] = []
    node.lazy = None
    node.children = code
    draw = screen.inside.line_at

    def draw_and_note(index: int) -> Line:
        drawn.append(index)
        return draw(index)

    screen.inside.line_at = draw_and_note  # type: ignore[method-assign]
    await press(pilot, "space")
    assert screen.inside.row_count > 20_500
    assert "[b]r0 = 0[/b]" in text(pilot)
    await press(pilot, "end")
    assert len(set(drawn)) <= 3 * screen.inside.size.height  # those in sight, not all of them
    await press(pilot, "home")
    assert "▾ programs 500" in text(pilot)


@pytest.mark.skipif(os.geteuid() != 0, reason="loading programs needs root")
async def test_l_shows_the_verdict_with_the_line(pilot: Pilot[None]) -> None:
    await press(pilot, "l")
    await until(pilot, lambda: "accepted · esc" in text(pilot))
    if "not permitted" in text(pilot):
        pytest.skip("this host does not let root load programs")
    shown = text(pilot)
    assert "0 of 1 accepted" in shown
    assert "R0 invalid mem access 'map_value_or_null'" in shown
    assert "counted.bpf.c:8" in shown
    assert "log of counted" in shown
    await press(pilot, "escape")  # the tree has the verdict, too
    assert "✗ counted " in text(pilot)
    assert "R0 inv" in text(pilot)


async def test_what_is_large_is_read_when_it_is_asked_for(pilot: Pilot[None]) -> None:
    shown = objects(pilot)._shown
    assert shown is not None
    with open(shown, "r+b") as file:
        file.truncate(5 << 20)  # zeros behind it: still a good object
    await press(pilot, "r")
    await until(pilot, lambda: "press enter to read it" in text(pilot))
    assert "license GPL" not in text(pilot)
    await press(pilot, "enter")
    await until(pilot, lambda: "license GPL" in text(pilot))


@pytest.mark.parametrize("kind", ["fifo", "zero", "socket", "sparse", "loop", "directory"])
async def test_what_is_no_object_neither_blocks_nor_ends_the_screen(pilot: Pilot[None], kind: str) -> None:
    shown = objects(pilot)._shown
    assert shown is not None
    shown.unlink()
    match kind:
        case "fifo":
            os.mkfifo(shown)
        case "zero":
            shown.symlink_to("/dev/zero")
        case "socket":
            with socket.socket(socket.AF_UNIX) as listening:
                os.chdir(shown.parent)  # the path is longer than a socket's address
                listening.bind(shown.name)
                os.chdir(shown.parents[4])
        case "sparse":
            with open(shown, "wb") as file:
                file.write(b"\x7fELF")
                file.truncate(1 << 40)
        case "loop":
            shown.symlink_to(shown.name)
        case "directory":
            shown.mkdir()
    await press(pilot, "r")
    said = {"sparse": "press enter to read it", "loop": "the shipped probe"}.get(kind, "not a regular file")
    await until(pilot, lambda: said in text(pilot))
    if kind == "sparse":
        await press(pilot, "enter")
        await until(pilot, lambda: "too big for an eBPF object" in text(pilot))
