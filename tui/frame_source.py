"""What the screens need from a session. They depend on this protocol, not on the class behind it."""

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
        """Call `callback` with each new frame, and `failed` once if frames stop; both from any thread."""

    def start(self) -> None:
        """Start publishing frames."""

    def stop(self) -> None:
        """Stop publishing frames and release everything that was opened."""

    def request(self, view: ViewRequest) -> None:
        """Request a window; the next frame carries it, and so do later frames until another request."""

    def explain(self, key: RowKey | None) -> None:
        """Choose the row that the next frames explain; None: no row."""

    def resolve(self, pid: int, *, evict: bool = False) -> None:
        """Resolve a process again; with `evict` its cache entry is removed first."""

    def reload(self, open_feed: Callable[[Feed], Feed]) -> None:
        """Continue with a newly opened feed; the header's message reports the result."""

    def pause(self, on: bool) -> None:
        """Freeze the tree, or continue; requests are answered in either case."""

    def step(self, span_ns: int) -> None:
        """Move the display by `span_ns` through the history, back if negative; its end is live again."""

    def change_speed(self, step: int) -> None:
        """Make a replay run faster (1) or slower (-1)."""
