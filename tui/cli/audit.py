"""`ebpf-tui audit`: the cache compared with /proc, process by process."""

from __future__ import annotations

from typing import Any

import click

from core.resolve.audit import Audit
from core.resolve.engine import Engine
from core.resolve.follow import follow
from tui.cli.live import live_engine, narrate_unread
from tui.output import ExitCode, emit
from tui.settings import Settings

_IN_FLIGHT_S = 0.3
"""How long an event may be on its way before a difference counts as drift."""


@click.command()
@click.option("--duration", type=click.FloatRange(min=0), default=0.0,
              help="Follow events for so many seconds first.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_obj
def command(settings: Settings, duration: float, as_json: bool) -> int:
    """Compare the cache with /proc and report drift: what an event should have told and did not.

    Exit code 1 when there is any.
    """
    with live_engine(settings) as engine:
        engine.start()
        _wait(engine, duration)
        engine.audit.whole(lambda: _wait(engine, _IN_FLIGHT_S))
        audit = engine.audit
        narrate_unread(engine)
    if as_json:
        emit("audit", _object(audit))
    else:
        _tell(audit)
    return ExitCode.FAILED if audit.total else ExitCode.OK


def _wait(engine: Engine, seconds: float) -> None:
    for _ in follow(engine, duration_s=seconds):
        pass


def _object(audit: Audit) -> dict[str, Any]:
    return {
        "checked": audit.checked,
        "drift": dict(audit.drift),
        "refreshed": dict(audit.refreshed),
        "differences": [
            {"pid": one.pid, "field": one.field, "cached": one.cached, "seen": one.seen}
            for one in audit.differences
        ],
    }


def _tell(audit: Audit) -> None:
    click.echo(f"{audit.checked} processes compared, drift {audit.total}")
    for one in audit.differences:
        click.echo(f"{one.pid:>8}  {one.field:<10} cache: {one.cached}  /proc: {one.seen}")
    if audit.refreshed:
        words = ", ".join(f"{field} {count}" for field, count in sorted(audit.refreshed.items()))
        click.echo(f"changed by the processes themselves, taken over: {words}")
