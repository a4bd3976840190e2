"""`ebpf-tui bpf`: the eBPF that is loaded on this host, and who keeps it there."""

from __future__ import annotations

import click

from tui.cli.bpf_reading import agents_of, json_option, measured, narrate_refused, reading, stats_option
from tui.cli.bpf_single import events, map_, pid, program
from tui.output import emit
from tui.settings import Settings


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """Show the eBPF that is loaded on this host: programs, maps, links, and who keeps them loaded.

    Without a command: how much there is, and of which agents. Needs root, or CAP_BPF and CAP_PERFMON for
    lists without contents and run times.
    """
    if ctx.invoked_subcommand is None:
        _summary(ctx.obj, as_json)
    elif as_json:
        raise click.UsageError(f"--json comes after {ctx.invoked_subcommand}.", ctx)


def _summary(settings: Settings, as_json: bool) -> None:
    from tui.cli.bpf_json import agent_json, refused_json
    from tui.cli.bpf_text import agent_rows, print_table

    with reading(settings) as host:
        snapshot = host.snapshot()
    found = agents_of(settings, snapshot)
    memory = sum(agent.memory for agent in found)
    if as_json:
        counts = {kind: len(getattr(snapshot, kind)) for kind in ("programs", "maps", "links", "btfs")}
        agents = [agent_json(agent) for agent in found]
        emit("bpf", {**counts, "memory": memory, "agents": agents, "refused": refused_json(snapshot)})
        return
    from core.text.units import size

    click.echo(
        f"{len(snapshot.programs)} programs, {len(snapshot.maps)} maps, {len(snapshot.links)} links, "
        f"{len(snapshot.btfs)} BTF objects, {size(memory)}"
    )
    if found:
        print_table(*agent_rows(found, None))
    narrate_refused(snapshot)


@command.command()
@stats_option
@json_option
@click.pass_obj
def programs(settings: Settings, seconds: float | None, as_json: bool) -> None:
    """List the programs: where they run, who holds them, and with --stats what they cost."""
    from core.bpf.words import HoldWords
    from tui.cli.bpf_json import program_json, refused_json
    from tui.cli.bpf_text import print_table, program_rows

    snapshot, rates = measured(settings, seconds)
    words = HoldWords(snapshot)
    if as_json:
        listed = [program_json(one, words, (rates or {}).get(one.id)) for one in snapshot.programs]
        emit("bpf-programs", {"programs": listed, "refused": refused_json(snapshot)})
        return
    print_table(*program_rows(snapshot.programs, words, rates))
    narrate_refused(snapshot)


@command.command()
@json_option
@click.pass_obj
def maps(settings: Settings, as_json: bool) -> None:
    """List the maps: how full they are, their memory, and who holds them."""
    from core.bpf.words import HoldWords
    from tui.cli.bpf_json import map_json, refused_json
    from tui.cli.bpf_text import map_rows, print_table

    with reading(settings) as host:
        snapshot = host.snapshot()
    words = HoldWords(snapshot)
    if as_json:
        listed = [map_json(found, words) for found in snapshot.maps]
        emit("bpf-maps", {"maps": listed, "refused": refused_json(snapshot)})
        return
    print_table(*map_rows(snapshot.maps, words))
    narrate_refused(snapshot)


@command.command()
@json_option
@click.pass_obj
def links(settings: Settings, as_json: bool) -> None:
    """List the links: which program they attach to what, and who holds them."""
    from core.bpf.words import HoldWords
    from tui.cli.bpf_json import link_json, refused_json
    from tui.cli.bpf_text import link_rows, print_table

    with reading(settings) as host:
        snapshot = host.snapshot(with_fill=False)
    words = HoldWords(snapshot)
    if as_json:
        listed = [link_json(link, words) for link in snapshot.links]
        emit("bpf-links", {"links": listed, "refused": refused_json(snapshot)})
        return
    by_id = {program.id: program for program in snapshot.programs}
    print_table(*link_rows(snapshot.links, words, by_id))
    narrate_refused(snapshot)


@command.command()
@json_option
@click.pass_obj
def btf(settings: Settings, as_json: bool) -> None:
    """List the BTF objects, and who holds them."""
    from core.bpf.words import HoldWords
    from tui.cli.bpf_json import btf_json, refused_json
    from tui.cli.bpf_text import btf_rows, print_table

    with reading(settings) as host:
        snapshot = host.snapshot(with_fill=False)
    words = HoldWords(snapshot)
    if as_json:
        listed = [btf_json(found, words) for found in snapshot.btfs]
        emit("bpf-btf", {"btfs": listed, "refused": refused_json(snapshot)})
        return
    print_table(*btf_rows(snapshot, words))
    narrate_refused(snapshot)


@command.command()
@stats_option
@json_option
@click.pass_obj
def agents(settings: Settings, seconds: float | None, as_json: bool) -> None:
    """List who keeps eBPF loaded: processes and containers, pin directories, and nobody."""
    from tui.cli.bpf_json import agent_json, refused_json
    from tui.cli.bpf_text import agent_rate, agent_rows, print_table

    snapshot, rates = measured(settings, seconds)
    found = agents_of(settings, snapshot)
    if as_json:
        listed = [agent_json(agent, agent_rate(agent, rates or {})) for agent in found]
        emit("bpf-agents", {"agents": listed, "refused": refused_json(snapshot)})
        return
    print_table(*agent_rows(found, rates))
    narrate_refused(snapshot)


for _single in (program, map_, pid, events):
    command.add_command(_single)
