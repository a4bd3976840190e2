"""The events of a running build; each is one line of `ebpf-tui build --json`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from buildgen.diagnostics import Diagnosis


@dataclass(frozen=True, slots=True)
class Planned:
    """The first event. `total` counts the edges that will run: two per object, none if all are up to date."""

    total: int


@dataclass(frozen=True, slots=True)
class EdgeStarted:
    """`output` is relative to the plan's `out`: `amd64/co-re/process.bpf.bc`."""

    output: str


@dataclass(frozen=True, slots=True)
class EdgeFinished:
    """`log` is the output of the tools, safe to show, with its line breaks."""

    output: str
    ok: bool
    seconds: float
    log: str


@dataclass(frozen=True, slots=True)
class Diagnosed:
    """Why one output was not built."""

    diagnosis: Diagnosis


@dataclass(frozen=True, slots=True)
class Done:
    """The last event. The counts are of objects; objects that were not attempted are in none of them."""

    ok: bool
    built: int
    failed: int
    up_to_date: int
    seconds: float
    cancelled: bool = False


BuildEvent = Planned | EdgeStarted | EdgeFinished | Diagnosed | Done


def event_json(event: BuildEvent) -> dict[str, Any]:
    """Return the fields of one line of `build --json`, without the schema."""
    match event:
        case Planned(total):
            return {"event": "plan", "total": total}
        case EdgeStarted(output):
            return {"event": "edge_started", "output": output}
        case EdgeFinished(output, ok, seconds, log):
            took = round(seconds, 4)
            return {"event": "edge_finished", "output": output, "ok": ok, "seconds": took, "log": log}
        case Diagnosed(diagnosis):
            return {
                "event": "diagnosis",
                "output": diagnosis.output,
                "cause": diagnosis.cause,
                "fix": diagnosis.fix,
                "file": diagnosis.file,
                "line": diagnosis.line,
            }
        case Done():
            return {
                "event": "done",
                "ok": event.ok,
                "built": event.built,
                "failed": event.failed,
                "up_to_date": event.up_to_date,
                "seconds": round(event.seconds, 4),
            }
