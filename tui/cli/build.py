"""`ebpf-tui build`: build the eBPF objects of a project with ninja."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from core.text.safe import safe_text
from tui.output import CommandError, ExitCode, emit, narrate
from tui.settings import Settings

if TYPE_CHECKING:
    from buildgen.events import BuildEvent
    from buildgen.plan.plan import BuildPlan


@click.command(
    help="Build eBPF objects with ninja, as ebpf.toml says. Default: every *.bpf.c, *_kern.c and *-kern.c."
)
@click.argument("objects", metavar="[OBJECT]...", nargs=-1)
@click.option(
    "-C", "directory", default=".", type=click.Path(path_type=Path), help="The project's directory."
)
@click.option("--arch", "arches", multiple=True, help="Architecture, in any spelling; may be repeated.")
@click.option(
    "--variant", "variants", multiple=True,
    help="prebuilt or co-re, optionally with -debug or -unit-test; debug or unit-test alone selects both.",
)  # fmt: skip
@click.option(
    "-j", "--jobs", type=click.IntRange(1, 4096), help="Number of parallel commands. Default: ninja's."
)
@click.option("-k", "--keep-going", is_flag=True, help="Continue with the other objects after a failure.")
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), help="Directory to write objects to."
)
@click.option("--json", "as_json", is_flag=True, help="Write one JSON object per line.")
@click.pass_obj
def command(
    settings: Settings,
    *,
    objects: tuple[str, ...],
    directory: Path,
    arches: tuple[str, ...],
    variants: tuple[str, ...],
    jobs: int | None,
    keep_going: bool,
    out: Path | None,
    as_json: bool,
) -> None:
    from buildgen.errors import ConfigError
    from buildgen.plan.plan import plan
    from buildgen.project.project import absolute, load_project
    from buildgen.project.trust import what_runs

    try:
        project = load_project(directory)
        planned = plan(
            project,
            host=settings.host,
            arches=arches,
            variants=variants,
            objects=objects,
            out=absolute(out) if out else None,
        )
    except ConfigError as error:
        raise CommandError(str(error), ExitCode.USAGE) from error
    if planned.held_back:
        raise CommandError(safe_text(planned.held_back), ExitCode.USAGE)
    for line in what_runs(project):
        narrate(f"runs as {safe_text(planned.trust.runs_as)}: {line}")
    for warning in planned.warnings:
        narrate(f"warning: {warning}")
    if not _run(planned, jobs, keep_going, as_json):
        raise SystemExit(int(ExitCode.FAILED))


def _run(plan: BuildPlan, jobs: int | None, keep_going: bool, as_json: bool) -> bool:
    """Run the build and print its events; return whether every command succeeded."""
    from buildgen.events import Done, event_json
    from buildgen.ninja.runner import run_build
    from buildgen.session.builder import progress_of

    run = run_build(plan, jobs=jobs, keep_going=keep_going)
    ok = False
    build = progress_of(run)
    try:
        for progress in build:
            event = progress.event
            if as_json:
                emit("build", event_json(event))
            else:
                _print_event(event)
            if isinstance(event, Done):
                ok = event.ok
    finally:
        run.cancel()
        build.close()  # ctrl+c, SIGTERM or a closed pipe: ends ninja and what it runs
    return ok


def _print_event(event: BuildEvent) -> None:
    from buildgen.events import Diagnosed, Done, EdgeFinished

    match event:
        case EdgeFinished(output, ok, seconds, log):
            click.echo(f"{'ok    ' if ok else 'FAILED'} {safe_text(output)}  {seconds:.2f} s")
            if log:
                narrate(log)
        case Diagnosed(diagnosis):
            where = (
                f"{safe_text(diagnosis.file)}:{diagnosis.line}: " if diagnosis.line and diagnosis.file else ""
            )
            narrate(f"{safe_text(diagnosis.output)}: {where}{diagnosis.cause}")
            narrate(f"  fix: {diagnosis.fix}")
        case Done():
            counts = f"built {event.built}, failed {event.failed}, up to date {event.up_to_date}"
            narrate(f"{'ok' if event.ok else 'FAILED'}: {counts}, {event.seconds:.1f} s")
