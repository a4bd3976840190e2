"""Objects: code with source lines, the verifier's verdicts, the difference to the build before."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from harness import opened, press, text
from test_screens import until
from textual.pilot import Pilot

from buildgen.plan import plan
from buildgen.project import load_project
from buildgen.runner import run_build
from tui.screens.object_views import Page
from tui.screens.objects import ObjectsScreen

NOTHING = Page("", [])
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
        pytest.skip("no clang or no libbpf-dev here")
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
    assert "since the build before: " in text(pilot)
    assert "1 programs" in text(pilot)
    await press(pilot, "d")
    await until(pilot, lambda: "insns" in text(pilot) and "changed" in text(pilot))
    assert "→" in text(pilot)
    await press(pilot, "escape")
    assert "license GPL" in text(pilot)


async def test_enter_leads_to_the_code_and_escape_back(pilot: Pilot[None]) -> None:
    await press(pilot, "enter")
    for _ in range(30):
        if objects(pilot).inside.given in (objects(pilot)._page or NOTHING).programs:
            break
        await press(pilot, "down")
    await press(pilot, "enter")
    await until(pilot, lambda: "bpf_map_lookup_elem" in text(pilot) and "exit" in text(pilot))
    assert "counted.bpf.c:8  return  *value;" in text(pilot)
    assert "counts" in text(pilot)
    await press(pilot, "escape")
    assert "license GPL" in text(pilot)
    await press(pilot, "escape")
    assert pilot.app.focused is objects(pilot).objects


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
