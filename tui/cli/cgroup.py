"""`ebpf-tui cgroup`: the container of a cgroup path or a process."""

from __future__ import annotations

import click

from core.containers.cgroup_file import container_of_lines, container_of_process, parse_cgroup_file
from core.containers.names import ContainerNames
from core.model.entities import ContainerContext
from core.text.safe import json_text, safe_text
from tui.output import CommandError, ExitCode, emit, narrate
from tui.settings import Settings

_TEXT_LIMIT = 1 << 20


@click.command()
@click.argument("file", type=click.Path(allow_dash=True), required=False)
@click.option("--pid", type=click.IntRange(min=1), help="Look up a process of this host.")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON object.")
@click.pass_obj
def command(settings: Settings, file: str | None, pid: int | None, as_json: bool) -> None:
    """Print the container id and runtime from FILE, which has the format of /proc/PID/cgroup; - is stdin.

    FILE is parsed on its own; --pid also reads the state of the container runtimes of this host.
    """
    if (file is None) == (pid is None):
        raise click.UsageError("give either a FILE (- for stdin) or --pid PID")
    context = _of_process(settings, pid) if pid is not None else _of_text(file or "-")
    if as_json:
        emit(
            "cgroup",
            {
                "container_id": context.id,
                "runtime": context.runtime,
                "cgroup_path": json_text(context.cgroup_path),
                "pod_uid": context.pod_uid,
                "parent_id": context.parent_id,
            },
        )
        return
    for name, value in (
        ("container", context.id),
        ("runtime", context.runtime),
        ("inside", context.parent_id),
        ("pod uid", context.pod_uid),
        ("cgroup", safe_text(context.cgroup_path)),
    ):
        click.echo(f"{name:<10} {value or '–'}")


def _of_process(settings: Settings, pid: int) -> ContainerContext:
    try:
        context = container_of_process(settings.host, pid)
    except (FileNotFoundError, ProcessLookupError):
        raise CommandError(f"no process {pid} in {settings.host.proc}") from None
    except OSError as error:
        raise CommandError(f"cannot read the cgroup of process {pid}: {error.strerror}") from None
    names = ContainerNames(settings.host, ask_runtimes=settings.ask_runtimes)
    return names.container_of(context.cgroup_path)


def _of_text(file: str) -> ContainerContext:
    try:
        with click.open_file(file, "rb") as stream:
            lines = parse_cgroup_file(stream.read(_TEXT_LIMIT))
    except OSError as error:
        # Exit 2, as for every wrong argument: the file was named on the command line.
        raise CommandError(f"{safe_text(file)}: {error.strerror}", ExitCode.USAGE) from None
    if not lines:
        narrate(f"{safe_text(file)}: no line has the form HIERARCHY:CONTROLLERS:/PATH")
    return container_of_lines(lines)
