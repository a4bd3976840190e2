"""`ebpf-tui resolve PID`: one process, and the answer of each tier."""

from __future__ import annotations

import click

from core.model.entities import Resolution
from core.system.users import NAMES_WAIT_S
from core.text.safe import safe_text
from tui.cli.live import live_engine
from tui.cli.process_json import entry_json, trail_json
from tui.output import ExitCode, emit
from tui.settings import Settings


@click.command()
@click.argument("pid", type=click.IntRange(0, 2**22))
@click.option("--no-procfs", is_flag=True, help="Do not ask /proc.")
@click.option("--no-maps", is_flag=True, help="Answer as if the probe were not loaded.")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON object, also on a miss.")
@click.pass_obj
def command(settings: Settings, pid: int, no_procfs: bool, no_maps: bool, as_json: bool) -> int:
    """Resolve one process: cache, then the probe's eBPF maps, then /proc.

    The cache of a command that has just started is empty, so the maps answer (the task iterator
    filled them), or else /proc. Exits with 1 if no tier knows the process.
    """
    with live_engine(settings, probe=not no_maps) as engine:
        engine.fill_maps()
        resolution = engine.resolver.resolve(pid, use_maps=not no_maps, use_procfs=not no_procfs)
        entry = resolution.entry
        container = engine.container(entry.cgroup) if entry else None
        user_name = engine.feed.user_name
        if entry:
            user_name(entry.credentials.uid)
            engine.feed.settle_users(NAMES_WAIT_S)
    if as_json:
        record = entry_json(entry, container, user_name) if entry else None
        emit(
            "resolve",
            {"pid": pid, "source": resolution.source, "entry": record, "trail": trail_json(resolution)},
        )
    else:
        _print_resolution(resolution)
    return ExitCode.OK if entry else ExitCode.FAILED


def _print_resolution(resolution: Resolution) -> None:
    for step in resolution.trail:
        took = f"{step.ns / 1000:.1f} µs" if step.ns else ""
        click.echo(f"{step.tier:<7} {step.outcome:<8} {step.reason:<60} {took:>10}")
    entry = resolution.entry
    if entry is None:
        click.echo(f"pid {resolution.pid} not found in cache, maps or /proc", err=True)
        return
    click.echo(f"exe     {safe_text(entry.exe) or 'unknown'}")
    click.echo(f"parent  {entry.ppid}")
    click.echo(f"cgroup  {safe_text(entry.cgroup)}")
    if entry.problem:
        click.echo(f"note    {safe_text(entry.problem, 300)}")
