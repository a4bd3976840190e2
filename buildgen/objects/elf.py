"""The ELF part of an object, checked before it is believed.

Sizes and counts in a damaged file can be anything. Every section is known to lie inside of the file, and all
of them together to be no larger than it, before their content is taken. Nothing is decompressed.
"""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple

from elftools.elf.enums import ENUM_E_MACHINE, ENUM_E_TYPE, ENUM_SH_TYPE_BASE

from buildgen.errors import ObjectError
from buildgen.objects.budget import Budget, TooMuch

BIGGEST = 64 * 1024 * 1024
"""No eBPF object comes near, with DWARF either; a file that is bigger is not read into memory."""
MOST_SECTIONS = 16_384
_LONGEST_NAME = 4096
_MACHINES = ("EM_BPF", "EM_NONE")  # compilers wrote EM_NONE before BPF had a number
_SYMBOL_TYPES = {0: "NOTYPE", 1: "OBJECT", 2: "FUNC", 3: "SECTION", 4: "FILE"}
_SHN_XINDEX = 0xFFFF
_HEADER_SIZE = 64
_WITHOUT_CONTENT = frozenset({0, 8})  # SHT_NULL, SHT_NOBITS


@dataclass(frozen=True, slots=True)
class ElfSection:
    """`data` is empty for a section without content in the file (SHT_NOBITS).

    `info` of a section of relocations is the index of the section that they are for.
    """

    index: int
    name: bytes
    type: str
    flags: int
    size: int
    info: int
    data: bytes

    @property
    def executable(self) -> bool:
        return bool(self.flags & 0x4)


@dataclass(frozen=True, slots=True)
class Symbol:
    name: bytes
    section: int
    value: int
    size: int
    type: str
    local: bool


@dataclass(frozen=True)
class Elf:
    """`budget` is what is left of it for whoever reads on in this object."""

    machine: str
    endian: Literal["little", "big"]
    size: int
    sections: tuple[ElfSection, ...]
    symbols: tuple[Symbol, ...]
    budget: Budget = field(repr=False, compare=False)

    @property
    def order(self) -> str:
        """The byte order as struct takes it."""
        return "<" if self.endian == "little" else ">"

    def section(self, name: bytes) -> ElfSection | None:
        return next((section for section in self.sections if section.name == name), None)

    def symbols_of(self, section: int) -> list[Symbol]:
        """Return the symbols that lie in the section of that index, in the order of the file."""
        return self._by_section.get(section, [])

    def value_of(self, section: bytes, name: bytes) -> int | None:
        """Return the value of the first symbol of that name in a section of that name."""
        return self._values.get((section, name))

    @cached_property
    def _by_section(self) -> dict[int, list[Symbol]]:
        found: dict[int, list[Symbol]] = {}
        for symbol in self.symbols:
            found.setdefault(symbol.section, []).append(symbol)
        return found

    @cached_property
    def _values(self) -> dict[tuple[bytes, bytes], int]:
        found: dict[tuple[bytes, bytes], int] = {}
        for symbol in self.symbols:
            if symbol.section < len(self.sections):
                found.setdefault((self.sections[symbol.section].name, symbol.name), symbol.value)
        return found


class _Head(NamedTuple):
    """Elf64_Shdr."""

    name: int
    type: int
    flags: int
    address: int
    offset: int
    size: int
    link: int
    info: int
    align: int
    entry_size: int


def read_elf(path: Path, data: bytes) -> Elf:
    """Decode the content of an eBPF object. Raises ObjectError, one line that names the file, else."""
    if not data.startswith(b"\x7fELF"):
        raise ObjectError(path, "not an ELF file" if data else "an empty file")
    try:
        return _read(path, data)
    except TooMuch as error:
        raise ObjectError(path, str(error)) from None
    except struct.error:
        raise ObjectError(path, f"a damaged ELF file (cut off after {len(data)} bytes)") from None


