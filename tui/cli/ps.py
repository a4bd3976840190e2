"""`ebpf-tui ps`: the processes of this host, and how each was resolved."""

from __future__ import annotations

import click

from tui.cli.live import live_engine, narrate_unread
from tui.cli.process_list import list_object, print_list
from tui.output import emit
from tui.settings import Settings


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Write one JSON object.")
@click.pass_obj
def command(settings: Settings, as_json: bool) -> None:
    """Show the processes of this host, and how each was resolved."""
    with live_engine(settings) as engine:
        engine.start()
    if as_json:
        emit("ps", list_object(engine))  # each row has its note
    else:
        print_list(engine)
        narrate_unread(engine)
