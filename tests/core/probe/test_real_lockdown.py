"""Lockdown for real: `make test-kernels` boots a kernel with lockdown=confidentiality and runs this there."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.places import ROOT


@pytest.fixture(autouse=True)
def locked_down() -> None:
    file = Path("/sys/kernel/security/lockdown")
    if not file.exists() or "[confidentiality]" not in file.read_text():
        pytest.skip("the kernel is not locked down: boot with lockdown=confidentiality (make test-kernels)")


def test_procfs_answers_and_the_cure_is_named() -> None:
    command = [sys.executable, "-m", "tui.cli.main", "ps", "--json"]
    ps = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    tiers = json.loads(ps.stdout)["tiers"]
    assert tiers["step"] == "procfs"
    assert tiers["maps"]["reason"] == (
        "kernel lockdown is in confidentiality mode: boot with lockdown=integrity"
    )


def test_the_kernel_would_have_refused_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check before loading takes nothing away that would have worked."""
    from core.probe import host_checks, loader
    from core.probe.refusals import ProbeUnavailable
    from core.system.host import LOCAL

    monkeypatch.setattr(host_checks, "_is_confidential", lambda host: False)
    with pytest.raises(ProbeUnavailable):
        loader.Probe(LOCAL)
