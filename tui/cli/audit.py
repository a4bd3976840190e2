"""`ebpf-tui audit`: compare the cache with /proc, process by process."""

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
"""Seconds an event may take to arrive before a difference counts as drift."""


@click.command()
@click.option("--duration", type=click.FloatRange(min=0), default=0.0,
              help="Follow events for this many seconds before comparing.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Write one JSON object.")
@click.pass_obj
def command(settings: Settings, duration: float, as_json: bool) -> int:
    """Compare the cache with /proc and report drift: changes that no event reported.

    Exits with 1 if there is any drift.
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
        _print_differences(audit)
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
            {
                "pid": difference.pid,
                "field": difference.field,
                "cached": difference.cached,
                "seen": difference.seen,
            }
            for difference in audit.differences
        ],
    }


def _print_differences(audit: Audit) -> None:
    click.echo(f"{audit.checked} processes compared, drift {audit.total}")
    for difference in audit.differences:
        values = f"cache: {difference.cached}  /proc: {difference.seen}"
        click.echo(f"{difference.pid:>8}  {difference.field:<10} {values}")
    if audit.refreshed:
        counts = ", ".join(f"{field} {count}" for field, count in sorted(audit.refreshed.items()))
        click.echo(f"changed by the processes themselves, cache updated: {counts}")
