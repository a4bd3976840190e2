"""What the instructions of an object refer to: maps, variables, functions (R_BPF_* relocations)."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from buildgen.objects.elf import Elf

Reference = tuple[int, int, bytes]
"""(byte in the section, R_BPF_* type, name): of a symbol without a name, that of its section."""


def references(elf: Elf) -> dict[int, list[Reference]]:
    """Return the references of each section, by its index, in the order of their places.

    Only the first symbol table counts; objects have one. What points outside it has no name. Raises TooMuch.
    """
    found: dict[int, list[Reference]] = {}
    for section in elf.sections:
        if section.type == "SHT_REL":
            found.setdefault(section.info, []).extend(_references(elf, section.data))
    for each in found.values():
        each.sort()
    return found


def _references(elf: Elf, table: bytes) -> Iterator[Reference]:
    entry = struct.Struct(f"{elf.order}QII")
    elf.budget.take_records(len(table) // entry.size)
    for offset, first, second in entry.iter_unpack(table[: len(table) - len(table) % entry.size]):
        kind, symbol = (first, second) if elf.order == "<" else (second, first)
        yield offset, kind, _name(elf, symbol)


def _name(elf: Elf, number: int) -> bytes:
    if number >= len(elf.symbols):
        return b""
    symbol = elf.symbols[number]
    if symbol.name or symbol.section >= len(elf.sections):
        return symbol.name
    return elf.sections[symbol.section].name
