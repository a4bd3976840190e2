"""The maps of an object: BTF definitions in `.maps`, legacy `maps` sections, and data sections.

libbpf makes a map of each data section: one element of the section's size.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from buildgen.objects.btf import Btf, BtfError, Member, Type
from buildgen.objects.elf import Elf, ElfSection
from buildgen.objects.model import MapDef, Variable
from buildgen.objects.section_names import map_type
from core.text.safe import safe_text

RDONLY_PROG, MMAPABLE, LINK = 0x80, 0x400, 0x2000
"""BPF_F_RDONLY_PROG, BPF_F_MMAPABLE and BPF_F_LINK (include/uapi/linux/bpf.h)."""

_NUMBERS = ("type", "key_size", "value_size", "max_entries", "map_flags")


def all_maps(elf: Elf, btf: Btf | None) -> Iterator[MapDef]:
    """Yield the maps in the order libbpf has them: data sections last. Raises BtfError."""
    if btf is not None:
        yield from _btf_maps(elf, btf)
    for section in elf.sections:
        name = section.name.decode("utf-8", "backslashreplace")
        if name == "maps" or name.startswith("maps/"):
            yield from _legacy_maps(elf, section)
    if btf is not None:
        yield from _struct_ops(btf)
    for section in elf.sections:
        if _is_data(section):
            yield _data_map(section, btf)
    if btf is not None:
        yield from _kconfig_map(btf)


def variables(elf: Elf, btf: Btf | None) -> Iterator[Variable]:
    """Yield the global variables: those BTF describes, else those that have a symbol. Raises BtfError."""
    described = set()
    if btf is not None:
        for where, sections in btf.datasecs.items():
            if where not in (b".maps", b"license", b"version"):
                described.add(where)
                shown = safe_text(where)
                for number, size in ((words[0], words[2]) for one in sections for words in btf.parts(one)):
                    variable = btf[number]
                    btf.budget.take_records()
                    # The offset is in BTF only after linking; in the symbol table always.
                    offset = elf.value_of(where, btf.name(variable))
                    yield Variable(btf.shown(variable.name_at, 4096), shown, size, offset)
    for section in elf.sections:
        if _is_data(section) and section.name not in described:
            shown = safe_text(section.name)
            for symbol in elf.symbols_of(section.index):
                if symbol.type == "OBJECT":
                    yield Variable(safe_text(symbol.name), shown, symbol.size, symbol.value)


def _is_data(section: ElfSection) -> bool:
    if section.name == b".bss":
        return section.type == "SHT_NOBITS" and section.size > 0
    named = section.name in (b".data", b".rodata") or section.name.startswith((b".data.", b".rodata."))
    return named and section.type == "SHT_PROGBITS" and section.size > 0


def _data_map(section: ElfSection, btf: Btf | None) -> MapDef:
    flags = RDONLY_PROG if section.name.startswith(b".rodata") else 0
    if btf is not None and _has_global(btf, section.name):
        flags |= MMAPABLE
    name = safe_text(section.name)
    return MapDef(name, "array", 4, section.size, 1, flags, name)


def _has_global(btf: Btf, section: bytes) -> bool:
    """libbpf maps a section into user space only when a variable in it can be seen from outside."""
    first = btf.datasecs.get(section, [])[:1]
    return any(_linkage(btf, words[0]) != 0 for one in first for words in btf.parts(one))


def _linkage(btf: Btf, number: int) -> int:
    variable = btf[number]
    if variable.kind != "var":
        return 0
    (linkage,) = struct.unpack_from(f"{btf.order}I", btf.data, variable.at)
    return int(linkage)


def _kconfig_map(btf: Btf) -> Iterator[MapDef]:
    """libbpf puts the externs of .kconfig behind each other, the most aligned first."""
    for one in btf.datasecs.get(b".kconfig", []):
        externs = [(btf.size(number), btf.name(btf[number])) for number, _at, _size in btf.parts(one)]
        end = 0
        for size, _name in sorted(externs, key=lambda extern: (-min(extern[0], 8), -extern[0], extern[1])):
            align = max(1, min(size, 8))
            end = (end + align - 1) // align * align + size
        yield MapDef(".kconfig", "array", 4, end, 1, RDONLY_PROG | MMAPABLE, ".kconfig")


# --- .maps -----------------------------------------------------------------------------------------


def _btf_maps(elf: Elf, btf: Btf) -> Iterator[MapDef]:
    content = elf.section(b".maps")
    initial = memoryview(content.data if content else b"")
    for section in btf.datasecs.get(b".maps", []):
        for number, _offset, _size in btf.parts(section):
            variable = btf[number]
            btf.budget.take_records()
            start = elf.value_of(b".maps", btf.name(variable)) or 0
            name = btf.shown(variable.name_at, 4096)
            yield _btf_map(btf, name, btf.plain(variable.value), initial[start:])


def _btf_map(btf: Btf, name: str, definition: Type | None, initial: memoryview) -> MapDef:
    """Decode `struct { __uint(type, …); __type(key, …); … }`: numbers are array lengths behind a pointer.

    The oldest form has them as members with a value, in `initial`; the kernel's samples still do.
    """
    if definition is None or definition.kind != "struct":
        raise BtfError(f"map {name} is not defined by a struct")
    found = dict.fromkeys(_NUMBERS, 0)
    for member in btf.members(definition):
        key = member.name.decode("ascii", "replace")
        if key in found:
            found[key] = _number(btf, member, initial)
        elif key in ("key", "value"):
            found[f"{key}_size"] = btf.size(_pointee(btf, member.type))
        elif key == "values":  # a map in a map, or programs: elements are file descriptors
            found["value_size"] = 4
    return MapDef(
        name,
        map_type(found["type"]),
        found["key_size"],
        found["value_size"],
        found["max_entries"],
        found["map_flags"],
        ".maps",
    )


def _pointee(btf: Btf, number: int) -> int:
    pointer = btf.plain(number)
    if pointer is None or pointer.kind != "ptr":
        raise BtfError("a map's key or value is not given by a pointer")
    return pointer.value


def _number(btf: Btf, member: Member, initial: memoryview) -> int:
    plain = btf.plain(member.type)
    if plain is not None and plain.kind == "int":
        if member.bits // 8 + 4 > len(initial):
            raise BtfError("a number of a map's definition lies outside of its section")
        (value,) = struct.unpack_from(f"{btf.order}I", initial, member.bits // 8)
        return int(value)
    array = btf.plain(_pointee(btf, member.type))
    if array is None or array.kind != "array":
        raise BtfError("a number of a map's definition is not given by an array")
    return btf.array(array)[1]


def _struct_ops(btf: Btf) -> Iterator[MapDef]:
    """Each variable of these sections is a map of one element: a table of the programs that implement it."""
    for name in btf.datasecs:
        where = name.removeprefix(b"?")
        if where in (b".struct_ops", b".struct_ops.link"):
            flags = LINK if where.endswith(b".link") else 0
            for number in (words[0] for one in btf.datasecs[name] for words in btf.parts(one)):
                variable = btf[number]
                btf.budget.take_records()
                shown, size = btf.shown(variable.name_at, 4096), btf.size(variable.value)
                yield MapDef(shown, "struct_ops", 4, size, 1, flags, safe_text(where))


# --- legacy maps -------------------------------------------------------------------------------------


def _legacy_maps(elf: Elf, section: ElfSection) -> Iterator[MapDef]:
    """Decode `struct bpf_map_def`: five numbers, then whatever a loader added."""
    inside = sorted(
        (symbol for symbol in elf.symbols_of(section.index) if symbol.type in ("OBJECT", "NOTYPE")),
        key=lambda symbol: symbol.value,
    )
    where = safe_text(section.name)
    for symbol in inside:
        if symbol.value + 20 > len(section.data):
            raise BtfError(f"map {safe_text(symbol.name)} lies outside of its section")
        kind, *rest = struct.unpack_from(f"{elf.order}5I", section.data, symbol.value)
        yield MapDef(safe_text(symbol.name), map_type(kind), rest[0], rest[1], rest[2], rest[3], where)
