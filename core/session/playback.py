"""Time in a session: pause, back and forward, and the speed of a replay."""

from __future__ import annotations

from core.model.view import Past, Position
from core.session.timeline import LIMIT_BYTES, SPAN_NS, HeaderFacts, Timeline
from core.sources.feed import Feed
from core.sources.recording.replay import ReplayFeed
from core.tree.tree import Tree

SPEEDS = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
"""The speeds that the keys for slower and faster step through."""


class Playback:
    """Moves the tree's timeline. Owned by the collector thread.

    Pausing also stops the clock of a recording. A live host goes on, and the timeline keeps what happens
    meanwhile.
    """

    def __init__(self, tree: Tree, feed: Feed) -> None:
        self._replay = feed if isinstance(feed, ReplayFeed) else None
        # In a recording only the limit in bytes bounds the history.
        span_ns = SPAN_NS if self._replay is None else 0
        self.timeline = Timeline(tree, HeaderFacts(feed.tiers), span_ns=span_ns)

    def pause(self, on: bool, now_ns: int) -> None:
        """Pause the tree, or return it to live; nothing that happened meanwhile is lost."""
        if self._replay is not None:
            self._replay.hold(on)
        if on:
            self.timeline.hold(now_ns)
        else:
            self.timeline.release()

    def back(self, span_ns: int, now_ns: int) -> None:
        """Go back in time; a live tree is paused first."""
        self.pause(True, now_ns)
        self.timeline.back(span_ns)

    def forward(self, span_ns: int, now_ns: int) -> bool:
        """Go forward in time; a live host that reaches the end of the history returns to live.

        A replay is advanced instead, paused or not. Returns True when a paused replay was advanced: its
        feed must be read before `forward` is called again.
        """
        if self.timeline.held and self.timeline.forward(span_ns):
            return False
        if self._replay is not None and not self._replay.ended:
            self._replay.skip(span_ns)
            return self.timeline.held
        self.pause(False, now_ns)
        return False

    def change_speed(self, step: int) -> None:
        """Make a replay run at the next higher (1) or lower (-1) speed; no effect on a live host."""
        if self._replay is not None:
            now = self._replay.position.speed
            nearest = min(range(len(SPEEDS)), key=lambda at: abs(SPEEDS[at] - now))
            self._replay.set_speed(SPEEDS[max(0, min(nearest + step, len(SPEEDS) - 1))])

    def past(self, now_ns: int) -> Past:
        """Return the tree's position in time, for the header."""
        line = self.timeline
        return Past(
            behind_ns=max(0, now_ns - line.at_ns) if line.held else 0,
            reach_ns=max(0, now_ns - line.reach_ns),
            kept_bytes=line.bytes,
            limit_bytes=LIMIT_BYTES,
            rewound=line.rewound,
            at_start=line.at_start,
            full=line.full,
        )

    @property
    def position(self) -> Position | None:
        """Return the position in the recording; None on a live host."""
        return None if self._replay is None else self._replay.position
