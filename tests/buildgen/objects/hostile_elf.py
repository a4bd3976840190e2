"""Object files made by hand, to claim what no compiler would."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

PROGBITS, SYMTAB, STRTAB, NOBITS, REL = 1, 2, 3, 8, 9
OBJECT, FUNC = 1, 2
INT, PTR, ARRAY, STRUCT, TYPEDEF, VAR, DATASEC = 1, 2, 3, 4, 8, 14, 15


@dataclass(frozen=True)
class Part:
    """A section. `at` and `size`: what its header claims instead of where its data is."""

    name: bytes
    type: int = PROGBITS
    data: bytes = b""
    link: int = 0
    info: int = 0
    flags: int = 0
    at: int | None = None
    size: int | None = None


def elf(*parts: Part) -> bytes:
    """Return a little-endian BPF object of these sections, numbered from 1; .shstrtab comes last."""
    names = b"\0" + b"".join(part.name + b"\0" for part in parts) + b".shstrtab\0"
    parts = (*parts, Part(b".shstrtab", STRTAB, names))
    places = {part.name: names.index(b"\0" + part.name + b"\0") + 1 for part in set(parts)}
    body, heads = bytearray(), bytearray(64)
    for part in parts:
        at = 64 + len(body) if part.at is None else part.at
        size = len(part.data) if part.size is None else part.size
        name_at = places[part.name]
        heads += struct.pack(
            "<2I4Q2I2Q", name_at, part.type, part.flags, 0, at, size, part.link, part.info, 1, 0
        )
        body += part.data
    head = b"\x7fELF\2\1\1" + bytes(9)
    head += struct.pack(
        "<2HI3QI6H", 1, 247, 1, 0, 0, 64 + len(body), 0, 64, 0, 0, 64, len(parts) + 1, len(parts)
    )
    return bytes(head + body + heads)


def symbol(name_at: int = 1, section: int = 1, value: int = 0, size: int = 8, kind: int = OBJECT) -> bytes:
    return struct.pack("<IBBHQQ", name_at, 16 | kind, 0, section, value, size)


def type_(
    kind: int, name_at: int = 0, value: int = 0, parts: Sequence[Sequence[int]] = (), vlen: int = -1
) -> bytes:
    """Return one BTF type; `parts` are the 32-bit words that follow."""
    words = [word for part in parts for word in part]
    count = vlen if vlen >= 0 else len(parts) if kind in (STRUCT, DATASEC) else 0
    return struct.pack(f"<{3 + len(words)}I", name_at, kind << 24 | count, value, *words)


def btf(types: bytes, strings: bytes) -> bytes:
    head = struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(types), len(types), len(strings))
    return head + types + strings


def btf_ext(lines: bytes = b"", core: bytes = b"") -> bytes:
    """Return .BTF.ext with a table of lines and one of CO-RE relocations (groups of records)."""
    tables = [struct.pack("<I", 8), struct.pack("<I", 16) + lines, struct.pack("<I", 16) + core]
    head = struct.pack("<HBBI", 0xEB9F, 1, 0, 32)
    at = 0
    for table in tables:
        head += struct.pack("<2I", at, len(table))
        at += len(table)
    return head + b"".join(tables)


def group(name_at: int, records: bytes, size: int = 16) -> bytes:
    return struct.pack("<2I", name_at, len(records) // size) + records