def read_content(path: Path, most: int = BIGGEST) -> bytes:
    """Read a regular file of at most `most` bytes whole. Raises ObjectError for anything else.

    What the name leads to is looked at before it is opened: to open a device may have consequences (a
    watchdog starts), and to open a pipe may wait.
    """
    place = -1
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
        if not stat.S_ISREG(os.fstat(place).st_mode):
            raise ObjectError(path, "not a regular file")
        with open(f"/proc/self/fd/{place}", "rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise ObjectError(path, error.strerror or str(error)) from error
    finally:
        if place >= 0:
            os.close(place)
    if len(data) > most:
        raise ObjectError(path, f"more than {most >> 20} MiB: too big for an eBPF object")
    return data


def _read(path: Path, data: bytes) -> Elf:
    if len(data) < 16 or data[4] not in (1, 2) or data[5] not in (1, 2):
        raise ObjectError(path, "a damaged ELF file (its header is none)")
    little = data[5] == 1
    order = "<" if little else ">"
    kind, machine_number = struct.unpack_from(f"{order}2H", data, 16)
    machine = _MACHINE_NAMES.get(machine_number, str(machine_number))
    type_name = _TYPE_NAMES.get(kind, str(kind))
    if machine not in _MACHINES:
        raise ObjectError(path, f"an ELF file for {machine}, not for eBPF")
    bits = 32 * data[4]
    if bits != 64 or type_name != "ET_REL":
        raise ObjectError(path, f"not a relocatable 64-bit object ({type_name}, {bits} bits)")
    heads, names_index = _heads(path, data, order)
    contents = _contents(path, data, heads)
    names = contents[names_index] if names_index < len(heads) else b""
    budget = Budget()
    sections = tuple(
        ElfSection(
            index=index,
            name=_name(names, head.name, budget),
            type=_SECTION_TYPES.get(head.type, str(head.type)),
            flags=head.flags,
            size=head.size,
            info=head.info,
            data=contents[index],
        )
        for index, head in enumerate(heads)
    )
    symbols: list[Symbol] = []
    for section, head in zip(sections, heads, strict=True):
        if section.type == "SHT_SYMTAB" and head.link < len(heads):
            symbols += _symbols(section.data, contents[head.link], order, budget)
    endian: Literal["little", "big"] = "little" if little else "big"
    return Elf(machine, endian, len(data), sections, tuple(symbols), budget)


def _heads(path: Path, data: bytes, order: str) -> tuple[list[_Head], int]:
    """Return the section headers, and the index of the section with their names.

    Numbers that need more than 16 bits are in the first of the headers. Raises struct.error.
    """
    (at,) = struct.unpack_from(f"{order}Q", data, 0x28)
    size, count, names = struct.unpack_from(f"{order}3H", data, 0x3A)
    if at == 0:
        return [], 0
    layout = struct.Struct(f"{order}2I4Q2I2Q")
    if size != _HEADER_SIZE or at + size > len(data):
        raise ObjectError(path, "a truncated file: its section headers lie outside of it")
    first = _Head(*layout.unpack_from(data, at))
    count = count or first.size
    names = first.link if names == _SHN_XINDEX else names
    if count > MOST_SECTIONS:
        raise ObjectError(path, f"{count} sections; at most {MOST_SECTIONS} are read")
    if at + count * size > len(data):
        raise ObjectError(path, f"a truncated file: {count} sections do not fit in {len(data)} bytes")
    heads = [_Head(*layout.unpack_from(data, at + index * size)) for index in range(count)]
    return heads, names


def _contents(path: Path, data: bytes, heads: list[_Head]) -> list[bytes]:
    """Return what is in each section. Each is a copy, so all of them together must not exceed the file."""
    claimed = 0
    for index, head in enumerate(heads):
        if head.type not in _WITHOUT_CONTENT:
            end = head.offset + head.size
            if end > len(data):
                raise ObjectError(
                    path, f"a truncated file: section {index} ends at byte {end} of {len(data)}"
                )
            claimed += head.size
    if claimed > len(data):
        what = f"its sections overlap, they claim {claimed:,} bytes of a file of {len(data):,}"
        raise ObjectError(path, f"a damaged ELF file: {what}")
    return [
        b"" if head.type in _WITHOUT_CONTENT else data[head.offset : head.offset + head.size]
        for head in heads
    ]


def _words(numbers: Mapping[str, int]) -> dict[int, str]:
    return {number: name for name, number in reversed(list(numbers.items())) if not name.startswith("_")}


_MACHINE_NAMES = _words(ENUM_E_MACHINE)
_TYPE_NAMES = _words(ENUM_E_TYPE)
_SECTION_TYPES = _words(ENUM_SH_TYPE_BASE)
"""By number: `EM_BPF`, `ET_REL`, `SHT_PROGBITS`."""


def _symbols(table: bytes, names: bytes, order: str, budget: Budget) -> list[Symbol]:
    """Decode a symbol table; a last entry that is cut off is left out. Raises TooMuch."""
    entry = struct.Struct(f"{order}IBBHQQ")
    whole = len(table) - len(table) % entry.size
    budget.take_records(whole // entry.size)
    return [
        Symbol(
            name=_name(names, name_at, budget),
            section=section,
            value=value,
            size=size,
            type=_SYMBOL_TYPES.get(info & 0xF, str(info & 0xF)),
            local=info >> 4 == 0,
        )
        for name_at, info, _other, section, value, size in entry.iter_unpack(table[:whole])
    ]


def _name(names: bytes, at: int, budget: Budget) -> bytes:
    """Return a string of a string table; nothing when it is outside, cut when it does not end."""
    end = names.find(b"\0", at, at + _LONGEST_NAME)
    found = names[at : end if end >= 0 else at + _LONGEST_NAME]
    budget.take_text(len(found))
    return found
