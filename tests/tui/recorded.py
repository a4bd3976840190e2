"""The host of the pictures: shop.rec, a real recording, replayed in step with the test that looks at it.

tools/make_recording.py makes it, and says what runs on that host.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from core.model.view import Header, Row, Window
from core.resolve.engine import Engine
from core.session.session import Session
from core.sources.recording.replay import ReplayFeed

RECORDING = Path(__file__).parent / "shop.rec"
SECOND = 1_000_000_000


class ReplayInStep(Session):
    """A session on a recording without its thread and its clock: the same frames on every machine.

    What is asked for is answered before the call returns. Time passes by `play` alone.
    """

    def __init__(self, path: Path = RECORDING) -> None:
        self._now_ns = 0
        self._engine = Engine(ReplayFeed(path, clock_ns=lambda: self._now_ns))
        self._started = False
        super().__init__(lambda: self._engine)

    def start(self) -> None:
        self._begin(self._engine)
        self._started = True
        self._nudge()

    def stop(self) -> None:
        self._engine.feed.close()

    def play(self, seconds: int) -> None:
        """Let so much time pass, a frame a second."""
        for _ in range(seconds):
            self._now_ns += SECOND
            self._nudge()
            self._next_names = self._next_sweep = 0
            self._do_chores(self._engine)
        self._nudge()

    def rows(self) -> tuple[Row, ...]:
        """Return all rows of the view that is asked for."""
        wanted = msgspec.structs.replace(self._view, top=0, anchor=None, height=1000)
        return self._tree.window(wanted, self._playback.timeline.at_ns).rows

    def _header(self, engine: Engine, window: Window, now_ns: int) -> Header:
        """Leave out how small the past was packed: one zlib packs better than another."""
        header = super()._header(engine, window, now_ns)
        past = msgspec.structs.replace(header.past, kept_bytes=min(header.past.kept_bytes, 100 << 10))
        return msgspec.structs.replace(header, past=past)

    def _nudge(self) -> None:
        super()._nudge()
        self._drain_wake()
        if self._started:
            self._take_news(self._engine)
            self._publish(self._engine)
