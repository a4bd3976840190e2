"""What the loaded probe reports of one process, and starting one."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from core.model.entities import ProcessEntry
from core.model.events import Event, Exec
from core.probe import layout
from core.probe.loader import Probe


def events_of(probe: Probe, pid: int, until: type, seconds: float = 30) -> list[Event]:
    """Collect the events of a pid until one of the kind `until` has come."""
    found: list[Event] = []
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for record in probe.consume():
            event = layout.decode_event(record)
            if getattr(event, "pid", None) == pid or (isinstance(event, Exec) and event.entry.pid == pid):
                found.append(event)
        if any(isinstance(event, until) for event in found):
            return found
        time.sleep(0.01)
    raise AssertionError(f"no {until.__name__} of {pid} in {found}")


def run_until_named(arguments: list[str | Path], name: str) -> subprocess.Popen[bytes]:
    child = subprocess.Popen(arguments)
    while Path(f"/proc/{child.pid}/comm").read_text() != f"{name}\n":
        time.sleep(0.01)
    return child


def entry_of(probe: Probe, pid: int) -> ProcessEntry:
    return next(record.entry for record in probe.snapshot() if record.entry.pid == pid)
