"""How the Build screen shows a target: its row in the table, and the lines below the table."""

from __future__ import annotations

from buildgen.plan.plan import TargetStatus
from buildgen.project.trust import what_runs
from buildgen.session.board import Board, TargetRow, shown_path
from core.text.safe import safe_text
from tui.screens.past_builds import past_builds
from tui.widgets import format as fmt
from tui.widgets.list_pane import Cell, Line, cells

_SIGNS = {
    TargetStatus.MISSING: ("·", "dim"),
    TargetStatus.STALE: ("~", "warn"),
    TargetStatus.FRESH: ("✓", "good"),
    TargetStatus.BUILT: ("✓", "good"),
    TargetStatus.BUILDING: ("▸", "key"),
    TargetStatus.FAILED: ("✗", "bad"),
    TargetStatus.BLOCKED: ("✗", "warn"),
    TargetStatus.CANCELLED: ("·", "warn"),
}


def target_row(row: TargetRow) -> Line:
    """Return a row of the table."""
    sign, kind = _SIGNS.get(row.state, ("?", "dim"))
    seconds = "–" if row.seconds is None else f"{row.seconds:.2f}s"
    return [
        Cell(f"{sign} ", kind),
        *cells((safe_text(row.target.name), 28), (row.target.arch.name, 8, "dim")),
        *cells((str(row.target.variant), 10, "dim"), (row.state, 10, kind)),
        *cells((seconds, -7), (fmt.size(row.size), -6), (_insns(row), -12)),
        Cell(f" {shown_path(row.target.source, row.plan.project.root)}", "dim"),
    ]


def _insns(row: TargetRow) -> str:
    """Instructions, and by how many the latest build changed them."""
    if row.insns is None:
        return "–"
    if row.insns_before in (None, row.insns):
        return fmt.count(row.insns)
    return f"{fmt.count(row.insns)} {row.insns - (row.insns_before or 0):+}"


def detail_of(row: TargetRow) -> list[Line]:
    """Return the lines below the table: the diagnosis, the log, what a build runs, the builds before."""
    runs: list[Line] = [
        [Cell(f"runs: {line}", "dim")] for line in what_runs(row.plan.project, row.target.source)
    ]
    lines: list[Line] = []
    if row.diagnosis is not None:
        where = row.diagnosis.file or ""
        place = f"{safe_text(where)}:{row.diagnosis.line}" if row.diagnosis.line else safe_text(where)
        lines.append([Cell(f"✗ {row.diagnosis.cause}", "bad")])
        if place:
            lines.append([Cell("  at  ", "dim"), Cell(place, "key")])
        lines.append([Cell("  do  ", "dim"), Cell(row.diagnosis.fix)])
    lines.extend([Cell(line)] for line in row.log)
    if not lines:
        lines.append([Cell(f"{safe_text(str(row.target.output))}: {row.state}", "dim")])
    return [*lines, *runs, *past_builds(row.history)]


def tools_of(board: Board) -> str:
    """Return the compiler of the board in some words."""
    toolchain = next((row.plan.toolchain for row in board.targets if row.plan.toolchain), None)
    return f"clang {toolchain.clang.version}" if toolchain is not None and toolchain.clang else "no clang"
