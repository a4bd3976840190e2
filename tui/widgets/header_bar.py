"""The line above every screen: the host, the state of the tiers, and the totals."""

from __future__ import annotations

from functools import partial
from textwrap import wrap
from typing import ClassVar

from textual.strip import Strip

from core.model.entities import LadderStep, TierState
from core.model.view import Header, Past, Position
from core.text.safe import safe_text
from tui.widgets.format import age, clock, count, size
from tui.widgets.lines import LineWidget, Part, strip_of, width_of

MESSAGE_SECONDS = 8.0
"""How long a message of the session is shown."""

_NOTE_ROOM = 8
"""Lines of the screen per line of notes: on a small terminal the tree matters more."""


class HeaderBar(LineWidget):
    """One line, and more while a tier is off or there is a message. Sets its own height."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "header--name",
        "header--host",
        "header--on",
        "header--off",
        "header--number",
        "header--alarm",
        "header--note",
    }
    DEFAULT_CSS = """
    HeaderBar {
        height: 1;
        background: $panel;
        color: $foreground;
        & > .header--name { color: $primary; text-style: bold; }
        & > .header--host { color: $foreground; }
        & > .header--on { color: $success; }
        & > .header--off { color: $warning; text-style: bold; }
        & > .header--number { color: $text-muted; }
        & > .header--alarm { color: $error; text-style: bold; }
        & > .header--note { color: $warning; }
    }
    """

    def __init__(self) -> None:
        super().__init__()
        self.header: Header | None = None
        self._problem = ""
        self._message = ""
        self._message_seen = ""

    def show(self, header: Header) -> None:
        """Show the header of a new frame. A new message is shown for MESSAGE_SECONDS."""
        self.header = header
        if header.message != self._message_seen:
            self._message = self._message_seen = header.message
            self.set_timer(MESSAGE_SECONDS, partial(self._forget, header.message))
        self.fit_height()
        self.redraw()

    def _forget(self, message: str) -> None:
        if message == self._message:
            self._message = ""
            self.fit_height()
            self.redraw()

    def show_problem(self, problem: str) -> None:
        """Show, before all other notes, why the screen is out of date. `problem` is safe to show."""
        self._problem = problem
        self.fit_height()
        self.redraw()

    def fit_height(self) -> None:
        """Set the height to the number of lines; a new height lays out the screen again."""
        lines = 1 + len(self._notes(self.size.width))
        if self.styles.height is None or self.styles.height.value != lines:
            self.styles.height = lines

    def on_resize(self) -> None:
        self.fit_height()

    def draw(self, width: int, height: int) -> list[Strip]:
        return [
            self._first_line(width),
            *(strip_of([(note, self.style_of("header--note"))], width, self.plain)
              for note in self._notes(width)),
        ]  # fmt: skip

    def _first_line(self, width: int) -> Strip:
        """Drop the least important parts until the line fits; loss, drift and tiers stay."""
        for left_out in range(6):
            left, middle, right = self._groups(left_out)
            lengths = [sum(width_of(text) for text, _ in group) for group in (left, middle, right)]
            spare = width - sum(lengths)
            if spare >= 4 or left_out == 5:
                break
        gap = max(1, spare // 2)
        rest = self.plain
        parts = [*left, (" " * gap, rest), *middle, (" " * max(1, spare - gap), rest), *right]
        return strip_of(parts, width, rest)

    def _groups(self, left_out: int) -> tuple[list[Part], list[Part], list[Part]]:
        header = self.header
        name, host, number = (self.style_of(f"header--{part}") for part in ("name", "host", "number"))
        left: list[Part] = [(" ebpf-tui", name)] if left_out < 4 else []
        if header is None:
            return [*left, ("  opening…", number)], [], []
        places = [header.hostname, header.kernel, header.arch]
        places = places[: 3 if left_out < 1 else 2 if left_out < 3 else 1]
        if left_out < 5:
            left.append(("  " if left else " ", host))
            left.append((" · ".join(safe_text(place, 64) for place in places if place), host))
        tiers = header.tiers
        middle = [
            part
            for tier, state in (("cache", tiers.cache), ("maps", tiers.maps), ("procfs", tiers.procfs))
            for part in self._tier(tier, state)
        ]
        numbers = [f"{count(header.processes)} procs", f"{count(header.containers)} ctrs"]
        if left_out < 2:
            numbers.append(f"{count(round(header.events_per_second))} ev/s")
        right: list[Part] = [("  ".join(numbers[: 1 if left_out >= 3 else 3]), number)]
        for word, value in (("lost", header.lost), ("drift", header.drift)):
            if value or left_out < 2:
                right.append(
                    (f"  {word} {count(value)}", self.style_of("header--alarm") if value else number)
                )
        right.append((" ", number))
        if header.replay is not None and left_out < 5:
            right.append((f"{replay_words(header.replay)} ", number))
        if header.paused:
            right.append((paused_words(header.past, left_out), self.style_of("header--off")))
        return left, middle, right

    def _tier(self, name: str, state: TierState) -> list[Part]:
        sign, style = ("●", "header--on") if state.on else ("○ off", "header--off")
        return [(f" {name} ", self.style_of("header--host")), (sign, self.style_of(style))]

    def _notes(self, width: int) -> list[str]:
        """Return the notes: the problem, why a tier is off with its remedy, and the message."""
        if not width:
            return []
        notes = [f"! {self._problem}"] if self._problem else []
        notes.extend(self._notes_of(self.header, width) if self.header is not None else [])
        return [f" {note}" for note in notes[: min(3, self.screen.size.height // _NOTE_ROOM)]]

    def _notes_of(self, header: Header, width: int) -> list[str]:
        notes = []
        tiers = header.tiers
        if tiers.step is not LadderStep.EVENTS_AND_MAPS:
            off = {"cache": tiers.cache, "maps": tiers.maps, "procfs": tiers.procfs}
            reasons = [
                f"{name}: {safe_text(state.reason)}"
                for name, state in off.items()
                if state.reason and not state.on
            ]
            notes.extend(wrap(f"{tiers.step} — {'; '.join(reasons)}" if reasons else tiers.step, width - 2))
        if header.past.full:
            kept = size(header.past.kept_bytes)
            notes.append(f"History full ({kept}); new changes merge into one step")
        if self._message:
            notes.append(safe_text(self._message))
        return notes


def paused_words(past: Past, left_out: int) -> str:
    """Return that the display is paused, how far behind it is, and the keys to move, as far as they fit."""
    seconds = past.behind_ns // 1_000_000_000
    words = f"paused · {age(past.behind_ns) if seconds < 60 else clock(past.behind_ns)} ago"
    if not past.rewound:
        words = "paused"
    if left_out >= 4:
        return f"{words} "
    back = "" if past.at_start else "[ back · "
    return f"{words} · {back}] forward " if past.rewound else f"{words}{' · [ back' if back else ''} "


def replay_words(replay: Position) -> str:
    """Return the speed of a replay and its position: `2× 0:12/5:00`."""
    ended = " end" if replay.ns >= replay.length_ns else ""
    return f"{replay.speed:g}× {clock(replay.ns)}/{clock(replay.length_ns)}{ended}"
