"""The man page and the completions that a package takes are those of the command line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.places import ROOT
from tui.cli.main import COMMANDS


def test_they_are_made_from_the_command_line(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "tools/share.py"), str(tmp_path)]
    made = subprocess.run(command, check=True, capture_output=True, text=True)
    page = (tmp_path / "man/man1/ebpf-tui.1").read_text()
    for name in COMMANDS:
        assert f".SS {name}" in page
    assert "\\-\\-no\\-probe" in page
    assert "Traceback" not in made.stderr
    bash = tmp_path / "bash-completion/completions/ebpf-tui"
    subprocess.run(["bash", "-n", bash], check=True)
    assert "_EBPF_TUI_COMPLETE=zsh_complete" in (tmp_path / "zsh/site-functions/_ebpf-tui").read_text()
    assert len(made.stdout.splitlines()) == 4
