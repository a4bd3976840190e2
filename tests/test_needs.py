"""A missing tool is a skip on a person's machine, and a failure where CI=true."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.places import ROOT


@pytest.mark.parametrize(
    ("how", "ci", "outcome"),
    [
        ("call", "", "1 skipped"),
        ("mark", "", "1 skipped"),
        ("call", "true", "1 failed"),
        ("mark", "true", "1 error"),  # before the test has begun
    ],
)
def test_a_missing_tool(tmp_path: Path, how: str, ci: str, outcome: str) -> None:
    marked = '@pytest.mark.needs("no-such-tool")\n' if how == "mark" else ""
    body = "pass" if how == "mark" else 'needs("no-such-tool")'
    (tmp_path / "test_one.py").write_text(
        f"import pytest\nfrom tests.needs import needs\n\n{marked}def test_it():\n    {body}\n"
    )
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "tests.conftest", "-p", "no:cacheprovider",
         "-c", ROOT / "pyproject.toml", tmp_path],
        cwd=tmp_path, env={**os.environ, "CI": ci, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert outcome in ran.stdout
