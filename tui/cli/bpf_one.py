"""One program and one map in plain text: a fact a line."""

from __future__ import annotations

import time

import click

from core.bpf.agents import Agent
from core.bpf.claims import Claims
from core.bpf.facts_compared import Compared, Verdict
from core.bpf.names import map_flags
from core.bpf.rates import Rate
from core.bpf.records import HostSnapshot, Kind, Map, Program
from core.bpf.words import HoldWords
from core.text.safe import safe_text
from core.text.units import age, size
from tui.cli.bpf_text import agent_name, fill_words, rate_words, value_text


def print_program(program: Program, snapshot: HostSnapshot, words: HoldWords, rate: Rate | None) -> None:
    now = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    by_id = {found.id: found for found in snapshot.maps}
    click.echo(f"program {program.id}  {program.type}  {safe_text(program.name, 128)}")
    _line("tag", program.tag)
    _line(
        "loaded",
        f"{age(now - program.loaded_ns)} ago" + (f", by uid {program.uid}" if program.uid >= 0 else ""),
    )
    _line("made for", safe_text(program.attach_to, 200))
    _lines("attached to", words.attached_to(program))
    _lines("held by", words.held_by(Kind.PROGRAM, program.id) or ["nothing that can be found"])
    _line("code", f"{program.xlated_bytes // 8} instructions, {size(program.jited_bytes)} of machine code")
    _line("verified", f"{program.verified_insns} instructions" if program.verified_insns else "")
    _line("memory", size(program.memory))
    if program.run_count is None:
        _line("runs", "not counted (--stats SECONDS counts them)")
    else:
        _line("runs", f"{program.run_count}, {program.run_ns} ns in all")
    _line("misses", "" if program.misses is None else str(program.misses))
    if rate is not None:
        cpu, runs, per_run = rate_words(rate)
        _line(f"in {rate.seconds:.1f} s", f"{cpu} % of a CPU, {runs} runs/s, {per_run} ns a run")
    _lines("maps", [_map_words(by_id[number]) for number in program.map_ids if number in by_id])


def print_map(found: Map, words: HoldWords) -> None:
    click.echo(f"map {found.id}  {found.type}  {safe_text(found.name, 128)}")
    _line("key", f"{found.key_size} bytes")
    _line("value", f"{found.value_size} bytes")
    entries = "not counted" if found.entries is None else str(found.entries)
    unit = " bytes wait" if found.type == "ringbuf" and found.entries is not None else ""
    fill = fill_words(found)
    _line("entries", f"{entries}{unit} of {found.max_entries}" + (f" ({fill})" if fill != "–" else ""))
    _line("flags", ", ".join(map_flags(found.flags)))
    _line("frozen", "yes: user space cannot change it" if found.frozen else "")
    _line("memory", size(found.memory))
    _line("BTF", str(found.btf_id or ""))
    _line("programs", f"of type {found.owner_type}" if found.owner_type else "")
    _lines("held by", words.held_by(Kind.MAP, found.id) or ["nothing that can be found"])


def _map_words(found: Map) -> str:
    return f"{found.id}  {found.type}  {safe_text(found.name, 64)}"


def _line(name: str, value: str) -> None:
    """Print one fact; what is empty is left out."""
    if value:
        click.echo(f"  {name:<12}{value}")


def _lines(name: str, values: list[str]) -> None:
    for number, value in enumerate(values):
        _line("" if number else name, value)


def _against(one: Compared) -> str:
    """Return both sides of a comparison in words."""
    text = value_text(one.theirs)
    if one.verdict in (Verdict.DIFFERS, Verdict.UNKNOWN) and one.ours:
        text += f", /proc says {' or '.join(map(value_text, one.ours[:4]))}"
    return text + (f" ({one.why})" if one.why else "")


def print_claims(answer: Claims, maps: dict[int, Map], agents: dict[int, Agent]) -> None:
    """Print what maps say about a process, what differs first."""
    for claim in answer.claims:
        found, agent = maps[claim.map_id], agents.get(claim.map_id)
        owner = f" of {agent_name(agent)}" if agent else ""
        name = safe_text(found.name, 64)
        click.echo(f"map {found.id} {name}{owner}: {claim.key}, {claim.likelihood.value}")
        _line("because", "; ".join(claim.why) or "it has an entry")
        for one in claim.compared:
            _line(one.verdict.value, f"{safe_text(one.member, 64)} {_against(one)}")
        if claim.value is None:
            _line("value", f"{claim.raw[:64].hex(' ')} (no BTF)")
        elif not claim.compared:
            _line("value", value_text(claim.value))
    for row in answer.refused:
        click.echo(f"not asked: {row.what}: {safe_text(row.why, 200)}", err=True)
    if not answer.asked:
        click.echo("no map is loaded that could be asked about a process", err=True)
    elif not answer.claims:
        click.echo(
            f"none of {answer.asked} maps is about this process; Falco and Cilium, for two, keep no such map",
            err=True,
        )
