"""What the command line writes where a person says: links that lie there already lead it nowhere."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(sys.executable).with_name("ebpf-tui")


@pytest.mark.parametrize("to", ["victim", "missing"])
@pytest.mark.parametrize(
    ("args", "name", "code"),
    [
        (["--log-file", "planted", "info"], "planted", 2),
        (["record", "planted", "--duration", "0"], "planted", 1),
        (["config", "init"], "config/ebpf-tui/config.toml", 1),
    ],
)
def test_a_link_in_the_place_of_the_file_is_refused(
    tmp_path: Path, args: list[str], name: str, code: int, to: str
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious\n")
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(tmp_path / to)
    ran = subprocess.run(
        [PROGRAM, *args], cwd=tmp_path, env={**os.environ, "XDG_CONFIG_HOME": str(tmp_path / "config")},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert ran.returncode == code
    assert len(ran.stderr.splitlines()) == 1, ran.stderr
    assert victim.read_text() == "precious\n"
    assert not (tmp_path / "missing").exists()


def test_a_log_is_written_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    for _ in range(2):
        subprocess.run(
            [PROGRAM, "--log-file", tmp_path / "log", "info"], capture_output=True, timeout=120, check=True
        )
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o600
