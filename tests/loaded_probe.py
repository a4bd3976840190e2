"""The real probe, where this host allows it."""

from __future__ import annotations

import pytest

from core.probe.loader import Probe, ProbeOptions
from core.probe.refusals import ProbeUnavailable
from core.system.host import LOCAL


def load_probe(options: ProbeOptions | None = None) -> Probe:
    """Load and attach it; the caller closes it. Skips with the reason where it cannot be loaded."""
    try:
        return Probe(LOCAL, options)
    except ProbeUnavailable as why:
        pytest.skip(f"the probe cannot be loaded here: {why}")
