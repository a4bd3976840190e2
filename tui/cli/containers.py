"""`ebpf-tui containers`: the containers of this host and their processes."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field

import click

from core.containers.cgroup_file import container_of_process
from core.containers.names import ContainerNames
from core.model.entities import ContainerContext
from core.system.host import Host
from core.text.safe import json_text
from core.tree.node import group_key, is_pod, level_above
from tui.cli.live import narrate_reasons
from tui.output import CommandError, emit, narrate
from tui.settings import Settings

_WIDEST = 48
"""Largest width of a column, in cells. A longer entry shifts the rest of its line."""

_SHORTEST = 8
"""Smallest number of cells shown of an image when the terminal is too narrow."""

_USERS_FILES_S = 4.0
"""Seconds to wait for the state files of rootless runtimes."""

_DEEPEST = 32
"""Largest nesting depth shown: any user can create cgroups that claim deeper nesting."""


@dataclass(slots=True)
class _Level:
    """A container or pod with those nested in it; an outer one may have no processes of its own."""

    key: str
    context: ContainerContext
    pids: list[int] = field(default_factory=list)
    above: _Level | None = None
    below: list[_Level] = field(default_factory=list)

    @property
    def name(self) -> str:
        if is_pod(self.key):
            return self.context.pod_uid or "" if self.context.pod is None else self.context.pod_name
        return self.context.shown_name

    def count(self) -> int:
        return len(self.pids) + sum(level.count() for level in self.below)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Write one JSON object.")
@click.pass_obj
def command(settings: Settings, as_json: bool) -> None:
    """List the containers that have processes, named where the runtime's state is readable.

    A container is listed below its pod, or below the container it was started in. PROCS includes the
    processes of nested containers; --json lists the pids of each container.
    """
    names = ContainerNames(settings.host, ask_runtimes=settings.ask_runtimes)
    groups = _by_container(settings.host, names)
    for problem in names.problems:
        narrate(problem)
    if as_json:
        emit("containers", {"containers": [_record(context, pids) for context, pids in groups]})
        return
    if not groups:
        narrate("no process on this host runs in a container")
        return
    _print_table([("CONTAINER", "PROCS", "STATE", "RUNTIME", "ID", "IMAGE"), *_lines(_tree(groups), 0)])


def _by_container(host: Host, names: ContainerNames) -> list[tuple[ContainerContext, list[int]]]:
    """Return each container with its pids: containers by runtime and name, pids ascending."""
    try:
        pids = sorted(int(name) for name in os.listdir(host.proc) if name.isdecimal())
    except OSError as error:
        raise CommandError(f"{host.proc}: {error.strerror}") from None
    paths: dict[int, bytes] = {}
    unread: list[tuple[int, str]] = []
    for pid in pids:
        try:
            paths[pid] = container_of_process(host, pid).cgroup_path
        except (FileNotFoundError, ProcessLookupError):  # it ended
            continue
        except OSError as error:
            unread.append((pid, f"its cgroup: {error.strerror}"))
    for path in set(paths.values()):
        names.container_of(path)
    names.settle(_USERS_FILES_S)
    groups: dict[tuple[str | None, str], tuple[ContainerContext, list[int]]] = {}
    for pid, path in paths.items():
        context = names.container_of(path)
        if context.id is not None:
            groups.setdefault((context.runtime, context.id), (context, []))[1].append(pid)
    narrate_reasons("could not read", unread)
    return sorted(groups.values(), key=lambda group: (group[0].runtime or "", group[0].name or "", group[1]))


def _tree(groups: list[tuple[ContainerContext, list[int]]]) -> list[_Level]:
    """Return the outermost levels."""
    levels: dict[str, _Level] = {}
    for context, pids in groups:
        _level(levels, group_key(context), context).pids += pids
    return [level for level in levels.values() if level.above is None]


def _level(levels: dict[str, _Level], key: str, context: ContainerContext) -> _Level:
    """Return the level of `key`; a new one is created together with the levels above it."""
    if key in levels:
        return levels[key]
    level = levels[key] = _Level(key, context)
    outer = level_above(key, context)
    above = _level(levels, *outer) if outer else None
    depth, climbing = 0, above
    while climbing is not None:
        depth, climbing = depth + 1, climbing.above
    if above is not None and depth < _DEEPEST:
        level.above = above
        above.below.append(level)
    return level


def _lines(levels: list[_Level], depth: int) -> Iterator[tuple[str, ...]]:
    for level in sorted(levels, key=lambda level: (level.name, level.key)):
        context = level.context
        pod = is_pod(level.key)
        yield (
            f"{'  ' * depth}⬢ {level.name}",
            str(level.count()),
            "" if pod else _state(context),
            "pod" if pod else context.runtime or "",
            "" if pod or context.name in (None, context.id) else context.short_id,
            "" if pod else context.image or "",
        )
        if context.reason and context.name is None and not pod:
            yield (f"{'  ' * depth}  {context.reason}",)
        yield from _lines(level.below, depth + 1)


def _print_table(lines: list[tuple[str, ...]]) -> None:
    """Print lines with aligned columns; a line of one entry is printed as it is."""
    tables = [line for line in lines if len(line) > 1]
    widths = [min(_WIDEST, max(_cells(entry) for entry in column)) for column in zip(*tables, strict=True)]
    for line in lines:
        start = ""
        for number, (entry, width) in enumerate(zip(line[:-1], widths, strict=False)):
            blanks = " " * (width - _cells(entry))
            start += (blanks + entry if number == 1 else entry + blanks) + "  "
        click.echo((start + _fitted(line[-1], start)).rstrip())


def _fitted(image: str, start: str) -> str:
    """Return `image` cut at its beginning (the registry) to fit the terminal after `start`."""
    room = shutil.get_terminal_size().columns - _cells(start)
    if not start or not sys.stdout.isatty() or _cells(image) <= room or room < _SHORTEST:
        return image
    return "…" + image[1 - room :]


def _cells(text: str) -> int:
    """Return the width of `text` in cells."""
    from rich.cells import cell_len  # imported late: `--json` does not need it

    return cell_len(text)


def _state(context: ContainerContext) -> str:
    return "paused" if context.paused else "running"


def _record(context: ContainerContext, pids: list[int]) -> dict[str, object]:
    return {
        "id": context.id,
        "runtime": context.runtime,
        "state": _state(context),
        "name": context.name,
        "image": context.image,
        "pod": context.pod,
        "namespace": context.namespace,
        "pod_uid": context.pod_uid,
        "labels": dict(context.labels),
        "parent_id": context.parent_id,
        "cgroup_path": json_text(context.cgroup_path),
        "reason": context.reason,
        "pids": pids,
    }
