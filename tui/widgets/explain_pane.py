"""Explains the row under the cursor: each tier's answer, its story, its facts and its CPU history."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from textual.strip import Strip

from core.model.entities import Outcome, Resolution, Tier, TrailStep
from core.model.view import Explanation, RowKey
from core.text.safe import safe_text
from tui.counter_history import sparkline
from tui.keymap import key_for
from tui.widgets.format import duration
from tui.widgets.lines import LineWidget, Part, fit, fit_in, strip_of, width_of, wrap

_SIDE_BY_SIDE = 116
"""From this width on, the story is on the left and the facts are on the right."""

_LABEL, _OUTCOME, _TIME = 12, 8, 9
"""Widths of the columns in cells."""

_WRAPPED = 6
"""The most lines of one text; the rest of it is cut."""


class ExplainPane(LineWidget):
    """Follows the cursor of the tree. As high as the longest explanation so far, at most half of the screen;
    longer ones scroll."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "explain--title",
        "explain--label",
        "explain--hit",
        "explain--miss",
        "explain--error",
        "explain--text",
        "explain--time",
        "explain--line",
    }
    DEFAULT_CSS = """
    ExplainPane {
        height: 1;
        display: none;
        background: $background;
        color: $foreground;
        &.-open { display: block; }
        & > .explain--title { color: $primary; text-style: bold; }
        & > .explain--label { color: $text-muted; }
        & > .explain--hit { color: $success; text-style: bold; }
        & > .explain--miss { color: $text-disabled; }
        & > .explain--error { color: $error; text-style: bold; }
        & > .explain--time { color: $text-muted; }
        & > .explain--line { color: $primary; }
    }
    """

    def __init__(self, keys: Mapping[str, str]) -> None:
        """`keys` maps command ids to the user's keys."""
        super().__init__()
        self._keys = keys
        self._key: RowKey | None = None
        self._explanation: Explanation | None = None
        self._top = self._height = self._width = 0

    @property
    def is_open(self) -> bool:
        return self.has_class("-open")

    def open_for(self, key: RowKey | None) -> None:
        """Explain this row; None: no row is under the cursor.

        The previous explanation stays, under its own title, until the new one arrives a moment later.
        """
        if key != self._key:
            self._top = 0
        self._key = key
        if not self.is_open:
            self._explanation, self._height = None, 0
            self.add_class("-open")
            self._refit()

    def close(self) -> None:
        """Hide the pane."""
        self.remove_class("-open")

    def show(self, explanation: Explanation | None) -> None:
        """Show the explanation of a frame; one of another row is outdated and dropped."""
        if explanation is not None and explanation.key == self._key:
            self._explanation = explanation
            self._refit()

    def scroll_lines(self, step: int) -> None:
        """Scroll to the next page (1) or the previous one (-1), if not all lines fit."""
        page = max(1, self.size.height - 2)
        self._top = max(0, min(self._top + step * page, self._most()))
        self.redraw()

    def on_resize(self) -> None:
        if self.size.width != self._width:
            self._width, self._height = self.size.width, 0
        self._refit()

    def _most(self) -> int:
        return max(0, len(self._lines(self.size.width)) + 1 - self.size.height)

    def _refit(self) -> None:
        if not self.is_open:
            return
        lines = self._lines(self.size.width or 80)
        # The height only grows: otherwise the tree would jump under the cursor on every row.
        self._height = max(2, self._height, len(lines) + 1)
        height = min(self._height, max(2, self.screen.size.height // 2))
        if self.styles.height is None or self.styles.height.value != height:
            self.styles.height = height
        self._top = min(self._top, max(0, len(lines) + 1 - height))
        self.redraw()

    def draw(self, width: int, height: int) -> list[Strip]:
        lines = self._lines(width)
        below = len(lines) - self._top - (height - 1)
        shown = [self._head(width, self._top, max(0, below)), *lines[self._top : self._top + height - 1]]
        return [strip_of(line, width, self.plain) for line in shown]

    def _head(self, width: int, above: int, below: int) -> list[Part]:
        """Return the upper edge: the name of the row, and a hint if not all lines are visible."""
        explanation = self._explanation
        name = safe_text(explanation.title, 80) if explanation is not None else ""
        title = f"─ explain {name} " if name else "─ explain "
        more = ""
        if below:
            more = f" {key_for('processes.explain_more', self._keys)}: {below} more lines ─"
        elif above:
            more = f" {key_for('processes.explain_back', self._keys)}: back ─"
        title = fit_in(title, max(0, width - width_of(more)))
        style = self.style_of("explain--title")
        return [(title + "─" * max(0, width - width_of(title) - width_of(more)), style), (more, style)]

    def _lines(self, width: int) -> list[list[Part]]:
        explanation = self._explanation
        if explanation is None:
            return [[(" …", self.style_of("explain--label"))]]
        if width < _SIDE_BY_SIDE:
            return [*self._story(explanation, width - 1), *self._facts(explanation.facts, width - 1)]
        half = width // 2
        left, right = self._story(explanation, half - 1), self._facts(explanation.facts, width - half - 1)
        lines = []
        for index in range(max(len(left), len(right))):
            first = left[index] if index < len(left) else []
            pad = half - sum(width_of(text) for text, _ in first)
            second = right[index] if index < len(right) else []
            lines.append([*first, (" " * pad, self.plain), *second])
        return lines

    def _story(self, explanation: Explanation, width: int) -> list[list[Part]]:
        lines = [] if explanation.resolution is None else self._trail(explanation.resolution, width)
        lines += self._facts(explanation.story, width)
        if any(explanation.cpu_history):
            lines.append(self._cpu_line(explanation.cpu_history, width - _LABEL))
        return lines

    def _cpu_line(self, history: tuple[float | None, ...], width: int) -> list[Part]:
        """Return the CPU shares as a sparkline, the newest on the right; a dot where none was measured."""
        kept = history[-max(0, width) :] if width > 0 else ()
        bars = sparkline([round(1000 * (share or 0)) for share in kept])
        drawn = "".join(
            "·" if share is None else bar if bar != " " else "▁"
            for share, bar in zip(kept, bars, strict=True)
        )
        return [(" " * _LABEL, self.plain), (drawn, self.style_of("explain--line"))]

    def _trail(self, resolution: Resolution, width: int) -> list[list[Part]]:
        steps = {step.tier: step for step in resolution.trail}
        return [line for tier in Tier for line in self._step(tier, steps.get(tier), width)]

    def _step(self, tier: Tier, step: TrailStep | None, width: int) -> list[list[Part]]:
        outcome, reason, time = "–", "not needed", ""
        if step is not None:
            outcome, reason = str(step.outcome), safe_text(step.reason)
            time = duration(step.ns) if step.ns else ""
        style = {
            str(Outcome.HIT): "explain--hit",
            str(Outcome.ERROR): "explain--error",
        }.get(outcome, "explain--miss")
        room = max(1, width - _LABEL - _OUTCOME - _TIME - 1)
        first, *more = wrap(reason, room, _WRAPPED)
        return [
            [
                (f" {fit(str(tier), _LABEL - 1)}", self.style_of("explain--label")),
                (fit(outcome, _OUTCOME), self.style_of(style)),
                (f"{fit(first, room)} ", self.plain),
                (fit(time, _TIME, right=True), self.style_of("explain--time")),
            ],
            *([(" " * (_LABEL + _OUTCOME) + line, self.plain)] for line in more),
        ]

    def _facts(self, facts: tuple[tuple[str, str], ...], width: int) -> list[list[Part]]:
        label = self.style_of("explain--label")
        lines: list[list[Part]] = []
        for name, text in facts:
            for number, line in enumerate(wrap(text, max(1, width - _LABEL), _WRAPPED)):
                lines.append([(f" {fit('' if number else name, _LABEL - 1)}", label), (line, self.plain)])
        return lines
