"""What the tests of `ebpf-tui serve` share: a server that really runs."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from tests.tui.web.served import Served


@pytest.fixture
def served() -> Iterator[Served]:
    server = Served("--no-probe", "--allow-signals")
    yield server
    if server.process.poll() is None:
        server.end(signal.SIGTERM)
