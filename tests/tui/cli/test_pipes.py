"""Every subcommand into a pipe whose reader goes away: no traceback, whenever it goes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from core.doctor import check_probe
from core.system.host import LOCAL
from tests.needs import lacks
from tests.places import ROOT
from tui.cli.main import COMMANDS
from tui.output import ExitCode

PROGRAM = [sys.executable, "-m", "tui.cli.main"]
PROBE = ROOT / "core/probe/process.bpf.o"

CALLS = {
    "headers": "headers",
    "flags": "flags",
    "build": "build",
    "inspect": f"inspect {PROBE}",
    "verify": f"verify {PROBE}",
    "ps": "ps",
    "resolve": "resolve 1",
    "watch": "watch",
    "audit": "audit",
    "cgroup": "cgroup /proc/self/cgroup",
    "containers": "containers",
    "bpf": "bpf",
    "record": "record --duration 0.2 --json file",
    "serve": "serve --help",
    "replay": "replay --json recording",
    "config": "config show",
    "probe": "probe reload --json",
    "doctor": "doctor",
    "info": "info",
}
NEED_PROBE = ("verify", "watch")


def test_every_command_is_called() -> None:
    assert set(CALLS) == set(COMMANDS)


@pytest.mark.parametrize("reader", ["true", "head -n 1"])
@pytest.mark.parametrize("name", CALLS)
def test_a_reader_that_goes_away(name: str, reader: str, tmp_path: Path) -> None:
    if name in NEED_PROBE and not (probe := check_probe(LOCAL)).ok:
        pytest.skip(f"needs the probe: {probe.detail}")
    if name in ("build", "flags") and shutil.which("clang") is None:
        lacks("clang")
    (tmp_path / "small.bpf.c").write_text("int small(void) { return 0; }\n")
    environment = os.environ | {"PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(tmp_path)}
    if name == "replay":
        record = [*PROGRAM, "--no-probe", "record", "--duration", "0", "recording"]
        subprocess.run(record, cwd=tmp_path, env=environment, capture_output=True, timeout=60, check=True)
    ran = subprocess.run(
        ["bash", "-c", f'set -o pipefail; "$@" {CALLS[name]} | {reader}', "bash", *PROGRAM],
        cwd=tmp_path, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip
    assert "Traceback" not in ran.stderr
    assert "Error" not in ran.stderr
    assert ran.returncode in (*ExitCode, 0)
    if name in ("ps", "watch") and reader == "true":
        assert (ran.returncode, ran.stderr) == (ExitCode.READER_GONE, "")
