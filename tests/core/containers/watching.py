"""What runs beside real containers: a session whose views are kept, and `ebpf-tui watch --json`."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from typing import Any

import pytest

from core.model.entities import ContainerContext
from core.model.view import Frame, ProcessView, Row, ViewRequest
from core.probe.refusals import ProbeUnavailable
from core.resolve.engine import Engine
from core.resolve.process_cache import Process
from core.session.session import Session
from core.sources.feed import open_feed
from core.system.host import LOCAL
from tests.containers_real import wait_until
from tests.places import ROOT


class _KeepingEngine(Engine):
    """An engine that keeps the latest view of each process, as the tree got it."""

    views: dict[int, ProcessView]

    def view(self, process: Process) -> ProcessView:
        view = super().view(process)
        self.views[view.entry.pid] = view
        return view


class Rows:
    """A session on this host: what it tells of each process, and the rows it shows."""

    def __init__(self) -> None:
        self._views: dict[int, ProcessView] = {}
        self._errors: list[BaseException] = []
        self._frame: Frame | None = None
        self._session = Session(self._open)
        self._session.subscribe(self._note, self._errors.append)
        self._session.request(ViewRequest(height=100_000))
        self._session.start()
        wait_until(lambda: bool(self._frame or self._errors), "the first frame")
        if self._errors and isinstance(self._errors[0], ProbeUnavailable):
            pytest.skip(f"the probe cannot be loaded here: {self._errors[0]}")

    def _open(self) -> Engine:
        engine = _KeepingEngine(open_feed(LOCAL, need_maps=True))
        engine.views = self._views
        return engine

    def _note(self, frame: Frame) -> None:
        self._frame = frame

    def container(self, pid: int) -> ContainerContext | None:
        """Return the container in which the tree has a process; it must have that process."""
        return self._views[pid].container

    def says(self, pid: int, container: str | None) -> bool:
        """True when the tree has the process, and in this container."""
        view = self._views.get(pid)
        return view is not None and (view.container.id if view.container else None) == container

    def living(self, container: str) -> set[int]:
        """Return the pids that the tree has in a container, without those that have ended."""
        return {
            view.entry.pid
            for view in list(self._views.values())
            if view.container and view.container.id == container and view.ended_ns is None
        }

    def row(self, key: int | str) -> Row | None:
        """Return the row of a pid, or of a container by its id."""
        rows = self._frame.window.rows if self._frame else ()
        return next((row for row in rows if key in (row.key, row.kind == "process" and row.pid)), None)

    def stop(self) -> None:
        self._session.stop()
        assert self._errors == []


class Watch:
    """`ebpf-tui watch --json` in a process of its own, with the lines it has written so far."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tui.cli.main", "watch", "--json"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        wait_until(lambda: bool(self.lines) or self._process.poll() is not None, "the snapshot of watch")
        if not self.lines:
            pytest.fail(f"watch has ended: {self._process.communicate()[1].decode(errors='replace')}")

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.lines.append(json.loads(line))

    def of(self, pid: int, event: str) -> list[dict[str, Any]]:
        return [line for line in self.lines if line.get("pid") == pid and line["event"] == event]

    def wait(self, pid: int, event: str, container: str | None) -> None:
        """Wait until an event of a process has been told, the latest one with this container."""
        deadline = time.monotonic() + 20
        while [line["container_id"] for line in self.of(pid, event)][-1:] != [container]:
            if time.monotonic() > deadline:
                told = [line for line in self.lines if line.get("pid") == pid]
                pytest.fail(f"no {event} of {pid} in {container}, but {json.dumps(told, indent=1)}")
            time.sleep(0.02)

    def stop(self) -> None:
        self._process.terminate()
        _, narration = self._process.communicate(timeout=20)
        self._reader.join(5)
        assert self._process.returncode == 143, narration
        assert b"Traceback" not in narration
