"""`ebpf-tui watch`: process events, one line for each."""

from __future__ import annotations

from functools import partial
from typing import Any

import click

from core.model.events import CgroupMove, Event, Exec, Exit, Fork, Lost, Reaped
from core.resolve.engine import Engine
from core.resolve.follow import follow
from core.resolve.process_cache import Process
from core.text.safe import json_text, safe_text
from core.text.secrets import scrub_cmdline
from tui.cli.live import live_engine, narrate_unread
from tui.output import CommandError, ExitCode, emit, narrate
from tui.settings import Settings

_SWEEP_EVERY_S = 2.0


@click.command()
@click.option("--duration", type=click.FloatRange(min=0), help="Stop after this many seconds.")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON object per line.")
@click.pass_obj
def command(settings: Settings, duration: float | None, as_json: bool) -> None:
    """Show fork, exec, exit and cgroup events as the kernel reports them.

    Needs the probe; without it, reports the missing requirement and exits with 3.
    """
    with live_engine(settings) as engine:
        if not engine.feed.exact:
            reason = engine.feed.tiers.maps.reason
            raise CommandError(f"`watch` needs the probe: {reason}", ExitCode.NOT_PERMITTED)
        engine.start()
        _line(as_json, "snapshot_done", engine.feed.now_ns(), None, engine)
        narrate_unread(engine)
        report = partial(_report, engine, as_json)
        for _ in follow(engine, duration_s=duration, sweep_every_s=_SWEEP_EVERY_S, on_event=report):
            engine.cache.changed.clear()  # nothing is drawn from it


def _report(engine: Engine, as_json: bool, event: Event, process: Process | None) -> None:
    match event:
        case Fork():
            # The parent at the fork, which may have changed since.
            _line(as_json, "fork", event.ts_ns, process, engine, ppid=event.ppid)
        case Exec():
            _line(as_json, "exec", event.ts_ns, process, engine)
        case Exit():
            _line(as_json, "exit", event.ts_ns, process, engine, pid=event.pid, code=event.exit_code)
        case CgroupMove() if process is not None:
            _line(as_json, "cgroup", event.ts_ns, process, engine)
        case Lost():
            _line(as_json, "lost", event.ts_ns, None, engine, count=event.count)
            _line(as_json, "resync", engine.feed.now_ns(), None, engine)
            narrate(f"{event.count} events lost; the processes were read again")
        case CgroupMove() | Reaped():
            pass


def _line(as_json: bool, name: str, ts_ns: int, process: Process | None, engine: Engine, **more: Any) -> None:
    facts: dict[str, Any] = {"event": name, "ts_ns": ts_ns}
    if process is not None:
        entry = process.entry
        container = engine.container(entry.cgroup)
        facts |= {
            "pid": entry.pid,
            "ppid": entry.ppid,
            "start_ns": entry.start_ns,
            "exec_id": entry.exec_id,
            "comm": json_text(entry.comm),
            "exe": json_text(entry.exe),
            "args": [json_text(argument) for argument in entry.args],
            "container_id": container.id if container else None,
            "note": entry.problem or None,
        }
    facts |= more
    if as_json:
        emit("watch", facts)
        return
    words = [f"{ts_ns / 1e9:>14.6f}", f"{name:<13}"]
    if process is not None:
        args = scrub_cmdline(process.entry.cmdline, 4096) or process.entry.comm
        words += [f"{process.entry.pid:>7}", f"{facts['ppid']:>7}", safe_text(args, 200)]
        if process.entry.problem:
            words.append(f" ! {safe_text(process.entry.problem, 300)}")
    click.echo(" ".join(words))
