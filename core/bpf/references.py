"""What objects hold of each other: links and programs, programs and maps, tables of programs and of maps.

The tables are read by look-ups, within limits: a program of others that starts on this CPU during a call
is skipped by the kernel, so a table of thousands of slots is not read for a list.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterator

from core.bpf import syscall
from core.bpf.btf import FUNC_PROTO, PTR, STRUCT, BtfError
from core.bpf.records import Hold, HoldKind, Kind, Link, Map, Program, Refused
from core.bpf.types import TypeNames
from core.bpf.values import Decoder, Value

_MOST_SLOTS = 1024
_MOST_LOOK_UPS = 4096

_TABLES = {
    "prog_array": (Kind.PROGRAM, HoldKind.TAIL_CALL),
    "array_of_maps": (Kind.MAP, HoldKind.INNER_MAP),
    "hash_of_maps": (Kind.MAP, HoldKind.INNER_MAP),
}


def references(
    programs: tuple[Program, ...],
    maps: tuple[Map, ...],
    links: tuple[Link, ...],
    types: TypeNames,
    refused: list[Refused],
) -> list[Hold]:
    """Return the holds that objects have on each other. What was not read is added to `refused`."""
    holds = [
        Hold(Kind.PROGRAM, link.program_id, HoldKind.LINK, by=link.id) for link in links if link.program_id
    ]
    for program in programs:
        holds += [Hold(Kind.MAP, number, HoldKind.PROGRAM, by=program.id) for number in program.map_ids]
        if program.btf_id:
            holds.append(Hold(Kind.BTF, program.btf_id, HoldKind.PROGRAM, by=program.id))
    holds += [Hold(Kind.BTF, found.btf_id, HoldKind.MAP, by=found.id) for found in maps if found.btf_id]
    left = _MOST_LOOK_UPS
    for table in maps:
        try:
            if table.type == "struct_ops":
                holds += _struct_ops(table, types)
            elif table.type in _TABLES:
                if table.max_entries > _MOST_SLOTS or table.max_entries > left:
                    why = f"{table.max_entries} slots; at most {_MOST_SLOTS} are looked at"
                    refused.append(Refused(f"the slots of map {table.id}", why))
                    continue
                left -= table.max_entries
                holds += _slots(table)
        except OSError:
            refused.append(Refused(f"the slots of map {table.id}", "the kernel refuses to read them"))
    return holds


def _slots(table: Map) -> Iterator[Hold]:
    kind, hold = _TABLES[table.type]
    with_names = table.type == "hash_of_maps"
    with syscall.opened("map", table.id) as fd:
        key: bytes | None = None
        for _ in range(table.max_entries):
            key = syscall.next_key(fd, key, table.key_size)
            if key is None:
                return
            value = syscall.look_up(fd, key, 4)
            if value is not None:
                number = int.from_bytes(value, sys.byteorder)
                slot = key.hex() if with_names else str(int.from_bytes(key, sys.byteorder))
                yield Hold(kind, number, hold, by=table.id, place=slot.encode())


_REGISTERED = (b"BPF_STRUCT_OPS_STATE_INUSE", 1)
"""Registered without a link, such a map keeps itself loaded until somebody unregisters it."""


def _state(value: Value) -> Value:
    """Return the state of a struct_ops map: beside the data, since Linux 6.9 in a struct of its own."""
    if not isinstance(value, dict):
        return None
    common = value.get(b"common")
    return common.get(b"state") if isinstance(common, dict) else value.get(b"state")


def _struct_ops(table: Map, types: TypeNames) -> Iterator[Hold]:
    """Yield the programs in a registered table of functions: the kernel answers with their ids."""
    kernel = types.kernel()
    if kernel is None or not table.kernel_value_type:
        return
    with syscall.opened("map", table.id) as fd:
        value = syscall.look_up(fd, bytes(4), table.value_size)
    if value is None:
        return
    try:
        outer = kernel.type(table.kernel_value_type)
        data = next(member for member in kernel.members(outer) if member.name == b"data")
        if _state(Decoder(kernel).decode(table.kernel_value_type, value)) in _REGISTERED:
            yield Hold(Kind.MAP, table.id, HoldKind.STRUCT_OPS, by=table.id)
        _, operations = kernel.bare(data.type)
        if operations.kind != STRUCT:
            return
        for member in kernel.members(operations):
            _, pointer = kernel.bare(member.type) if member.type else (0, operations)
            if pointer.kind != PTR or not pointer.value:
                continue
            _, target = kernel.bare(pointer.value) if pointer.value else (0, operations)
            if target.kind != FUNC_PROTO:
                continue
            (number,) = struct.unpack_from("=Q", value, (data.bits + member.bits) // 8)
            if number:
                yield Hold(Kind.PROGRAM, number, HoldKind.STRUCT_OPS, by=table.id, place=member.name)
    except (BtfError, StopIteration, struct.error):
        return
