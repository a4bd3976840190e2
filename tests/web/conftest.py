"""What the tests of `ebpf-tui serve` share: a server that really runs."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from served import Served  # after the path is set


@pytest.fixture
def served() -> Iterator[Served]:
    server = Served("--no-probe", "--allow-signals")
    yield server
    if server.process.poll() is None:
        server.end(signal.SIGTERM)
