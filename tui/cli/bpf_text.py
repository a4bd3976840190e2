"""The plain text of `bpf`: tables, and contents of maps on one line each. Secrets in values are hidden."""

from __future__ import annotations

from collections.abc import Sequence

import click

from core.bpf.agents import Agent, AgentKind
from core.bpf.code import CodeLine
from core.bpf.contents import Entry
from core.bpf.rates import Rate
from core.bpf.records import HostSnapshot, Kind, Link, Map, Program
from core.bpf.values import Value
from core.bpf.words import HoldWords
from core.text.safe import safe_text
from core.text.secrets import scrub_args, scrub_value
from core.text.units import percent, size

_NONE = "–"
_WIDEST = 40
_FULL = 0.98
"""An LRU map rarely has all its elements: from this part on it is called full."""

Row = Sequence[str]
_RIGHT = frozenset(
    ("ID", "CPU%", "RUNS/S", "NS/RUN", "MISSES", "INSNS", "MEM", "KEY", "VALUE", "ENTRIES", "MAX", "FILL",
     "SIZE", "PROGRAMS", "MAPS", "LINKS")
)  # fmt: skip


def print_table(heading: Row, rows: list[Row]) -> None:
    """Print rows below their headings; numbers are at the right, the last column takes what it needs."""
    from rich.cells import cell_len  # when a table is printed: `--json` does not pay for it

    columns = list(zip(heading, *rows, strict=True))
    widths = [min(_WIDEST, max(map(cell_len, column))) for column in columns]
    for row in (heading, *rows):
        line = ""
        for name, entry, width in zip(heading[:-1], row[:-1], widths[:-1], strict=True):
            blanks = " " * (width - cell_len(entry))
            line += (blanks + entry if name in _RIGHT else entry + blanks) + "  "
        last = row[-1]
        blanks = " " * (widths[-1] - cell_len(last)) if heading[-1] in _RIGHT else ""
        click.echo((line + blanks + last).rstrip())


def program_rows(
    programs: Sequence[Program], words: HoldWords, rates: dict[int, Rate] | None
) -> tuple[Row, list[Row]]:
    measured = ("CPU%", "RUNS/S", "NS/RUN") if rates is not None else ()
    heading = ("ID", "TYPE", "NAME", *measured, "MISSES", "INSNS", "MEM", "ATTACHED TO", "HELD BY")
    rows: list[Row] = []
    for program in programs:
        rate = (rates or {}).get(program.id)
        rows.append(
            (
                str(program.id),
                program.type,
                safe_text(program.name, 64),
                *(rate_words(rate) if measured else ()),
                _number(program.misses),
                _number(program.verified_insns),
                size(program.memory),
                _joined(words.attached_to(program)),
                _held(words, Kind.PROGRAM, program.id, program.ours),
            )
        )
    return heading, rows


def map_rows(maps: Sequence[Map], words: HoldWords) -> tuple[Row, list[Row]]:
    heading = ("ID", "TYPE", "NAME", "KEY", "VALUE", "ENTRIES", "MAX", "FILL", "MEM", "HELD BY")
    rows: list[Row] = [
        (
            str(found.id),
            found.type,
            safe_text(found.name, 64) or _NONE,
            size(found.key_size),
            size(found.value_size),
            _number(found.entries),
            str(found.max_entries),
            fill_words(found),
            size(found.memory),
            _held(words, Kind.MAP, found.id, found.ours),
        )
        for found in maps
    ]
    return heading, rows


def link_rows(links: Sequence[Link], words: HoldWords, programs: dict[int, Program]) -> tuple[Row, list[Row]]:
    heading = ("ID", "TYPE", "PROGRAM", "TARGET", "HELD BY")
    rows: list[Row] = []
    for link in links:
        program = programs.get(link.program_id)
        name = f" {safe_text(program.name, 64)}" if program else ""
        target = f"{link.attach} {safe_text(link.target, 200)}".strip()
        rows.append(
            (
                str(link.id),
                link.type,
                f"{link.program_id}{name}" if link.program_id else _NONE,
                target or _NONE,
                _held(words, Kind.LINK, link.id, link.ours),
            )
        )
    return heading, rows


def btf_rows(snapshot: HostSnapshot, words: HoldWords) -> tuple[Row, list[Row]]:
    heading = ("ID", "SIZE", "NAME", "HELD BY")
    rows: list[Row] = [
        (
            str(found.id),
            size(found.size),
            safe_text(found.name, 64) or _NONE,
            "the kernel" if found.kernel else _held(words, Kind.BTF, found.id, found.ours),
        )
        for found in snapshot.btfs
    ]
    return heading, rows


