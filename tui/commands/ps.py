"""`ebpf-tui ps`: the processes of this host, and how each was resolved."""

from __future__ import annotations

import click

from core.engine import Engine
from core.feed import open_feed
from tui.output import emit
from tui.process_list import list_object, print_list
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
    finally:
        feed.close()
    if as_json:
        emit("ps", list_object(engine))
    else:
        print_list(engine)
