"""What became of the programs of an object, and why."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Verdict = Literal["accepted", "rejected", "not asked"]
"""`rejected`: the kernel's verifier said no. `not asked`: libbpf or the kernel stopped before it looked."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why, in words of a C programmer, and what to change; `fix` starts with a verb.

    `before` and `after` are the same few lines of C with the mistake and without it, empty for most.
    """

    cause: str
    fix: str
    before: str = ""
    after: str = ""


NOT_EXPLAINED = Explanation("", "")


@dataclass(frozen=True, slots=True)
class TracePoint:
    """One place on the way to the refused instruction, in the order in which they run."""

    file: str
    line: int
    what: str


@dataclass(frozen=True, slots=True)
class ProgramVerdict:
    """What became of one program. All texts are safe to show; `log` keeps its line breaks.

    `permitted` is False when loading it was refused to us, whatever is in it. `reason` is what the kernel or
    libbpf said, empty for an accepted program; `explained` what that means, empty when it is not known.
    `file`, `line` and `source` are those of the instruction that was refused, when the object has line
    information. `fixups`: what was set for the check that loading the object itself does not set.
    `insns_verified` and `states` are counts of the verifier, None when it did not come to an end.
    """

    name: str
    section: str
    type: str
    verdict: Verdict
    permitted: bool = True
    insns_verified: int | None = None
    states: int | None = None
    reason: str = ""
    explained: Explanation = NOT_EXPLAINED
    file: str | None = None
    line: int | None = None
    source: str = ""
    trace: tuple[TracePoint, ...] = ()
    fixups: tuple[str, ...] = ()
    log: str = ""

    @property
    def accepted(self) -> bool:
        return self.verdict == "accepted"


@dataclass(frozen=True, slots=True)
class ObjectVerdict:
    """The verdicts in the order of the programs."""

    path: Path
    programs: tuple[ProgramVerdict, ...]

    @property
    def accepted(self) -> bool:
        return all(one.accepted for one in self.programs)

    @property
    def rejected(self) -> bool:
        """Whether the verifier refused some program."""
        return any(one.verdict == "rejected" for one in self.programs)

    @property
    def permitted(self) -> bool:
        """False when some program was not looked at, because loading it is not allowed to us."""
        return all(one.permitted for one in self.programs)
