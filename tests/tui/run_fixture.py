"""Opens the screens on the fixture engine in a real terminal, for test_terminal.py.

`run_fixture.py [MILLISECONDS]`: publish a frame without news that often, from another thread.
"""

from __future__ import annotations

import sys
import threading
import time

from fixture_engine import FixtureEngine

from tui.app import show
from tui.settings import Settings


def publish(engine: FixtureEngine, every: float) -> None:
    while True:
        time.sleep(every)
        engine.publish()


if __name__ == "__main__":
    fixture = FixtureEngine()
    if len(sys.argv) > 1:
        every = int(sys.argv[1]) / 1000
        threading.Thread(target=publish, args=(fixture, every), daemon=True).start()
    sys.exit(show(fixture, Settings()))
