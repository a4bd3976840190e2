"""The JSON shapes of `bpf`. Bytes stay exact (json_text); docs/cli.md is the contract."""

from __future__ import annotations

import math
from typing import Any

from core.bpf.agents import Agent
from core.bpf.claims import Claim
from core.bpf.code import CodeLine
from core.bpf.contents import Entry
from core.bpf.rates import Rate
from core.bpf.records import Attachment, BtfObject, Hold, HostSnapshot, Kind, Link, Map, Program, Refused
from core.bpf.values import Value
from core.bpf.words import HoldWords
from core.text.safe import json_text

Json = dict[str, Any]


def program_json(program: Program, words: HoldWords, rate: Rate | None = None) -> Json:
    return {
        "id": program.id,
        "type": program.type,
        "name": json_text(program.name),
        "tag": program.tag,
        "loaded_ns": program.loaded_ns,
        "uid": program.uid if program.uid >= 0 else None,
        "gpl_compatible": program.gpl,
        "run_ns": program.run_ns,
        "run_count": program.run_count,
        "misses": program.misses,
        "verified_insns": program.verified_insns,
        "bytes_xlated": program.xlated_bytes,
        "bytes_jited": program.jited_bytes,
        "memory": program.memory,
        "map_ids": list(program.map_ids),
        "btf_id": program.btf_id or None,
        "attach_to": json_text(program.attach_to) or None,
        "attached_to": [_attachment(place) for place in words.attachments(program.id)],
        "held_by": _holds(words, Kind.PROGRAM, program.id),
        "rate": rate_json(rate),
        "ours": program.ours,
    }


def map_json(found: Map, words: HoldWords) -> Json:
    return {
        "id": found.id,
        "type": found.type,
        "name": json_text(found.name),
        "bytes_key": found.key_size,
        "bytes_value": found.value_size,
        "max_entries": found.max_entries,
        "entries": found.entries,
        "flags": found.flags,
        "extra": found.extra,
        "memory": found.memory,
        "frozen": found.frozen,
        "btf_id": found.btf_id or None,
        "owner_type": found.owner_type or None,
        "held_by": _holds(words, Kind.MAP, found.id),
        "ours": found.ours,
    }


def link_json(link: Link, words: HoldWords) -> Json:
    return {
        "id": link.id,
        "type": link.type,
        "prog_id": link.program_id or None,
        "attach_type": link.attach or None,
        "target": json_text(link.target),
        "detached": link.detached,
        "ifindex": link.ifindex or None,
        "cgroup_id": link.cgroup_id or None,
        "netns_ino": link.netns or None,
        "map_id": link.map_id or None,
        "cookie": link.cookie or None,
        "held_by": _holds(words, Kind.LINK, link.id),
        "ours": link.ours,
    }


def btf_json(found: BtfObject, words: HoldWords) -> Json:
    return {
        "id": found.id,
        "size": found.size,
        "name": json_text(found.name) or None,
        "kernel": found.kernel,
        "held_by": _holds(words, Kind.BTF, found.id),
        "ours": found.ours,
    }


def agent_json(agent: Agent, rate: Rate | None = None) -> Json:
    return {
        "kind": agent.kind.value,
        "name": json_text(agent.name),
        "pids": list(agent.pids),
        "container_id": agent.container_id or None,
        "runtime": agent.runtime or None,
        "program_ids": list(agent.programs),
        "map_ids": list(agent.maps),
        "link_ids": list(agent.links),
        "btf_ids": list(agent.btfs),
        "memory": agent.memory,
        "rate": rate_json(rate),
        "ours": agent.ours,
    }


def rate_json(rate: Rate | None) -> Json | None:
    if rate is None:
        return None
    return {
        "seconds": rate.seconds,
        "runs": rate.runs,
        "run_ns": rate.run_ns,
        "misses": rate.misses,
        "cpu_percent": rate.cpu * 100,
        "runs_per_second": rate.runs_per_second,
        "ns_per_run": rate.ns_per_run,
    }


def refused_json(snapshot: HostSnapshot) -> list[Json]:
    return [_refused(row) for row in snapshot.refused]


def code_json(line: CodeLine) -> Json:
    return {
        "slot": line.slot,
        "text": line.text,
        "function": json_text(line.function) or None,
        "file": json_text(line.file) or None,
        "line": line.line or None,
        "source": json_text(line.source) or None,
        "map_id": line.map_id or None,
    }


def entry_json(entry: Entry, per_cpu: bool) -> Json:
    """`value` without BTF is null; `raw` always has the bytes, in hex."""
    values = [value_json(value) for value in entry.values]
    return {
        "key": value_json(entry.key_value),
        **({"values": values} if per_cpu else {"value": values[0]}),
        "raw_key": entry.key.hex(),
        "raw": [part.hex() for part in entry.raw],
        "changed": entry.changed,
    }


def claim_json(claim: Claim, found: Map, agent: bytes) -> list[Json]:
    """Return one object for each member that is about a fact; one without fact when nothing was compared."""
    about: Json = {
        "map": {"id": found.id, "name": json_text(found.name), "agent": json_text(agent) or None},
        "key": claim.key,
        "likelihood": claim.likelihood.value,
        "evidence": list(claim.why),
        "raw": claim.raw.hex(),
    }
    if not claim.compared:
        nothing = {"member": None, "fact": None, "theirs": value_json(claim.value), "ours": []}
        return [{**about, **nothing, "verdict": "unknown", "why": ["no member that we know"]}]
    return [
        {
            **about,
            "member": json_text(one.member),
            "fact": one.fact,
            "theirs": value_json(one.theirs),
            "ours": [value_json(answer) for answer in one.ours],
            "verdict": one.verdict.value,
            "why": [one.why] if one.why else [],
        }
        for one in claim.compared
    ]


def value_json(value: Value) -> Any:
    if isinstance(value, bytes):
        return json_text(value)
    if isinstance(value, dict):
        return {json_text(name): value_json(member) for name, member in value.items()}
    if isinstance(value, list):
        return [value_json(element) for element in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # JSON has no number for it
    return value


def _holds(words: HoldWords, kind: Kind, number: int) -> list[Json]:
    return [_hold(hold) for hold in words.holds(kind, number)]


def _hold(hold: Hold) -> Json:
    return {
        "kind": hold.kind.value,
        "pid": hold.pid or None,
        "fds": list(hold.fds),
        "comm": json_text(hold.comm) or None,
        "by": hold.by or None,
        "place": json_text(hold.place) or None,
        "namespace": hold.namespace or None,
        "detail": json_text(hold.detail) or None,
    }


def _attachment(place: Attachment) -> Json:
    return {
        "kind": place.kind,
        "where": json_text(place.where),
        "namespace": place.namespace or None,
        "link_id": place.link_id or None,
        "detail": json_text(place.detail) or None,
    }


def _refused(row: Refused) -> Json:
    return {"what": row.what, "why": row.why, "fix": row.fix or None}
