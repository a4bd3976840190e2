"""How one row is known: what each tier said, the lineage, the image."""

from __future__ import annotations

from typing import ClassVar

from textual.strip import Strip

from core.model import Outcome, ProcessKey, Tier, TrailStep
from core.text import safe_text
from core.view import Explanation
from tui.widgets.format import duration
from tui.widgets.lines import LineWidget, Part, fit, strip_of, width_of

_SIDE_BY_SIDE = 116
"""From this width on the trail stands left and the image right."""

_LABEL = 12


class ExplainPane(LineWidget):
    """Follows the cursor of the tree. Takes the height it needs, at most half of the screen."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "explain--title",
        "explain--label",
        "explain--hit",
        "explain--miss",
        "explain--error",
        "explain--text",
        "explain--time",
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
    }
    """

    def __init__(self) -> None:
        super().__init__()
        self._key: ProcessKey | None = None
        self._explanation: Explanation | None = None

    @property
    def is_open(self) -> bool:
        return self.has_class("-open")

    def open_for(self, key: ProcessKey | None) -> None:
        """Show this process; None: there is no process under the cursor."""
        self._key = key
        self.add_class("-open")
        self._refit()

    def close(self) -> None:
        """Take no room any more."""
        self.remove_class("-open")

    def show(self, explanation: Explanation | None) -> None:
        """Take what a frame explains. An explanation of another process is on its way out."""
        if explanation is not None and explanation.key == self._key:
            self._explanation = explanation
            self._refit()

    def on_resize(self) -> None:
        self._refit()

    def _refit(self) -> None:
        if not self.is_open:
            return
        height = max(2, min(len(self._lines(self.size.width or 80)), self.screen.size.height // 2))
        if self.styles.height is None or self.styles.height.value != height:
            self.styles.height = height
        self.redraw()

    def draw(self, width: int, height: int) -> list[Strip]:
        return [strip_of(line, width, self.plain) for line in self._lines(width)]

    def _lines(self, width: int) -> list[list[Part]]:
        pid = f" {self._key.tgid}" if self._key is not None else ""
        title = f"─ explain{pid} "
        head: list[Part] = [(title + "─" * max(0, width - width_of(title)), self.style_of("explain--title"))]
        known = self._explanation
        label = self.style_of("explain--label")
        if self._key is None:
            return [head, [(" A group of processes: move to a process to see how it is known.", label)]]
        if known is None or known.key != self._key:
            return [head, [(" …", label)]]
        if width < _SIDE_BY_SIDE:
            return [head, *self._trail(known, width), *self._facts(known, width)]
        half = width * 11 // 20
        left, right = self._trail(known, half), self._facts(known, width - half)
        lines = []
        for index in range(max(len(left), len(right))):
            first = left[index] if index < len(left) else []
            pad = half - sum(width_of(text) for text, _ in first)
            second = right[index] if index < len(right) else []
            lines.append([*first, (" " * pad, self.plain), *second])
        return [head, *lines]

    def _trail(self, known: Explanation, width: int) -> list[list[Part]]:
        steps = {step.tier: step for step in known.resolution.trail}
        return [self._step(tier, steps.get(tier), width) for tier in Tier]

    def _step(self, tier: Tier, step: TrailStep | None, width: int) -> list[Part]:
        outcome, reason, time = "–", "not needed", ""
        if step is not None:
            outcome, reason, time = str(step.outcome), safe_text(step.reason), duration(step.ns)
        style = {
            str(Outcome.HIT): "explain--hit",
            str(Outcome.ERROR): "explain--error",
        }.get(outcome, "explain--miss")
        return [
            (f" {fit(str(tier), 7)}", self.style_of("explain--label")),
            (fit(outcome, 8), self.style_of(style)),
            (f"{fit(reason, width - 27)} ", self.plain),
            (fit(time, 9, right=True), self.style_of("explain--time")),
        ]

    def _facts(self, known: Explanation, width: int) -> list[list[Part]]:
        facts = [("lineage", _path(known.lineage, width - _LABEL)), *known.image]
        label = self.style_of("explain--label")
        return [
            [(f" {fit(name, _LABEL - 1)}", label), (fit(text, max(0, width - _LABEL)), self.plain)]
            for name, text in facts
            if text
        ]


def _path(lineage: tuple[str, ...], width: int) -> str:
    """Join the ancestors; when they are too many, leave out the oldest but the first."""
    names = list(lineage)
    while len(names) > 2 and width_of(" › ".join(names)) > width:
        del names[1 : 3 if names[1] == "…" else 2]
        names.insert(1, "…")
    return " › ".join(names)
