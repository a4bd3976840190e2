"""The ELF part of an object, read with pyelftools and checked before it is believed.

Sizes and counts in a damaged file can be anything. Every section is known to lie inside of the file before
its content is taken. pyelftools' own sections are not used: they read names to the next NUL wherever that
is, and decompress what says that it is compressed.
"""

from __future__ import annotations

import os
import stat
import struct
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

from elftools.common.exceptions import ELFError
from elftools.common.utils import struct_parse
from elftools.construct import ConstructError
from elftools.elf.elffile import ELFFile

from buildgen.errors import ObjectError

BIGGEST = 256 * 1024 * 1024
"""No eBPF object comes near; a file that is bigger is not read into memory."""
_MOST_SECTIONS = 16_384
_LONGEST_NAME = 4096
_MACHINES = ("EM_BPF", "EM_NONE")  # compilers wrote EM_NONE before BPF had a number
_SYMBOL_TYPES = {0: "NOTYPE", 1: "OBJECT", 2: "FUNC", 3: "SECTION", 4: "FILE"}

_LIES = (
    ELFError, ConstructError, struct.error, ValueError, KeyError, IndexError, TypeError, AttributeError,
    OverflowError, AssertionError, ZeroDivisionError, RecursionError,
)  # fmt: skip
"""What pyelftools raises for files that contradict themselves."""


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


@dataclass(frozen=True, slots=True)
class Elf:
    machine: str
    endian: Literal["little", "big"]
    size: int
    sections: tuple[ElfSection, ...]
    symbols: tuple[Symbol, ...]

    @property
    def order(self) -> str:
        """The byte order as struct takes it."""
        return "<" if self.endian == "little" else ">"

    def section(self, name: bytes) -> ElfSection | None:
        return next((section for section in self.sections if section.name == name), None)


def read_elf(path: Path) -> Elf:
    """Read an eBPF object. Raises ObjectError, one line that names the file, for anything else."""
    data = _content(path)
    if not data.startswith(b"\x7fELF"):
        raise ObjectError(path, "not an ELF file" if data else "an empty file")
    try:
        return _read(path, data, ELFFile(BytesIO(data)))
    except _LIES as error:
        raise ObjectError(path, f"a damaged ELF file ({error or type(error).__name__})") from error


def _content(path: Path) -> bytes:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(fd, "rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise ObjectError(path, "not a regular file")
            if found.st_size > BIGGEST:
                raise ObjectError(path, f"{found.st_size} bytes: too big for an eBPF object")
            return file.read(BIGGEST)
    except OSError as error:
        raise ObjectError(path, error.strerror or str(error)) from error


def _read(path: Path, data: bytes, elf: Any) -> Elf:
    machine = str(elf["e_machine"])
    if machine not in _MACHINES:
        raise ObjectError(path, f"an ELF file for {machine}, not for eBPF")
    if elf.elfclass != 64 or elf["e_type"] != "ET_REL":
        raise ObjectError(path, f"not a relocatable 64-bit object ({elf['e_type']}, {elf.elfclass} bits)")
    count = elf.num_sections()
    if count > _MOST_SECTIONS or elf["e_shoff"] + count * elf["e_shentsize"] > len(data):
        raise ObjectError(path, f"a truncated file: {count} sections do not fit in {len(data)} bytes")
    headers = [
        struct_parse(elf.structs.Elf_Shdr, elf.stream, elf["e_shoff"] + index * elf["e_shentsize"])
        for index in range(count)
    ]
    contents = [_section_content(path, data, index, head) for index, head in enumerate(headers)]
    names = contents[elf["e_shstrndx"]] if elf["e_shstrndx"] < count else b""
    sections = tuple(
        ElfSection(
            index=index,
            name=_name(names, head["sh_name"]),
            type=str(head["sh_type"]),
            flags=head["sh_flags"],
            size=head["sh_size"],
            info=head["sh_info"],
            data=contents[index],
        )
        for index, head in enumerate(headers)
    )
    endian: Literal["little", "big"] = "little" if elf.little_endian else "big"
    symbols: tuple[Symbol, ...] = ()
    for head, content in zip(headers, contents, strict=True):
        if head["sh_type"] == "SHT_SYMTAB" and head["sh_link"] < count:
            symbols += _symbols(content, contents[head["sh_link"]], "<" if elf.little_endian else ">")
    return Elf(machine, endian, len(data), sections, symbols)


def _section_content(path: Path, data: bytes, index: int, head: Any) -> bytes:
    if head["sh_type"] in ("SHT_NOBITS", "SHT_NULL"):
        return b""
    start, end = head["sh_offset"], head["sh_offset"] + head["sh_size"]
    if end > len(data):
        raise ObjectError(path, f"a truncated file: section {index} ends at byte {end} of {len(data)}")
    return data[start:end]


def _symbols(table: bytes, names: bytes, order: str) -> tuple[Symbol, ...]:
    """Decode a symbol table; a last entry that is cut off is left out."""
    entry = struct.Struct(f"{order}IBBHQQ")
    return tuple(
        Symbol(
            name=_name(names, name_at),
            section=section,
            value=value,
            size=size,
            type=_SYMBOL_TYPES.get(info & 0xF, str(info & 0xF)),
            local=info >> 4 == 0,
        )
        for name_at, info, _other, section, value, size in entry.iter_unpack(
            table[: len(table) - len(table) % entry.size]
        )
    )


def _name(names: bytes, at: int) -> bytes:
    """Return a string of a string table; nothing when it is outside, cut when it does not end."""
    end = names.find(b"\0", at, at + _LONGEST_NAME)
    return names[at : end if end >= 0 else at + _LONGEST_NAME]
