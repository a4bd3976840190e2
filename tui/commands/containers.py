"""`ebpf-tui containers`: the containers of this host and their processes."""

from __future__ import annotations

import os

import click

from core.containers.cgroup_file import container_of_process
from core.containers.names import ContainerNames
from core.host import Host
from core.model import ContainerContext
from core.text import json_text
from tui.output import CommandError, emit, narrate
from tui.settings import Settings


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_obj
def command(settings: Settings, as_json: bool) -> None:
    """List the containers that have processes, with names where the runtime's state can be read."""
    names = ContainerNames(settings.host, ask_runtimes=settings.ask_runtimes)
    groups = _by_container(settings.host, names)
    for problem in names.problems:
        narrate(f"{problem}; containers of plain runc and ctr are missing here")
    if as_json:
        emit("containers", {"containers": [_record(context, pids) for context, pids in groups]})
        return
    if not groups:
        narrate("no process of this host is in a container")
    for context, pids in groups:
        short_id = context.short_id if context.id != context.name else None
        pod = context.pod_name or context.pod_uid
        outer = context.outer and f"inside {context.outer.shown_name}"
        words = (context.name, context.runtime, context.image, pod and f"pod {pod}", outer, short_id)
        click.echo(f"⬢ {' · '.join(w for w in words if w)}  {_some(pids)}")
        if context.reason and context.name is None:
            click.echo(f"    {context.reason}")


def _by_container(host: Host, names: ContainerNames) -> list[tuple[ContainerContext, list[int]]]:
    """Return every container with the pids in it, both in ascending order (runtime and name, pid)."""
    try:
        pids = sorted(int(name) for name in os.listdir(host.proc) if name.isdecimal())
    except OSError as error:
        raise CommandError(f"{host.proc}: {error.strerror}") from None
    groups: dict[tuple[str | None, str], tuple[ContainerContext, list[int]]] = {}
    for pid in pids:
        try:
            context = names.container_of(container_of_process(host, pid).cgroup_path)
        except OSError:  # it ended, or it is another user's under hidepid
            continue
        if context.id is not None:
            groups.setdefault((context.runtime, context.id), (context, []))[1].append(pid)
    return sorted(groups.values(), key=lambda group: (group[0].runtime or "", group[0].name or "", group[1]))


def _record(context: ContainerContext, pids: list[int]) -> dict[str, object]:
    return {
        "id": context.id,
        "runtime": context.runtime,
        "name": context.name,
        "image": context.image,
        "pod": context.pod,
        "namespace": context.namespace,
        "pod_uid": context.pod_uid,
        "state": "paused" if context.paused else "running",
        "labels": dict(context.labels),
        "parent_id": context.parent_id,
        "cgroup_path": json_text(context.cgroup_path),
        "reason": context.reason,
        "pids": pids,
    }


def _some(pids: list[int]) -> str:
    noun = "process" if len(pids) == 1 else "processes"
    return f"{len(pids)} {noun}: {' '.join(map(str, pids[:8]))}{' …' if len(pids) > 8 else ''}"
