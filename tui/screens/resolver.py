"""Screen 5: which tiers answer, how often and how fast, and the counters of the session."""

from __future__ import annotations

from textual.app import ComposeResult

from core.model.counters import Counter
from core.model.entities import Tier, Tiers, TierState
from core.model.latency import TierLatency
from core.model.view import Frame, Past
from core.text.safe import safe_text
from tui.counter_history import BUCKET_NS, sparkline
from tui.screens.base_screen import BaseScreen
from tui.widgets import format as fmt
from tui.widgets.list_pane import Cell, Line, ListPane, cells, titles

_PER_SECOND = 1_000_000_000 / BUCKET_NS
_RATE_BUCKETS = 5
_BAR = 20
_WIDE = 100
_SEEN = 4


class ResolverScreen(BaseScreen):
    """Shows the tiers, what is bounded and how full it is, and every counter with its rate."""

    NAME = "resolver"
    DEFAULT_CSS = """
    ResolverScreen {
        & #tiers { height: 5; }
        & #state { height: 8; }
        & #counters { height: 1fr; }
    }
    """

    def __init__(self) -> None:
        super().__init__()
        self.tiers = ListPane()
        self.state = ListPane()
        self.counters = ListPane()

    def compose_body(self) -> ComposeResult:
        self.tiers.id, self.state.id, self.counters.id = "tiers", "state", "counters"
        self.tiers.can_focus = self.state.can_focus = False
        yield self.tiers
        yield self.state
        yield self.counters

    def show_frame(self, frame: Frame) -> None:
        super().show_frame(frame)
        self._show_tiers(frame.header.tiers, {latency.tier: latency for latency in frame.latency})
        self._show_state(frame)
        self._show_counters()

    def _show_tiers(self, tiers: Tiers, latency: dict[Tier, TierLatency]) -> None:
        history = self.app.history
        hits = {tier: history.counters.get(f"hits {tier}", 0) for tier in Tier}
        asked = sum(hits.values()) + history.counters.get("miss", 0)
        columns = ("P50", "P95") if self.size.width >= _WIDE else ("P50",)
        space = max(0, self.size.width - 51 - 11 * len(columns))
        states = {Tier.CACHE: tiers.cache, Tier.MAPS: tiers.maps, Tier.PROCFS: tiers.procfs}
        rows = [
            [
                *self._tier_row(tier, states[tier], hits[tier], asked),
                *self._over_time(f"hits {tier}", _times(latency.get(tier), columns), space),
            ]
            for tier in Tier
        ]
        missed = history.counters.get("miss", 0)
        nothing = self._over_time("miss", " " * 11 * len(columns), space)
        rows.append([*self._tier_row("miss", None, missed, asked), *nothing])
        head = titles(("TIER", 8), ("STATE", 7), ("ANSWERS", -10), ("SHARE", -7))
        times = "".join(f"{name:>11}" for name in columns)
        minutes = "  LAST MINUTES" if space >= _SEEN else ""
        self.tiers.show(f"{head}{'PER SECOND':>11}{times}{minutes}", rows, tiers.step)

    def _tier_row(self, name: str, state: TierState | None, hits: int, asked: int) -> Line:
        word, kind = ("", "") if state is None else ("● on", "good") if state.on else ("○ off", "warn")
        share = f"{100 * hits / asked:.1f}%" if asked else "–"
        counter = name if state is None else f"hits {name}"
        return [
            *cells((name, 8, "title"), (word, 7, kind), (fmt.count(hits), -10), (share, -7)),
            *cells((self._rate(counter), -10)),
        ]

    def _over_time(self, counter: str, times: str, space: int) -> Line:
        drawn = sparkline(self.app.history.series(counter, space)) if space >= _SEEN else ""
        return [Cell(times), Cell(f"  {drawn}" if drawn else "", "key")]

    def _show_state(self, frame: Frame) -> None:
        """Show how full each bounded store is, and gauges with their last minutes as a sparkline."""
        header, past = frame.header, frame.header.past
        rows = [self._full("cache", frame.cached, frame.cache_limit)]
        rows += [self._full(safe_text(fill.name), fill.entries, fill.capacity) for fill in frame.fills]
        kept = f"{fmt.size(past.kept_bytes)} of {fmt.size(past.limit_bytes)}"
        rows.append(self._line("events/s", fmt.count(round(header.events_per_second)), "events/s"))
        rows.append(self._line("lost", fmt.count(header.lost), "lost", bad=bool(header.lost)))
        rows.append(self._line("drift", fmt.count(header.drift), "drift", bad=bool(header.drift)))
        rows.append([*cells(("history", 12, "title"), (kept, -22)), Cell(f"  {_reach(past)}", "dim")])
        self.state.show(f"{titles(('STATE', 12), ('NOW', -22))}  HOW FULL, OR LAST MINUTES", rows)

    def _full(self, name: str, number: int, limit: int) -> Line:
        share = number / limit if limit else 0.0
        length = max(4, min(_BAR, self.size.width - 45))
        bar = "█" * round(share * length)
        text = f"{fmt.count(number)} of {fmt.count(limit)}"
        return [
            *cells((name, 12, "title"), (text, -22)),
            Cell("  "),
            Cell(bar, "key"),
            Cell("·" * (length - len(bar)), "dim"),
            Cell(f" {100 * share:.0f}%"),
        ]

    def _line(self, name: str, now: str, series: str, *, bad: bool = False) -> Line:
        space = max(8, self.size.width - 40)
        drawn = sparkline(self.app.history.series(series, space))
        return [*cells((name, 12, "title"), (now, -22, "warn" if bad else "")), Cell(f"  {drawn}", "key")]

    def _rate(self, counter: str) -> str:
        grown = sum(self.app.history.series(counter, _RATE_BUCKETS))
        return f"{grown * _PER_SECOND / _RATE_BUCKETS:.1f}"

    def _show_counters(self) -> None:
        rows: list[Line] = []
        for name, value in sorted(self.app.history.counters.items()):
            if name.startswith("hits "):
                continue
            bad = value and name in (Counter.LOST, Counter.RESYNC)
            rows.append(
                [
                    *cells((safe_text(name), 28, "warn" if bad else ""), (fmt.count(value), -12)),
                    *cells((self._rate(name), -10)),
                    Cell(f"  {_meaning(name)}", "dim"),
                ]
            )
        head = titles(("COUNTER", 28), ("TOTAL", -12), ("PER SECOND", -10))
        self.counters.show(head, rows or [[Cell("no events counted yet", "dim")]])


def _meaning(name: str) -> str:
    """Return the meaning of a counter; empty for one from a recording of a later version."""
    try:
        return Counter(name).meaning
    except ValueError:
        return ""


def _reach(past: Past) -> str:
    return f"Z [ ] go back up to {fmt.clock(past.reach_ns)}" if past.kept_bytes else "no changes recorded yet"


def _times(latency: TierLatency | None, columns: tuple[str, ...]) -> str:
    """Return the P50 of the answer times, and the P95 if it has a column; a recording has neither."""
    times = (latency.p50_ns, latency.p95_ns) if latency is not None and latency.count else (None, None)
    return "".join(f"{'–' if ns is None else fmt.duration(ns):>11}" for ns in times[: len(columns)])
