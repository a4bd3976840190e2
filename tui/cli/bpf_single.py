"""`ebpf-tui bpf program`, `map`, `pid` and `events`: one thing at a time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from tui.cli.bpf_reading import agents_of, json_option, measured, not_permitted, reading, stats_option
from tui.output import CommandError, ExitCode, emit
from tui.settings import Settings

if TYPE_CHECKING:
    from core.bpf.contents import Contents, Entry
    from core.bpf.load_events import LoadEvent
    from core.bpf.records import Map
    from core.bpf.snapshot import HostBpf


@click.command()
@click.argument("number", metavar="ID", type=click.IntRange(1, 2**32 - 1))
@click.option(
    "--code",
    type=click.Choice(["xlated", "jited"]),
    help="Its code: what the verifier left, or the machine's.",
)
@stats_option
@json_option
@click.pass_obj
def program(settings: Settings, number: int, code: str | None, seconds: float | None, as_json: bool) -> None:
    """Show one program: where it runs, what keeps it loaded, its maps, its code."""
    from core.bpf.code import jited, xlated
    from core.bpf.words import HoldWords
    from tui.cli.bpf_json import code_json, map_json, program_json
    from tui.cli.bpf_one import print_program
    from tui.cli.bpf_text import print_code

    snapshot, rates = measured(settings, seconds, only=number)
    found = next((one for one in snapshot.programs if one.id == number), None)
    if found is None:
        raise CommandError(f"no program {number} is loaded; `ebpf-tui bpf programs` lists them")
    lines = []
    if code:
        from core.bpf.types import TypeNames

        try:
            lines = jited(number) if code == "jited" else xlated(number, TypeNames())
        except PermissionError as error:
            raise not_permitted(f"the {code} code of program {number}", error.strerror or "") from None
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


@click.command("map")
@click.argument("number", metavar="ID", type=click.IntRange(1, 2**32 - 1))
@click.option("--dump", "most", type=click.IntRange(1, 2048), help="Show up to so many entries.")
@click.option("--key", "key", help="Show one entry: a number, or hex:BYTES for any key.")
@json_option
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
    with reading(settings) as host:
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


@click.command()
@click.argument("number", metavar="PID", type=click.IntRange(1, 2**22))
@json_option
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

    with reading(settings) as host:
        snapshot = host.snapshot(with_fill=False)
        try:
            facts = read_facts(settings.host, number)
        except (FileNotFoundError, ProcessLookupError):
            raise CommandError(f"no process {number}") from None
        answer = ask(settings.host, snapshot, facts, host.lister.types)
    by_id = {found.id: found for found in snapshot.maps}
    named = {owned: agent for agent in agents_of(settings, snapshot) for owned in agent.maps}
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


@click.command()
@click.option("--duration", type=click.FloatRange(min=0), help="End after so many seconds.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_obj
def events(settings: Settings, duration: float | None, as_json: bool) -> None:
    """Show programs as they are loaded and unloaded, with the process that did it.

    An unload is often done by a kernel thread, some time after the last descriptor was closed.
    """
    from core.bpf.load_events import LoadEvents

    try:
        rings = LoadEvents()
    except PermissionError:
        raise not_permitted("events of eBPF programs", "they need CAP_PERFMON", "CAP_PERFMON") from None
    except OSError as error:
        raise CommandError(f"events of eBPF programs: {error.strerror}", ExitCode.NOT_PERMITTED) from None
    end = time.monotonic() + duration if duration is not None else None
    try:
        while end is None or time.monotonic() < end:
            rings.wait(min(1.0, end - time.monotonic()) if end is not None else 1.0)
            for event in rings.read():
                _print_event(settings, event, as_json)
    finally:
        rings.close()


def _print_event(settings: Settings, event: LoadEvent, as_json: bool) -> None:
    from core.bpf.load_events import LoadKind
    from core.text.safe import json_text, safe_text

    try:
        comm = (settings.host.proc / str(event.pid) / "comm").read_bytes().rstrip(b"\n")
    except OSError:
        comm = b""
    if as_json:
        facts: dict[str, object] = {"event": event.kind.value, "ts_ns": event.ts_ns}
        if event.kind is LoadKind.LOST:
            facts["count"] = event.count
        else:
            facts |= {
                "id": event.id,
                "type": event.type or None,
                "name": json_text(event.name) or None,
                "tag": event.tag,
                "pid": event.pid or None,
                "comm": json_text(comm) or None,
            }
        emit("bpf-events", facts)
        return
    if event.kind is LoadKind.LOST:
        click.echo(f"{event.ts_ns / 1e9:>14.6f} lost    {event.count} events found no room")
        return
    what = f"{event.type} {safe_text(event.name, 32)}".strip() or f"tag {event.tag}"
    who = f"{safe_text(comm, 32) or 'process'} ({event.pid})" if event.pid else "the kernel"
    click.echo(f"{event.ts_ns / 1e9:>14.6f} {event.kind.value:<7} {event.id:>7} {what}  by {who}")
