"""Screen 5: who answers, how often, and what went wrong on the way."""

from __future__ import annotations

from textual.app import ComposeResult

from core.model import Tier, Tiers, TierState
from core.text import safe_text
from core.view import Frame
from tui.history import BUCKET_NS, sparkline
from tui.screens.room import Room
from tui.widgets import format as fmt
from tui.widgets.list_pane import Cell, Line, ListPane, cells, titles

_PER_SECOND = 1_000_000_000 / BUCKET_NS
_RATE_BUCKETS = 5

_MEANINGS = {
    "miss": "no tier knew the pid",
    "lost": "events the kernel could not hand over",
    "resync": "walks over all tasks after a loss",
    "limited": "procfs tries held back: one per pid and 30 s",
    "added event": "processes that a fork or an exec brought in",
    "added snapshot": "processes that the task iterator brought in",
    "added maps": "entries taken from the kernel maps",
    "added procfs": "entries read from /proc",
    "flushed limit": "entries that made room for newer ones",
    "flushed vanished": "entries whose process was gone without an event",
    "reparent success": "children that got a new parent",
    "reparent failed": "children whose new parent is not known",
    "inode error procfs_mismatch": "exe changed between request and answer",
}


class ResolverScreen(Room):
    """Counters of the session, with how fast they grow."""

    NAME = "resolver"
    DEFAULT_CSS = """
    ResolverScreen {
        & #tiers { height: 6; }
        & #counters { height: 1fr; }
    }
    """

    def __init__(self) -> None:
        super().__init__()
        self.tiers = ListPane()
        self.counters = ListPane()

    def compose_body(self) -> ComposeResult:
        self.tiers.id, self.counters.id = "tiers", "counters"
        self.tiers.can_focus = False
        yield self.tiers
        yield self.counters

    def show_frame(self, frame: Frame) -> None:
        super().show_frame(frame)
        self._show_tiers(frame.header.tiers)
        self._show_counters()

    def _show_tiers(self, tiers: Tiers) -> None:
        history = self.app.history
        hits = {tier: history.counters.get(f"hits {tier}", 0) for tier in Tier}
        asked = sum(hits.values()) + history.counters.get("miss", 0)
        room = max(8, self.size.width - 62)
        states = {Tier.CACHE: tiers.cache, Tier.MAPS: tiers.maps, Tier.PROCFS: tiers.procfs}
        rows = [self._tier_row(tier, states[tier], hits[tier], asked, room) for tier in Tier]
        missed = history.counters.get("miss", 0)
        rows.append(self._tier_row("miss", None, missed, asked, room))
        head = titles(("TIER", 8), ("STATE", 7), ("ANSWERS", -10), ("SHARE", -7))
        self.tiers.show(f"{head}{'PER SECOND':>11}  LAST MINUTES", rows, tiers.step)

    def _tier_row(self, name: str, state: TierState | None, hits: int, asked: int, room: int) -> Line:
        word, kind = ("", "") if state is None else ("● on", "good") if state.on else ("○ off", "warn")
        share = f"{100 * hits / asked:.1f}%" if asked else "–"
        counter = name if state is None else f"hits {name}"
        return [
            *cells((name, 8, "title"), (word, 7, kind), (fmt.count(hits), -10), (share, -7)),
            *cells((self._rate(counter), -10)),
            Cell(f"  {sparkline(self.app.history.series(counter, room))}", "key"),
        ]

    def _rate(self, counter: str) -> str:
        grown = sum(self.app.history.series(counter, _RATE_BUCKETS))
        return f"{grown * _PER_SECOND / _RATE_BUCKETS:.1f}"

    def _show_counters(self) -> None:
        rows: list[Line] = []
        for name, value in sorted(self.app.history.counters.items()):
            if name.startswith("hits "):
                continue
            bad = value and name in ("lost", "resync")
            rows.append(
                [
                    *cells((safe_text(name), 28, "warn" if bad else ""), (fmt.count(value), -12)),
                    *cells((self._rate(name), -10)),
                    Cell(f"  {_MEANINGS.get(name, '')}", "dim"),
                ]
            )
        head = titles(("COUNTER", 28), ("TOTAL", -12), ("PER SECOND", -10))
        self.counters.show(head, rows or [[Cell("nothing was counted yet", "dim")]])
