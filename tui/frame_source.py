"""What the screens need of a session. They depend on this, never on the class that does it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from core.model.view import Frame, RowKey, ViewRequest

if TYPE_CHECKING:
    from core.sources.feed import Feed


class FrameSource(Protocol):
    """The source of frames: core.session.session.Session, a replay, or a fixture.

    Every method may be called from the screen's thread and returns at once.
    """

    def subscribe(
        self, callback: Callable[[Frame], None], failed: Callable[[BaseException], None] | None = None
    ) -> None:
        """Call `callback` with each new frame, `failed` if no more can come; from whatever thread."""

    def start(self) -> None:
        """Begin to publish frames."""

    def stop(self) -> None:
        """Publish no more; release what was opened."""

    def request(self, view: ViewRequest) -> None:
        """Ask for a window; the next frame carries it, and later ones until another is asked for."""

    def explain(self, key: RowKey | None) -> None:
        """Say which row the next frames explain; None: none."""

    def resolve(self, pid: int, *, evict: bool = False) -> None:
        """Resolve again, forgetting first what the cache knows when `evict`."""

    def reload(self, open_feed: Callable[[Feed], Feed]) -> None:
        """Go on with a newly opened feed; what comes of it is told in the header's message."""

    def pause(self, on: bool) -> None:
        """Hold the tree still; requests are still answered."""

    def step(self, span_ns: int) -> None:
        """Show the tree as it was so much earlier (negative) or later; the end is live again."""

    def change_speed(self, step: int) -> None:
        """Let a replay run faster (1) or slower (-1)."""
