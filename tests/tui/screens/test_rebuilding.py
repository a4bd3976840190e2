"""`w` on the Build screen: what is saved is rebuilt, however an editor saves, and nothing else is."""

from __future__ import annotations

import os
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from textual.pilot import Pilot

from tests.tui.build_project import GOOD, row, screen, until
from tests.tui.harness import opened, press, text

OWN = '#include "own.h"\n' + GOOD.replace("EXTRA", "OWN_VALUE").replace("good", "withown")


@pytest.fixture
async def watching(project: Path) -> AsyncIterator[Pilot[None]]:
    """The Build screen on a project that is built and watched: `good`, `withown` with its header, `bad`."""
    (project / "include dir").mkdir()
    (project / "include dir/own.h").write_text("#define OWN_VALUE 0\n")
    (project / "withown.bpf.c").write_text(OWN)
    (project / "ebpf.toml").write_text('[project]\nsources = ["*.bpf.c"]\ninclude = ["include dir"]\n')
    async with opened(size=(120, 30)) as pilot:
        await press(pilot, "2")
        await until(pilot, lambda: "good.bpf" in text(pilot))
        await press(pilot, "B")
        await until(pilot, lambda: not screen(pilot).building)
        await press(pilot, "w")
        await until(pilot, lambda: "● watching " in text(pilot))
        yield pilot


def insns(pilot: Pilot[None], name: str) -> int | None:
    board = screen(pilot).board
    assert board is not None
    return next(row.insns for row in board.targets if row.target.name == name)


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "save watch"]


def replace(path: Path, content: str) -> None:
    """Save as vim and others do: a new file takes the old one's name."""
    new = path.with_name(f".{path.name}.swp")
    new.write_text(content)
    os.replace(new, path)


async def test_a_header_that_is_saved_rebuilds_what_includes_it(watching: Pilot[None], project: Path) -> None:
    other = (project / "build/ebpf/amd64/co-re/good.bpf.o").stat().st_mtime_ns
    for value, count in (("(int)(long)context * 3", 3), ("(int)(long)context", 2)):
        replace(project / "include dir/own.h", f"#define OWN_VALUE {value}\n")
        await until(watching, lambda count=count: insns(watching, "withown.bpf") == count)  # type: ignore[misc]
    assert (project / "build/ebpf/amd64/co-re/good.bpf.o").stat().st_mtime_ns == other
    await until(watching, lambda: not screen(watching).building)
    assert "● watching " in text(watching)
    assert "ok: built 1" in text(watching) or "FAILED: built 1" in text(watching)


async def test_a_save_that_breaks_is_told_and_one_that_repairs_too(
    watching: Pilot[None], project: Path
) -> None:
    (project / "good.bpf.c").write_text("int good(void) { return nothing_such; }\n")
    await until(watching, lambda: "✗ good.bpf" in text(watching))
    await until(watching, lambda: not screen(watching).building)
    replace(project / "good.bpf.c", GOOD.replace("EXTRA", "(int)(long)context * 3"))
    await until(watching, lambda: "✓ good.bpf" in text(watching))
    assert insns(watching, "good.bpf") == 3


async def test_new_sources_and_headers_that_were_missing_count(watching: Pilot[None], project: Path) -> None:
    (project / "late.bpf.c").write_text('#include "late.h"\n' + GOOD.replace("EXTRA", "LATE"))
    await until(watching, lambda: "✗ late.bpf" in text(watching))
    await until(watching, lambda: not screen(watching).building)
    (project / "include dir/late.h").write_text("#define LATE 0\n")
    await until(watching, lambda: "✓ late.bpf" in text(watching))


async def test_a_save_during_a_build_is_followed_by_one_more(watching: Pilot[None], project: Path) -> None:
    hold = project / "hold"
    hold.touch()
    waits = project / "waits"
    waits.write_text(f"#!/bin/sh\nwhile [ -e '{hold}' ]; do sleep 0.05; done\nexec \"$@\"\n")
    waits.chmod(0o755)
    toml = (project / "ebpf.toml").read_text()
    replace(project / "ebpf.toml", f'{toml}launcher = "{waits}"\n')  # makes all of them stale
    await until(watching, lambda: "building" in row(watching, "good.bpf"))
    (project / "good.bpf.c").write_text(GOOD.replace("EXTRA", "(int)(long)context * 3"))
    await until(watching, lambda: bool(screen(watching).session.saves.pending))
    assert screen(watching).building
    assert "● watching " in text(watching)
    hold.unlink()
    await until(
        watching, lambda: not screen(watching).session.saves.pending and not screen(watching).building
    )
    await until(watching, lambda: insns(watching, "good.bpf") == 3)


async def test_w_again_stops_and_so_does_the_end(project: Path) -> None:
    async with opened(size=(120, 30)) as pilot:
        await press(pilot, "2")
        await until(pilot, lambda: "good.bpf" in text(pilot))
        await press(pilot, "w")
        await until(pilot, lambda: "● watching " in text(pilot))
        await press(pilot, "w")
        assert "watching" not in text(pilot)
        await until(pilot, lambda: not threads())
        await press(pilot, "w")
        await until(pilot, lambda: "● watching " in text(pilot))
        assert len(threads()) == 1
    assert not threads()
