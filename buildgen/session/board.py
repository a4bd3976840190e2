"""What the Build screen knows: the targets of the projects, and what the events made of them."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from pathlib import Path

from buildgen.diagnostics import Diagnosis
from buildgen.errors import ConfigError
from buildgen.events import BuildEvent, Diagnosed, Done, EdgeFinished, EdgeStarted, Planned
from buildgen.ninja.edge_times import edge_seconds, of_outputs, seconds_left
from buildgen.ninja.workspace import with_states
from buildgen.owner import invoking_user
from buildgen.plan.plan import BuildPlan, Target, TargetStatus, plan
from buildgen.project.project import load_project
from buildgen.project.trust import Trust
from buildgen.session.history import KEPT, Built, built, read_history
from core.system.host import Host
from core.text.safe import safe_text

_MOST_LOG_LINES = 500
UNASKED = 4 << 20
"""Bytes of the largest object that is read without having been asked for."""
_UNASKED_ALL = 32 << 20
"""Bytes of all objects of a board that are read for the column with their instructions."""


@dataclass(slots=True)
class TargetRow:
    """One row of the table. `state`: what the plan knew, and what builds made of it."""

    plan: BuildPlan
    target: Target
    state: TargetStatus
    seconds: float | None = None
    size: int | None = None
    insns: int | None = None
    insns_before: int | None = None
    """Instructions before the latest build, None when nothing was there to compare."""
    diagnosis: Diagnosis | None = None
    log: list[str] = field(default_factory=list)
    history: tuple[Built, ...] = ()
    """The latest builds of it, also those of earlier sessions, the latest last."""


@dataclass(slots=True)
class Board:
    """All targets of all projects, in a stable order, and the build that is going on."""

    targets: list[TargetRow] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    total: int = 0
    finished: int = 0
    running: dict[str, float] = field(default_factory=dict)
    """Edge -> when it started (time.monotonic())."""
    took: dict[str, float] = field(default_factory=dict)
    """How long edges of the targets took the last time, in seconds."""
    done: list[Done] = field(default_factory=list)
    said: str = ""
    """How the last build ended, or empty while none has, or one is running."""

    @property
    def ok(self) -> bool:
        """Whether every project of the last build went well."""
        return all(done.ok for done in self.done)

    @property
    def seconds_left(self) -> float | None:
        """About how long the build still takes, None when that is not known."""
        now = time.monotonic()
        running = {output: now - started for output, started in self.running.items()}
        return seconds_left(self.took, running, max(0, self.total - self.finished - len(running)))

    def keep(self, older: Board) -> None:
        """Take over from the board before what the disk does not tell: failures, times, how it ended."""
        self.said, self.done, self.total, self.finished = older.said, older.done, older.total, older.finished
        known = {(row.plan.out, row.target.label): row for row in older.targets}
        for row in self.targets:
            was = known.get((row.plan.out, row.target.label))
            if was is None:
                continue
            row.seconds, row.log, row.insns_before = was.seconds, was.log, was.insns_before
            if row.state in (TargetStatus.STALE, TargetStatus.MISSING) and was.state == TargetStatus.FAILED:
                row.state, row.diagnosis = TargetStatus.FAILED, was.diagnosis
            elif row.state == TargetStatus.FRESH and was.state == TargetStatus.BUILT:
                row.state = TargetStatus.BUILT

    def made(self, plan: BuildPlan, output: str, built: Built) -> None:
        """A new object was looked at."""
        row = self.row(plan, output)
        if row is not None:
            row.size, row.insns_before, row.insns = built.size, row.insns, built.insns
            row.history = (*row.history, built)[-KEPT:]

    def begin(self) -> None:
        """A build starts; it may go through several projects."""
        self.total = self.finished = 0
        self.done = []
        self.said = ""
        self.problems = []

    def begin_project(self, plan: BuildPlan) -> None:
        """The targets of one project come next."""
        for target in plan.targets:
            row = self.row(plan, target.label)
            if row is not None:
                row.diagnosis, row.log = target.diagnosis, []

    def row(self, plan: BuildPlan, output: str) -> TargetRow | None:
        """Return the row that an output belongs to: its object, or the bitcode in front of it."""
        label = output.removesuffix(".bc") + ".o" if output.endswith(".bc") else output
        for row in self.targets:
            if row.plan.out == plan.out and row.target.label == label:
                return row
        return None

    def apply(self, plan: BuildPlan, event: BuildEvent) -> None:
        """Take one event of a build of `plan`."""
        match event:
            case Planned(total):
                self.total += total
            case EdgeStarted(output):
                self.running[output] = time.monotonic()
                self._mark(plan, output, TargetStatus.BUILDING)
            case EdgeFinished():
                self._finished(plan, event)
            case Diagnosed(diagnosis):
                row = self.row(plan, diagnosis.output)
                if row is None:
                    self.problems.append(f"{diagnosis.cause}: {diagnosis.fix}")
                else:
                    row.diagnosis = diagnosis
                    row.state = TargetStatus.BLOCKED if row.target.diagnosis else TargetStatus.FAILED
            case Done():
                self._done(event)

    def _finished(self, plan: BuildPlan, event: EdgeFinished) -> None:
        self.finished += 1
        self.running.pop(event.output, None)
        self.took[event.output] = event.seconds
        row = self.row(plan, event.output)
        if row is None:
            return
        started_over = event.output.endswith(".bc")
        row.seconds = event.seconds + (0.0 if started_over or row.seconds is None else row.seconds)
        row.log = [*row.log, *event.log.splitlines()][:_MOST_LOG_LINES]
        if not event.ok:
            row.state = TargetStatus.FAILED
        elif event.output.endswith(".o"):
            row.state = TargetStatus.BUILT

    def _done(self, event: Done) -> None:
        self.running = {}
        self.done.append(event)
        for row in self.targets:
            if row.state == TargetStatus.BUILDING:
                row.state = TargetStatus.CANCELLED

    def end(self, problem: str = "") -> None:
        """Nothing more is to be built; `problem` when something kept the last project from it."""
        done = self.done
        word = "cancelled" if any(one.cancelled for one in done) else "ok" if self.ok else "FAILED"
        counts = [("built", "built"), ("failed", "failed"), ("up to date", "up_to_date")]
        sums = ", ".join(f"{word} {sum(getattr(one, name) for one in done)}" for word, name in counts)
        self.said = f"{word}: {sums}, {sum(one.seconds for one in done):.1f} s"
        if problem:
            self.problems.append(problem)
            self.said = f"FAILED: {problem}"

    def _mark(self, plan: BuildPlan, output: str, state: TargetStatus) -> None:
        row = self.row(plan, output)
        if row is not None:
            row.state = state


def read_board(host: Host, projects: list[tuple[Path, Path | None]]) -> Board:
    """Plan every project (directory, where its objects go) and ask ninja what is up to date.

    What cannot be planned is a problem on the board. Reads the disk and runs the system's clang --version,
    and nothing of the projects.
    """
    board = Board()
    history = read_history()
    left = _UNASKED_ALL
    seen: set[Path] = set()
    for directory, out in projects:
        try:
            project = load_project(directory)
            trust = None if out is None else trust_of_ours(project.root)
            made = with_states(plan(project, host=host, out=out, trust=trust, looking=True))
        except ConfigError as error:
            board.problems.append(str(error))
            continue
        board.warnings.extend([*made.warnings, *([made.held_back] if made.held_back else [])])
        board.took |= of_outputs(edge_seconds(made.out), [target.label for target in made.targets])
        for target in made.targets:
            if out is not None and target.source in seen:
                continue  # this directory's own project builds it already
            seen.add(target.source)
            row = _state_of(made, target, history.get(str(target.output), ()), min(UNASKED, left))
            left -= min(row.size or 0, left)
            board.targets.append(row)
    return board


def narrowed(plan_: BuildPlan, targets: list[Target], host: Host, trust: Trust | None = None) -> BuildPlan:
    """Return the plan of these targets of a project alone, to be built. Runs the compiler it names.

    `trust` None: judge again who can change the project.
    """
    return plan(
        plan_.project,
        host=host,
        arches=list(dict.fromkeys(target.arch for target in targets)),
        objects=[target.label for target in targets],
        out=plan_.out,
        trust=trust,
    )


def trust_of_ours(root: Path) -> Trust:
    """Return the judgement of this program's own probe: who can change that can change us anyway."""
    return Trust(root, builder=invoking_user())


def shown_path(path: Path, root: Path) -> str:
    """Return a path below `root` without it, made safe."""
    return safe_text(str(path.relative_to(root) if path.is_relative_to(root) else path))


def place_of(row: TargetRow) -> tuple[Path, int | None] | None:
    """Return the file and the line that a row's diagnosis names, else its source; None: no such file.

    Compilers run in the plan's `out` and may name anything: only an ordinary file is taken.
    """
    said = row.diagnosis
    if said is not None and said.file:
        file = Path(os.path.normpath(row.plan.out / said.file))
        if file.is_file():
            return file, said.line
    return (row.target.source, None) if row.target.source.is_file() else None


def _state_of(plan: BuildPlan, target: Target, history: tuple[Built, ...], most: int) -> TargetRow:
    known = built(target.output, 0, most)
    return TargetRow(
        plan,
        target,
        target.state,
        size=known.size if known else None,
        insns=known.insns if known else None,
        diagnosis=target.diagnosis,
        history=history,
    )
