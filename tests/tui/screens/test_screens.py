"""Build, Headers, Objects and Resolver: on the real buildgen, in a project of the test's own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from textual.pilot import Pilot

from buildgen.session.history import read_history
from tests.places import ROOT
from tests.tui.build_project import GOOD, row, screen, until
from tests.tui.fixture_engine import NOW, SECOND, FixtureEngine
from tests.tui.harness import engine, lines, opened, press, settle, text
from tui.screens.headers import HeadersScreen


@pytest.fixture
async def build(project: Path) -> AsyncIterator[Pilot[None]]:
    async with opened(size=(120, 30)) as pilot:
        await press(pilot, "2")
        await until(pilot, lambda: "good.bpf" in text(pilot))
        yield pilot


async def test_build_lists_the_project_here_and_the_programs_own_probe(build: Pilot[None]) -> None:
    assert "missing" in row(build, "good.bpf")
    assert "missing" in row(build, "bad.bpf")
    assert row(build, "process.bpf")


async def test_b_builds_one_target_and_says_what_came_of_it(build: Pilot[None], project: Path) -> None:
    await press(build, "down")
    await press(build, "b")
    await until(build, lambda: not screen(build).building)
    assert "✓ good.bpf" in row(build, "good.bpf")
    assert "built" in row(build, "good.bpf")
    assert "missing" in row(build, "bad.bpf")
    assert "ok: built 1, failed 0, up to date 0" in text(build)
    assert (project / "build/ebpf").is_dir()
    await press(build, "b")
    await until(build, lambda: not screen(build).building)
    assert "ok: built 0, failed 0, up to date 1" in text(build)
    # Another number of instructions shows as a difference.
    source = project / "good.bpf.c"
    source.write_text(source.read_text().replace("return 0", "return (int)(long)context * 3"))
    await press(build, "b")
    await until(build, lambda: not screen(build).building)
    assert "+1" in row(build, "good.bpf")
    # Both builds are listed, the latest first; the one that had nothing to do is none.
    assert "builds 2" in text(build)
    size = (project / "build/ebpf/amd64/co-re/good.bpf.o").stat().st_size
    told = [line for line in lines(build) if " insns" in line and "s " in line]
    assert [f"{count} insns" in line for count, line in zip((3, 2), told, strict=True)] == [True, True]
    assert "+1" in told[0]
    assert "+1" not in told[1]
    board = screen(build).board
    assert board is not None
    history = next(row.history for row in board.targets if row.target.name == "good.bpf")
    assert history[-1].size == size
    assert read_history() == {str(project / "build/ebpf/amd64/co-re/good.bpf.o"): history}
    await press(build, "r")  # read from the file
    await until(build, lambda: screen(build).board is not board)
    assert "builds 2" in text(build)


async def test_B_builds_all_and_shows_the_diagnosis_before_the_log(build: Pilot[None]) -> None:
    await press(build, "B")
    await until(build, lambda: not screen(build).building)
    assert "✗ bad.bpf" in row(build, "bad.bpf")
    assert "✓ good.bpf" in row(build, "good.bpf")
    assert "✓ process.bpf" in row(build, "process.bpf")
    assert "FAILED: built 2, failed 1" in text(build)
    shown = text(build)  # the cursor is on bad.bpf, the first
    assert "missing_name" in shown
    assert shown.index("  at  ") < shown.index("bad.bpf.c:1:27: error")


async def test_hostile_bytes_in_what_a_compiler_prints_are_only_text(
    build: Pilot[None], project: Path
) -> None:
    (project / "bad.bpf.c").write_bytes(b"#error [red]\x1b[2J\x1b]0;owned\x07 \xff\xe2\x80\xae end\n")
    await press(build, "b")
    await until(build, lambda: not screen(build).building)
    shown = text(build)
    assert "✗ bad.bpf" in shown
    assert "[red]" in shown
    assert not set("\x1b\x07\u202e") & set(shown)
    assert build.app.title == "ebpf-tui"


async def test_x_cancels_and_leaves_no_object(build: Pilot[None], project: Path) -> None:
    slow = project / "slow"
    slow.write_text("#!/bin/sh\nsleep 60\n")
    slow.chmod(0o755)
    (project / "ebpf.toml").write_text(f'[project]\nsources = ["*.bpf.c"]\nlauncher = "{slow}"\n')
    before = screen(build).board
    await press(build, "r")
    await until(build, lambda: screen(build).board is not before)
    await press(build, "B")
    await until(build, lambda: "building" in row(build, "good.bpf"))
    await press(build, "b")
    await until(build, lambda: "a build is running" in text(build))
    await press(build, "x")
    await until(build, lambda: not screen(build).building)
    assert "cancelled: built 0" in text(build)
    assert not list(project.rglob("*.o"))
    await press(build, "x")  # nothing to cancel: nothing happens


async def test_r_reads_the_projects_anew(build: Pilot[None], project: Path) -> None:
    (project / "later.bpf.c").write_text(GOOD)
    await press(build, "r")
    await until(build, lambda: "later.bpf" in text(build))


async def test_a_directory_without_a_project_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    async with opened(size=(120, 30)) as pilot:
        await press(pilot, "2")
        await until(pilot, lambda: "nothing to build in" in text(pilot))
        assert row(pilot, "process.bpf")


async def test_objects_shows_what_is_inside(build: Pilot[None]) -> None:
    await press(build, "B")
    await until(build, lambda: not screen(build).building)
    await press(build, "4")
    await until(build, lambda: "co-re/good.bpf.o" in text(build))
    await press(build, "down")
    await until(build, lambda: "license GPL" in text(build))
    shown = text(build)
    assert "good " in shown
    assert "socket" in shown
    assert "no BTF" not in shown
    await press(build, "r")
    await until(build, lambda: "license GPL" in text(build))


async def test_objects_tells_of_a_damaged_object(build: Pilot[None], project: Path) -> None:
    await press(build, "down", "b")
    await until(build, lambda: not screen(build).building)
    (made,) = project.rglob("good.bpf.o")
    made.write_bytes(made.read_bytes()[:80])
    await press(build, "4")
    await until(build, lambda: "co-re/good.bpf.o" in text(build))
    await press(build, "down")
    await until(build, lambda: "unreadable" in text(build))


async def test_headers_shows_verdicts_directories_and_flags() -> None:
    async with opened(size=(140, 40)) as pilot:
        await press(pilot, "3")
        await until(pilot, lambda: "flags of prebuilt" in text(pilot))
        before = text(pilot)
        assert "-D__KERNEL__" in before
        await press(pilot, "v")
        assert "flags of prebuilt-debug" in text(pilot)
        headers = pilot.app.screen
        assert isinstance(headers, HeadersScreen)
        first = headers._arch.name
        await press(pilot, "a")
        await until(pilot, lambda: f"{headers._arch.name} · prebuilt-debug" in text(pilot))
        assert headers._arch.name != first
        await press(pilot, "r")
        await until(pilot, lambda: f"{headers._arch.name} · prebuilt-debug" in text(pilot))


async def test_the_command_that_is_copied_is_the_one_that_flags_prints() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "tui.cli.main", "flags", "--json"],
        capture_output=True, text=True, timeout=60, check=True, cwd=ROOT,
    )  # fmt: skip
    async with opened(size=(120, 34)) as pilot:
        await press(pilot, "3")
        await until(pilot, lambda: "flags of prebuilt" in text(pilot))
        await press(pilot, "c")
        assert pilot.app.clipboard == json.loads(ran.stdout)["command"]
        assert "Copied: " in text(pilot)


async def test_resolver_counts_what_grew_while_it_was_watched() -> None:
    host = FixtureEngine()
    host.stats = (("hits cache", 900), ("hits maps", 90), ("miss", 10), ("lost", 0))
    async with opened(host, size=(100, 20)) as pilot:
        await press(pilot, "5")
        host.stats = (("hits cache", 950), ("hits maps", 90), ("miss", 10), ("lost", 3))
        host.now_ns = NOW + 4 * SECOND
        host.publish()
        await settle(pilot)
        cache = next(line for line in lines(pilot) if line.startswith(" cache"))
        assert "950" in cache
        assert "90.5%" in cache
        assert "5.0" in cache  # 50 in ten seconds
        assert "█" in cache
        assert "events that did not fit into the ring buffer" in text(pilot)
        await press(pilot, "1")
        assert engine(pilot).running


async def test_the_resolver_screen_says_how_fast_and_how_full() -> None:
    for size in ((60, 20), (80, 24), (120, 34), (200, 50)):
        async with opened(size=size) as pilot:
            await press(pilot, "5")
            shown = text(pilot)
            assert "P50" in shown
            assert "6.1 µs" in shown
            assert ("10.2 µs" in shown) == (size[0] >= 100)
            for name, value in (("proc_cache", "9 822 of 16 384"), ("pid_cache", "1 204 of 16 384")):
                assert any(line.strip("▸ ").startswith(name) and value in line for line in lines(pilot))
            for name in ("events/s", "lost", "drift", "history", "COUNTER"):
                assert name in shown
