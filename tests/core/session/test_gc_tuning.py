"""A session tells the garbage collector to leave its processes alone."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import gc, threading
from core.system.host import LOCAL
from core.session.session import open_session

session = open_session(LOCAL, probe=False)
there = threading.Event()
session.subscribe(lambda frame: there.set())
session.start()
assert there.wait(30)
session.stop()
print(gc.isenabled(), gc.get_freeze_count() > 1000, gc.get_threshold()[0] > 1000)
"""


def test_what_a_session_begins_with_is_never_walked_again() -> None:
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["True", "True", "True"], done.stderr
