"""`ebpf-tui ps`: the processes of this host, and how each was resolved."""

from __future__ import annotations

from typing import Any

import click

from core.engine import Engine
from core.feed import open_feed
from core.text import json_text
from core.tree_rows import container_name, process_text, source_text
from core.users import Users
from core.view import ProcessView
from tui.output import emit
from tui.process_json import process_json, tiers_json
from tui.settings import Settings


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_obj
def command(settings: Settings, as_json: bool) -> None:
    """Show the processes of this host, and how each was resolved."""
    feed = open_feed(settings.host, probe=settings.probe)
    try:
        engine = Engine(feed, settings.host)
        engine.start()
        views = sorted((engine.view(process) for process in engine.lineage), key=lambda view: view.entry.pid)
    finally:
        feed.close()
    users = Users(settings.host)
    if as_json:
        emit("ps", _object(settings, engine, views, users))
    else:
        _table(views, users)


def _object(settings: Settings, engine: Engine, views: list[ProcessView], users: Users) -> dict[str, Any]:
    host = settings.host
    counters = dict(engine.stats.snapshot())
    hits = {tier: counters.get(f"hits {tier}", 0) for tier in ("cache", "maps", "procfs")}
    return {
        "host": {
            "name": json_text(host.hostname().encode("utf-8", "surrogateescape")),
            "kernel": host.kernel_release(),
            "arch": host.machine(),
        },
        "tiers": tiers_json(engine.feed.tiers),
        "stats": {"hits": hits, "misses": counters.get("miss", 0), "lost": engine.lost},
        "processes": [process_json(view, users) for view in views],
    }


def _table(views: list[ProcessView], users: Users) -> None:
    click.echo(f"{'SOURCE':<15} {'PID':>7} {'PPID':>7} {'USER':<10} {'S':<1} {'CONTAINER':<13} COMMAND")
    for view in views:
        entry = view.entry
        state = view.usage.state if view.usage else "?"
        user = users.name(entry.credentials.uid)[:10]
        inside = container_name(view.container)[:13]
        click.echo(
            f"{source_text(view):<15} {entry.pid:>7} {entry.ppid:>7} {user:<10} {state:<1} {inside:<13} "
            f"{process_text(entry)}"
        )