def agent_rows(found: Sequence[Agent], rates: dict[int, Rate] | None) -> tuple[Row, list[Row]]:
    measured = ("CPU%", "RUNS/S", "NS/RUN", "MISSES") if rates is not None else ()
    heading = ("AGENT", "KIND", "PROGRAMS", "MAPS", "LINKS", "MEM", *measured, "PIDS")
    rows: list[Row] = []
    for agent in found:
        rate = agent_rate(agent, rates) if rates is not None else None
        missed = (_number(rate.misses if rate else None),)
        rows.append(
            (
                agent_name(agent),
                agent.runtime or agent.kind.value,
                str(len(agent.programs)),
                str(len(agent.maps)),
                str(len(agent.links)),
                size(agent.memory),
                *((*rate_words(rate), *missed) if measured else ()),
                _joined([str(pid) for pid in agent.pids]),
            )
        )
    return heading, rows


def agent_name(agent: Agent) -> str:
    """Return what an agent is called; ours is marked."""
    if agent.kind is AgentKind.NOBODY:
        return "nobody"
    if agent.kind is AgentKind.WAITING:
        return "held by nothing that can be found"
    return safe_text(agent.name, 100) + (" (this command)" if agent.ours else "")


def agent_rate(agent: Agent, rates: dict[int, Rate]) -> Rate | None:
    """Return the sum over an agent's programs, None when none of them was measured."""
    parts = [rates[number] for number in agent.programs if number in rates]
    if not parts:
        return None
    return Rate(
        0,
        parts[0].seconds,
        sum(part.runs for part in parts),
        sum(part.run_ns for part in parts),
        sum(part.misses for part in parts),
    )


def rate_words(rate: Rate | None) -> tuple[str, str, str]:
    if rate is None:
        return _NONE, _NONE, _NONE
    per_run = rate.ns_per_run
    return (
        f"{rate.cpu * 100:.2f}" if rate.cpu < 1 else percent(rate.cpu * 100),
        f"{rate.runs_per_second:.0f}",
        _NONE if per_run is None else f"{per_run:.0f}",
    )


def fill_words(found: Map) -> str:
    """Return how full a map is, as a part of what it can hold."""
    if found.entries is None or not found.max_entries or found.type in ("array", "percpu_array"):
        return _NONE
    part = found.entries / found.max_entries
    return "full" if part >= _FULL else f"{part * 100:.0f}%"


def print_code(lines: Sequence[CodeLine]) -> None:
    """Print instructions, each source line above what it became."""
    for line in lines:
        if line.function:
            click.echo(f"{safe_text(line.function, 200)}:")
        if line.source:
            file = safe_text(line.file.rpartition(b"/")[2], 100)
            click.echo(f"  ; {safe_text(line.source, 200)}  {file}:{line.line}")
        click.echo(f"  {line.slot:5}: {safe_text(line.text)}")


def print_entries(entries: Sequence[Entry], typed: bool) -> None:
    for entry in entries:
        key = value_text(entry.key_value) if entry.key_value is not None else entry.key.hex(" ")
        parts = [
            value_text(value) if typed and value is not None else raw.hex(" ")
            for value, raw in zip(entry.values, entry.raw, strict=True)
        ]
        shown = parts[0] if len(parts) == 1 else "  ".join(f"cpu{n} {part}" for n, part in enumerate(parts))
        click.echo(f"{key}: {shown}" + ("  (changed while it was read)" if entry.changed else ""))


def value_text(value: Value, name: bytes = b"") -> str:
    """Return a value on one line; secrets in texts are hidden as in command lines."""
    if isinstance(value, bytes):
        words = b" ".join(scrub_args(tuple(value.split(b"\0"))))
        return f'"{safe_text(scrub_value(name, words), 400)}"'
    if isinstance(value, dict):
        members = (f"{safe_text(key, 100)}={value_text(member, key)}" for key, member in value.items())
        return "{" + " ".join(members) + "}"
    if isinstance(value, list):
        return "[" + " ".join(value_text(element, name) for element in value) + "]"
    return "?" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _number(value: int | None) -> str:
    return _NONE if value is None else str(value)


def _joined(parts: list[str], most: int = 3) -> str:
    shown = ", ".join(parts[:most]) or _NONE
    return f"{shown} and {len(parts) - most} more" if len(parts) > most else shown


def _held(words: HoldWords, kind: Kind, number: int, ours: bool) -> str:
    if ours:
        return "this command"
    return _joined(words.held_by(kind, number))
