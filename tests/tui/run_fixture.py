"""Opens the screens on the fixture engine in a real terminal, for test_terminal.py.

`run_fixture.py [--ascii] [--color | --no-color] [MILLISECONDS]`: publish a frame without news that often,
from another thread. The options are those of `ebpf-tui`.
"""

from __future__ import annotations

import sys
import threading
import time

from tests.tui.fixture_engine import FixtureEngine
from tui.cli.open_screens import open_screens
from tui.output import CommandError
from tui.settings import Settings


def publish(engine: FixtureEngine, every: float) -> None:
    while True:
        time.sleep(every)
        engine.publish()


def main(arguments: list[str]) -> int:
    fixture = FixtureEngine()
    times = [int(word) / 1000 for word in arguments if word.isdecimal()]
    if times:
        threading.Thread(target=publish, args=(fixture, *times), daemon=True).start()
    color = {"--color": True, "--no-color": False}
    chosen = [color[word] for word in arguments if word in color]
    settings = Settings(color=chosen[0] if chosen else None, ascii="--ascii" in arguments)
    try:
        return open_screens(settings, fixture)
    except CommandError as error:
        error.show()
        return error.code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
