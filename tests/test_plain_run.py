"""`make run` where there is no terminal."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from tests.places import ROOT


def test_without_a_terminal_the_main_job_is_shown_as_text() -> None:
    if not (ROOT / ".venv/bin/ebpf-tui").exists() or shutil.which("clang") is None:
        pytest.skip("not set up here: no .venv, or no clang")
    ran = subprocess.run(
        [ROOT / "tools/plain-run"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=240,
        check=False,
    )  # fmt: skip
    assert ran.returncode == 0
    (hint,) = ran.stderr.splitlines()
    assert "make run in a terminal" in hint
    assert "\x1b" not in ran.stdout
    for part in ("kernel-headers", "SOURCE", "procfs", "-D__KERNEL__", "process.bpf.o"):
        assert part in ran.stdout
    assert "plain-run" in ran.stdout  # it is in the tree itself
