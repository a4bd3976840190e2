""".BTF.ext: which source line an instruction is from, and the CO-RE relocations.

The section has a header, then tables of records grouped by ELF section (include/linux/btf.h in libbpf).
A record may be longer than what is known here; the rest of it is skipped.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from buildgen.objects.btf import Btf, BtfError, Type, byte_order
from buildgen.objects.model import CoreRelocation, LineInfo
from core.text.safe import safe_text

INSN_SIZE = 8

CORE_KINDS = (
    "byte_off", "byte_sz", "field_exists", "signed", "lshift_u64", "rshift_u64", "local_type_id",
    "target_type_id", "type_exists", "type_size", "enumval_exists", "enumval_value", "type_matches",
)  # fmt: skip
"""libbpf's names, by number (enum bpf_core_relo_kind)."""

_FIELD_KINDS = frozenset(CORE_KINDS[:6])
_ENUM_KINDS = frozenset({"enumval_exists", "enumval_value"})
_LINE_COLUMN_BITS = 10
_KEYWORDS = {"struct": "struct ", "union": "union ", "enum": "enum ", "enum64": "enum "}
_LONGEST_ACCESS = 64


def core_relocations(data: bytes, btf: Btf) -> list[CoreRelocation]:
    """Return the CO-RE relocations of a .BTF.ext section. Raises BtfError."""
    order = byte_order(data)
    if _header_size(data, order) < 32:  # written before CO-RE
        return []
    found = []
    access: dict[tuple[int, ...], tuple[str, str, str]] = {}
    for section, place in _records(data, order, btf, table=2, least=16):
        at, *what = struct.unpack_from(f"{order}4I", data, place)
        key = tuple(what)
        if key not in access:
            access[key] = _described(btf, *what)
        kind, type_, path = access[key]
        found.append(CoreRelocation(section, at // INSN_SIZE, kind, type_, path, btf.shown(what[1], 200)))
    return found


def _described(btf: Btf, type_id: int, access_at: int, kind: int) -> tuple[str, str, str]:
    """Return the kind of a CO-RE relocation, the type that it is for, and the names of the fields."""
    name = CORE_KINDS[kind] if kind < len(CORE_KINDS) else f"kind {kind}"
    said = name, type_name(btf, type_id), safe_text(_access(btf, type_id, btf.string(access_at), name))
    btf.budget.take_text(sum(map(len, said)))
    return said


def line_infos(data: bytes, btf: Btf) -> list[LineInfo]:
    """Return the source line of instructions, in the order of the section. Raises BtfError."""
    order = byte_order(data)
    found = []
    for section, place in _records(data, order, btf, table=1, least=16):
        at, file_at, line_at, packed = struct.unpack_from(f"{order}4I", data, place)
        found.append(
            LineInfo(
                section=section,
                insn=at // INSN_SIZE,
                file=btf.shown(file_at, 4096),
                line=packed >> _LINE_COLUMN_BITS,
                column=packed & (1 << _LINE_COLUMN_BITS) - 1,
                text=btf.shown(line_at, 400),
            )
        )
    return found


def type_name(btf: Btf, number: int) -> str:
    """Return a type as C calls it: `struct task_struct`, `enum x`, `u32`; `void` for 0."""
    if number == 0:
        return "void"
    one = btf[number]
    name = btf.shown(one.name_at, 200) or "(anonymous)"
    return _KEYWORDS.get(one.kind, "") + name


def _header_size(data: bytes, order: str) -> int:
    if len(data) < 24:
        raise BtfError(f"the header of .BTF.ext is cut off after {len(data)} bytes")
    (size,) = struct.unpack_from(f"{order}I", data, 4)
    if not 24 <= size <= len(data):
        raise BtfError(f"the header of .BTF.ext claims {size} bytes")
    return int(size)


def _records(data: bytes, order: str, btf: Btf, *, table: int, least: int) -> Iterator[tuple[str, int]]:
    """Yield (ELF section, place of a record in `data`) of a table: 0 functions, 1 lines, 2 relocations."""
    head = _header_size(data, order)
    start, size = struct.unpack_from(f"{order}2I", data, 8 + 8 * table)
    at, end = head + start, head + start + size
    if size == 0:
        return
    if end > len(data) or size < 4:
        raise BtfError(".BTF.ext: a table lies outside of the section")
    (record_size,) = struct.unpack_from(f"{order}I", data, at)
    if record_size < least:
        raise BtfError(f".BTF.ext: records of {record_size} bytes are too short")
    at += 4
    while at < end:
        if end - at < 8:
            raise BtfError(".BTF.ext: a table is cut off")
        name_at, count = struct.unpack_from(f"{order}2I", data, at)
        at += 8
        if count * record_size > end - at:
            raise BtfError(f".BTF.ext: {count} records do not fit")
        section = btf.shown(name_at, 200)
        btf.budget.take_records(1 + count)
        for _ in range(count):
            yield section, at
            at += record_size


def _access(btf: Btf, type_id: int, numbers: bytes, kind: str) -> str:
    """Translate `0:12:3` into the names of the fields; what cannot be translated stays a number.

    The first number indexes the pointer that the access starts from; it is shown when it is not 0.
    """
    if kind not in _FIELD_KINDS and kind not in _ENUM_KINDS:
        return ""
    steps = numbers.decode("ascii", "replace").split(":")[:_LONGEST_ACCESS]
    if kind in _ENUM_KINDS:
        return _enum_value(btf, type_id, steps[0])
    path = f"[{steps[0]}]" if steps[0] != "0" else ""
    number = type_id
    for step in steps[1:]:
        one = btf.plain(number)
        index = int(step) if step.isdecimal() and len(step) < 9 else -1
        if one is not None and one.kind == "array":
            number = btf.array(one)[0]
            path += f"[{step}]"
            continue
        if one is None or one.kind not in ("struct", "union") or not 0 <= index < one.vlen:
            return f"{path}.{step}?".lstrip(".")
        member = btf.member(one, index)
        if member.name:  # the fields of an anonymous struct are those of the one around it
            path += "." + safe_text(member.name, 200)
        number = member.type
    return path.lstrip(".")


def _enum_value(btf: Btf, type_id: int, step: str) -> str:
    one: Type | None = btf.plain(type_id)
    index = int(step) if step.isdecimal() and len(step) < 9 else -1
    if one is None or one.kind not in ("enum", "enum64") or not 0 <= index < one.vlen:
        return step
    return btf.shown(btf.part(one, index)[0], 200)
