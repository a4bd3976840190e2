"""The processes of an engine as `ps` and `replay` print them."""

from __future__ import annotations

from typing import Any

import click

from core.model.counters import Counter
from core.model.view import ProcessView
from core.resolve.engine import Engine
from core.system.users import NAMES_WAIT_S
from core.text.safe import safe_text
from core.tree.rows import container_name, process_text, source_text
from tui.cli.process_json import process_json, tiers_json


def list_object(engine: Engine) -> dict[str, Any]:
    """Return the JSON object of `ps`."""
    feed = engine.feed
    views = _named_views(engine)
    counters = dict(engine.stats.snapshot())
    hits = {tier: counters.get(Counter(f"hits {tier}"), 0) for tier in ("cache", "maps", "procfs")}
    return {
        "host": {"name": feed.host.hostname, "kernel": feed.host.kernel, "arch": feed.host.arch},
        "tiers": tiers_json(feed.tiers),
        "stats": {"hits": hits, "misses": counters.get(Counter.MISS, 0), "lost": engine.lost},
        "processes": [process_json(view, feed.user_name) for view in views],
    }


def print_list(engine: Engine) -> None:
    """Print the processes as a table. Secrets in argv are removed and control characters escaped."""
    click.echo(f"{'SOURCE':<15} {'PID':>7} {'PPID':>7} {'USER':<10} {'S':<1} {'CONTAINER':<13} COMMAND")
    for view in _named_views(engine):
        entry = view.entry
        state = view.usage.state if view.usage else "?"
        user = engine.feed.user_name(entry.credentials.uid)[:10]
        inside = container_name(view.container)[:13]
        click.echo(
            f"{source_text(view):<15} {entry.pid:>7} {entry.ppid:>7} {user:<10} {state:<1} {inside:<13} "
            f"{process_text(entry)}{_note(view)}"
        )


def _note(view: ProcessView) -> str:
    return f"  ! {safe_text(view.note, 300)}" if view.note else ""


def _named_views(engine: Engine) -> list[ProcessView]:
    """Return the processes by pid, after waiting up to NAMES_WAIT_S for the names of their users."""
    views = sorted((engine.view(process) for process in engine.cache), key=lambda view: view.entry.pid)
    for view in views:
        engine.feed.user_name(view.entry.credentials.uid)
    engine.feed.settle_users(NAMES_WAIT_S)
    return views
