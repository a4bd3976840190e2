"""One build of one project, with what became of each object; the history gets it at the end."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

from buildgen.events import BuildEvent, Done, EdgeFinished
from buildgen.ninja.runner import BuildRun
from buildgen.session.history import Built, built, remember


@dataclass(frozen=True, slots=True)
class Progress:
    """One event of a build. `built`: the object that it finished; None for any other event."""

    event: BuildEvent
    built: Built | None = None


def progress_of(run: BuildRun) -> Generator[Progress, None, None]:
    """Yield what happens in a build; whoever stops asking ends the build and all of its processes.

    The screen and `ebpf-tui build` both build this way, so each sees the other's builds in the history.
    """
    seconds: dict[str, float] = {}
    objects: dict[str, Built] = {}
    events = iter(run)
    try:
        for event in events:
            built_object = None
            if isinstance(event, EdgeFinished):
                seconds[event.output] = event.seconds
                built_object = _look_at(run, event, seconds)
                if built_object is not None:
                    objects[str(run.plan.out / event.output)] = built_object
            if isinstance(event, Done):
                remember(objects)
            yield Progress(event, built_object)
    finally:
        events.close()


def _look_at(run: BuildRun, event: EdgeFinished, seconds: dict[str, float]) -> Built | None:
    """Return what an edge has built, if it is an object; its time includes the bitcode before it."""
    if not event.ok or not event.output.endswith(".o"):
        return None
    bitcode = seconds.get(event.output.removesuffix(".o") + ".bc", 0.0)
    return built(run.plan.out / event.output, bitcode + event.seconds)
