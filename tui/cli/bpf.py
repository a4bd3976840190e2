"""`ebpf-tui bpf`: the eBPF that is loaded on this host, and who keeps it there."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import click

from tui.output import CommandError, ExitCode, emit, narrate
from tui.settings import Settings

if TYPE_CHECKING:
    from core.bpf.agents import Agent
    from core.bpf.contents import Contents, Entry
    from core.bpf.rates import Rate
    from core.bpf.records import HostSnapshot, Map
    from core.bpf.snapshot import HostBpf

_Function = TypeVar("_Function", bound=Callable[..., object])

_LONGEST_STATS = 3600.0


def _json_option(function: _Function) -> _Function:
    return click.option("--json", "as_json", is_flag=True, help="One JSON object.")(function)


def _stats_option(function: _Function) -> _Function:
    return click.option(
        "--stats",
        "seconds",
        type=click.FloatRange(0, _LONGEST_STATS, min_open=True),
        help="Count runs for so many seconds; it costs each run of every program about 0.1 µs meanwhile.",
    )(function)


@click.group(invoke_without_command=True)
@_json_option
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

    with _reading(settings) as host:
        snapshot = host.snapshot()
    found = _agents(settings, snapshot)
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
    _narrate_refused(snapshot)


@command.command()
@_stats_option
@_json_option
@click.pass_obj
def programs(settings: Settings, seconds: float | None, as_json: bool) -> None:
    """List the programs: where they run, who holds them, and with --stats what they cost."""
    from core.bpf.words import HoldWords
    from tui.cli.bpf_json import program_json, refused_json
    from tui.cli.bpf_text import print_table, program_rows

    snapshot, rates = _measured(settings, seconds)
    words = HoldWords(snapshot)
    if as_json:
        listed = [program_json(one, words, (rates or {}).get(one.id)) for one in snapshot.programs]
        emit("bpf-programs", {"programs": listed, "refused": refused_json(snapshot)})
        return
    print_table(*program_rows(snapshot.programs, words, rates))
    _narrate_refused(snapshot)


@command.command()
@_json_option
@click.pass_obj
def maps(settings: Settings, as_json: bool) -> None:
    """List the maps: how full they are, their memory, and who holds them."""
    from core.bpf.words import HoldWords
    from tui.cli.bpf_json import map_json, refused_json
    from tui.cli.bpf_text import map_rows, print_table

    with _reading(settings) as host:
        snapshot = host.snapshot()
    words = HoldWords(snapshot)
    if as_json:
        listed = [map_json(found, words) for found in snapshot.maps]
        emit("bpf-maps", {"maps": listed, "refused": refused_json(snapshot)})
        return
    print_table(*map_rows(snapshot.maps, words))
    _narrate_refused(snapshot)


@command.command()
@_json_option
@click.pass_obj
def links(settings: Settings, as_json: bool) -> None:
    """List the links: which program they attach to what, and who holds them."""
    from core.bpf.words import HoldWords
    from tui.cli.bpf_json import link_json, refused_json
    from tui.cli.bpf_text import link_rows, print_table

    with _reading(settings) as host:
        snapshot = host.snapshot(with_fill=False)
    words = HoldWords(snapshot)
    if as_json:
        listed = [link_json(link, words) for link in snapshot.links]
        emit("bpf-links", {"links": listed, "refused": refused_json(snapshot)})
        return
    by_id = {program.id: program for program in snapshot.programs}
    print_table(*link_rows(snapshot.links, words, by_id))
    _narrate_refused(snapshot)


@command.command()
@_json_option
@click.pass_obj
def btf(settings: Settings, as_json: bool) -> None:
    """List the BTF objects, and who holds them."""
    from core.bpf.words import HoldWords
    from tui.cli.bpf_json import btf_json, refused_json
    from tui.cli.bpf_text import btf_rows, print_table

    with _reading(settings) as host:
        snapshot = host.snapshot(with_fill=False)
    words = HoldWords(snapshot)
    if as_json:
        listed = [btf_json(found, words) for found in snapshot.btfs]
        emit("bpf-btf", {"btfs": listed, "refused": refused_json(snapshot)})
        return
    print_table(*btf_rows(snapshot, words))
    _narrate_refused(snapshot)


@command.command()
@_stats_option
@_json_option
@click.pass_obj
def agents(settings: Settings, seconds: float | None, as_json: bool) -> None:
    """List who keeps eBPF loaded: processes and containers, pin directories, and nobody."""
    from tui.cli.bpf_json import agent_json, refused_json
    from tui.cli.bpf_text import agent_rate, agent_rows, print_table

    snapshot, rates = _measured(settings, seconds)
    found = _agents(settings, snapshot)
    if as_json:
        listed = [agent_json(agent, agent_rate(agent, rates or {})) for agent in found]
        emit("bpf-agents", {"agents": listed, "refused": refused_json(snapshot)})
        return
    print_table(*agent_rows(found, rates))
    _narrate_refused(snapshot)


@command.command()
@click.argument("number", metavar="ID", type=click.IntRange(1, 2**32 - 1))
@click.option(
    "--code",
    type=click.Choice(["xlated", "jited"]),
    help="Its code: what the verifier left, or the machine's.",
)
@_stats_option
@_json_option
@click.pass_obj
def program(settings: Settings, number: int, code: str | None, seconds: float | None, as_json: bool) -> None:
    """Show one program: where it runs, what keeps it loaded, its maps, its code."""
    from core.bpf.code import jited, xlated
    from core.bpf.words import HoldWords
    from tui.cli.bpf_json import code_json, map_json, program_json
    from tui.cli.bpf_one import print_program
    from tui.cli.bpf_text import print_code

    snapshot, rates = _measured(settings, seconds, only=number)
    found = next((one for one in snapshot.programs if one.id == number), None)
    if found is None:
        raise CommandError(f"no program {number} is loaded; `ebpf-tui bpf programs` lists them")
    lines = []
    if code:
        from core.bpf.types import TypeNames

        try:
            lines = jited(number) if code == "jited" else xlated(number, TypeNames())
        except PermissionError as error:
            raise _not_permitted(f"the {code} code of program {number}", error.strerror or "") from None
        except OSError as error:
            raise CommandError(f"the {code} code of program {number}: {error.strerror}") from None
    words = HoldWords(snapshot)
    rate = (rates or {}).get(number)
    if as_json:
        maps = [map_json(one, words) for one in snapshot.maps if one.id in found.map_ids]
        shown = {"code": [code_json(line) for line in lines]} if code else {}
        emit("bpf-program", {**program_json(found, words, rate), "maps": maps, **shown})
        return
    if code:
        print_code(lines)
        return
    print_program(found, snapshot, words, rate)


@command.command()
@click.argument("number", metavar="PID", type=click.IntRange(1, 2**22))
@_json_option
@click.pass_obj
def pid(settings: Settings, number: int, as_json: bool) -> None:
    """Ask the maps of every agent what they say about a process, and compare that with /proc.

    Look-ups only, at most 512. What differs comes first. A map is shown when there is evidence that
    it is keyed by processes: live pids are keys and other numbers are not, or its value agrees.
    """
    from core.bpf.claims import ask
    from core.bpf.process_facts import read_facts
    from tui.cli.bpf_json import claim_json, refused_json
    from tui.cli.bpf_one import print_claims

    with _reading(settings) as host:
        snapshot = host.snapshot(with_fill=False)
        try:
            facts = read_facts(settings.host, number)
        except (FileNotFoundError, ProcessLookupError):
            raise CommandError(f"no process {number}") from None
        answer = ask(settings.host, snapshot, facts, host.lister.types)
    by_id = {found.id: found for found in snapshot.maps}
    named = {owned: agent for agent in _agents(settings, snapshot) for owned in agent.maps}
    if as_json:
        listed = [
            row
            for claim in answer.claims
            for row in claim_json(claim, by_id[claim.map_id], named[claim.map_id].name)
        ]
        refused = [{"what": row.what, "why": row.why, "fix": row.fix or None} for row in answer.refused]
        emit(
            "bpf-pid",
            {
                "pid": number,
                "maps_asked": answer.asked,
                "look_ups": answer.look_ups,
                "claims": listed,
                "refused": refused_json(snapshot) + refused,
            },
        )
        return
    print_claims(answer, by_id, named)


@command.command("map")
@click.argument("number", metavar="ID", type=click.IntRange(1, 2**32 - 1))
@click.option("--dump", "most", type=click.IntRange(1, 2048), help="Show up to so many entries.")
@click.option("--key", "key", help="Show one entry: a number, or hex:BYTES for any key.")
@_json_option
@click.pass_obj
def map_(settings: Settings, number: int, most: int | None, key: str | None, as_json: bool) -> None:
    """Show one map: how full it is, what keeps it loaded, and its entries decoded by BTF.

    Entries are read by look-ups, at most 2,048 at a time: nothing is locked, taken or kept alive by that.
    """
    from core.bpf.contents import ContentsError
    from core.bpf.words import HoldWords
    from tui.cli.bpf_json import entry_json, map_json
    from tui.cli.bpf_one import print_map
    from tui.cli.bpf_text import print_entries

    if most is not None and key is not None:
        raise click.UsageError("--dump and --key exclude each other.")
    with _reading(settings) as host:
        snapshot = host.snapshot()
        found = next((one for one in snapshot.maps if one.id == number), None)
        if found is None:
            raise CommandError(f"no map {number} is loaded; `ebpf-tui bpf maps` lists them")
        try:
            contents, entries = _entries(host, found, most, key)
        except ContentsError as error:
            raise CommandError(str(error)) from None
    words = HoldWords(snapshot)
    if as_json:
        per_cpu = bool(contents and contents.per_cpu)
        shown = {"dump": [entry_json(entry, per_cpu) for entry in entries]} if contents else {}
        emit("bpf-map", {**map_json(found, words), **shown})
        return
    if contents is None:
        print_map(found, words)
        return
    print_entries(entries, contents.has_types)


def _entries(
    host: HostBpf, found: Map, most: int | None, key: str | None
) -> tuple[Contents | None, list[Entry]]:
    """Return the entries that were asked for. Raises ContentsError, CommandError."""
    from core.bpf.contents import Contents

    if most is None and key is None:
        return None, []
    contents = Contents(found, host.lister.types)
    if key is None:
        return contents, list(contents.entries(most or 0))
    entry = contents.entry(_key_bytes(key, found.key_size))
    if entry is None:
        from core.text.safe import safe_text

        raise CommandError(f"map {found.id} has no entry with the key {safe_text(key, 100)}")
    return contents, [entry]


def _key_bytes(text: str, size: int) -> bytes:
    """Return the bytes of a key as the kernel has them. Raises CommandError for what is no key."""
    import sys

    from core.text.safe import safe_text

    try:
        if text.startswith("hex:"):
            return bytes.fromhex(text.removeprefix("hex:"))
        value = int(text, 0)
        return value.to_bytes(size, sys.byteorder, signed=value < 0)
    except (ValueError, OverflowError):
        shown = safe_text(text, 100)
        raise CommandError(
            f"--key {shown}: not a number of {size} bytes, nor hex: and bytes in hex", ExitCode.USAGE
        ) from None


def _measured(
    settings: Settings, seconds: float | None, only: int = 0
) -> tuple[HostSnapshot, dict[int, Rate] | None]:
    """Take a snapshot, and the rates when a time is given; then its counters are those at the end."""
    from core.bpf.rates import counting, rates, read_counters

    with _reading(settings) as host:
        if seconds is None:
            return host.snapshot(), None
        try:
            with counting():
                ids = [one.id for one in host.lister.programs([]) if not only or one.id == only]
                before = read_counters(ids)
                time.sleep(seconds)
                after = read_counters(ids)
                return host.snapshot(counting=True), rates(before, after)
        except PermissionError:
            raise _not_permitted("run times", "counting them needs CAP_SYS_ADMIN", "CAP_SYS_ADMIN") from None


@contextmanager
def _reading(settings: Settings) -> Iterator[HostBpf]:
    """Read the kernel of the host that is looked at. Raises CommandError where that is not possible."""
    from core.bpf.listing import NotPermitted
    from core.bpf.snapshot import HostBpf, is_this_kernel

    if not is_this_kernel(settings.host):
        raise CommandError(
            "--host-root shows another host; what is loaded is known to its own kernel alone",
            ExitCode.NOT_PERMITTED,
        )
    host = HostBpf(settings.host, load=settings.probe and not settings.read_only)
    try:
        yield host
    except NotPermitted:
        raise _not_permitted("the eBPF of this host", "listing it needs CAP_SYS_ADMIN") from None
    except PermissionError as error:
        raise _not_permitted("the eBPF of this host", error.strerror or "") from None
    except OSError as error:
        raise CommandError(f"the eBPF of this host: {error.strerror}", ExitCode.NOT_PERMITTED) from None
    finally:
        host.close()


def _not_permitted(what: str, why: str, *needed: str) -> CommandError:
    """The ladder in one line: what is missing, and the command that helps."""
    from core.system.privileges import current_privileges

    way = current_privileges().way_to(*(needed or ("CAP_SYS_ADMIN",)))
    return CommandError(f"{what}: {why}; {way}", ExitCode.NOT_PERMITTED)


def _agents(settings: Settings, snapshot: HostSnapshot) -> tuple[Agent, ...]:
    from core.bpf.agents import agents as grouped
    from core.bpf.who import HolderNames
    from core.containers.names import ContainerNames

    names = ContainerNames(settings.host, ask_runtimes=settings.ask_runtimes)
    return grouped(snapshot, HolderNames(settings.host, names, snapshot))


def _narrate_refused(snapshot: HostSnapshot) -> None:
    from core.text.safe import safe_text

    for row in snapshot.refused[:20]:
        help_ = f" (needs {row.fix})" if row.fix else ""
        narrate(f"not read: {safe_text(row.what, 200)}: {safe_text(row.why, 200)}{help_}")
    if len(snapshot.refused) > 20:
        narrate(f"not read: {len(snapshot.refused) - 20} more; --json has them all")
