"""One line that says how far a build is."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.strip import Strip

from core.text.safe import safe_text
from tui.widgets.lines import LineWidget, Part, strip_of

if TYPE_CHECKING:
    from buildgen.session.board import Board

_BAR = 24


class ProgressLine(LineWidget):
    """`building ━━━━━━────── 3/8  amd64/co-re/process.bpf.o`; afterwards how it ended.

    In front of it `● watching 37 files`, while saves are watched.
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "progress--done",
        "progress--todo",
        "progress--bad",
        "progress--text",
        "progress--watching",
    }
    DEFAULT_CSS = """
    ProgressLine {
        height: 1;
        background: $panel;
        & > .progress--done { color: $success; text-style: bold; }
        & > .progress--todo { color: $text-disabled; }
        & > .progress--bad { color: $error; text-style: bold; }
        & > .progress--text { color: $text-muted; }
        & > .progress--watching { color: $accent; text-style: bold; }
    }
    """

    def __init__(self) -> None:
        super().__init__()
        self._board: Board | None = None
        self._building = False
        self._watching = ""

    def show(self, board: Board, building: bool, watching: str = "") -> None:
        """Show where this board's build stands; `watching` says that saves are watched, and is empty else."""
        self._board = board
        self._building = building
        self._watching = watching
        self.redraw()

    def draw(self, width: int, height: int) -> list[Strip]:
        watching: list[Part] = []
        if self._watching:
            watching = [
                (f" ● {self._watching}", self.style_of("progress--watching")),
                (" · w stops ", self.style_of("progress--text")),
            ]
        return [strip_of([*watching, *self._parts()], width, self.plain)]

    def _parts(self) -> list[Part]:
        board = self._board
        done, text = self.style_of("progress--done"), self.style_of("progress--text")
        if board is None or not (self._building or board.said):
            return [("" if self._watching else " b builds the target, B all of them", text)]
        if not self._building:
            good = board.ok and not board.said.startswith("FAILED")
            return [(f" {board.said}", done if good else self.style_of("progress--bad"))]
        full = _BAR * board.finished // max(1, board.total)
        return [
            (" building ", text),
            ("━" * full, done),
            ("─" * (_BAR - full), self.style_of("progress--todo")),
            (f" {board.finished}/{board.total}  {_left(board.seconds_left)}", text),
            (safe_text(", ".join(board.running)), text),
        ]


def _left(seconds: float | None) -> str:
    """Say how long it still takes, in steps that do not flicker; nothing when it is about to end."""
    if seconds is None or seconds < 1:
        return ""
    return f"{seconds:.0f} s left  " if seconds < 90 else f"{seconds / 60:.0f} min left  "
