"""The host of the pictures: shop.rec, a real recording, replayed in step with the test that looks at it.

tools/make_recording.py makes it, and says what runs on that host.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from core.model.view import Frame, Row
from core.resolve.engine import Engine
from core.session.session import Parts, Session
from core.sources.recording.replay import ReplayFeed
from tests.places import SHOP

SECOND = 1_000_000_000


class ReplayInStep(Session):
    """A session on a recording without its thread and its clock: the same frames on every machine.

    What is asked for is answered before the call returns. Time passes by `play` alone.
    """

    def __init__(self, path: Path = SHOP) -> None:
        self._now_ns = 0
        self._engine = Engine(ReplayFeed(path, clock_ns=lambda: self._now_ns))
        self._parts: Parts | None = None
        super().__init__(lambda: self._engine)

    def subscribe(
        self, callback: Callable[[Frame], None], failed: Callable[[BaseException], None] | None = None
    ) -> None:
        super().subscribe(lambda frame: callback(_packed_alike(frame)), failed)

    def start(self) -> None:
        self._parts = self._begin(self._engine)
        self._nudge()

    def stop(self) -> None:
        self._engine.feed.close()

    def play(self, seconds: int) -> None:
        """Let so much time pass, a frame a second."""
        assert self._parts is not None
        for _ in range(seconds):
            self._now_ns += SECOND
            self._nudge()
            self._parts.scheduler.do_chores(now=True)
        self._nudge()

    def rows(self) -> tuple[Row, ...]:
        """Return all rows of the view that is asked for."""
        assert self._parts is not None
        wanted = msgspec.structs.replace(self._parts.publisher.view, top=0, anchor=None, height=1000)
        return self._parts.live.tree.window(wanted, self._parts.live.timeline.at_ns).rows

    def _nudge(self) -> None:
        super()._nudge()
        if self._parts is not None:
            self._parts.scheduler.take_in()
            self._parts.publisher.dirty = True
            self._parts.publisher.publish()


def _packed_alike(frame: Frame) -> Frame:
    """Leave out how small the past was packed: one zlib packs better than another."""
    past = frame.header.past
    past = msgspec.structs.replace(past, kept_bytes=min(past.kept_bytes, 100 << 10))
    return msgspec.structs.replace(frame, header=msgspec.structs.replace(frame.header, past=past))
