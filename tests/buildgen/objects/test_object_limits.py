"""Small files that claim very much: each ends in one line that names the limit, in bounded memory and time.

Each runs in a child that may add 256 MB and take 30 seconds of processor time (tests/fuzz/harness.py).
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from buildgen.errors import ObjectError
from buildgen.objects import compare, read_object
from buildgen.objects import elf as elf_reader
from tests.buildgen.objects.hostile_elf import (
    ARRAY,
    DATASEC,
    FUNC,
    INT,
    NOBITS,
    PTR,
    REL,
    STRTAB,
    STRUCT,
    SYMTAB,
    TYPEDEF,
    VAR,
    Part,
    btf,
    btf_ext,
    elf,
    group,
    symbol,
    type_,
)  # fmt: skip
from tests.fuzz.harness import fuzz

MANY = 60_000
STEPS = "reading it takes more than 1,000,000 steps"
RECORDS = "more than 500,000 symbols, types and records"
NAMES = "more than 64 MiB of names"


def overlapping() -> bytes:
    """1.2 MB whose sections all are the whole file (issue 11: it took 3 GB)."""
    return elf(Part(b"x", data=bytes(1 << 20)), *[Part(b"x", at=0, size=1 << 20)] * 2500)


def many_sections() -> bytes:
    head = bytearray(elf())
    head[0x3C:0x3E] = struct.pack("<H", 0)  # the count is in the size of the first header
    at = struct.unpack_from("<Q", head, 0x28)[0]
    head[at + 32 : at + 40] = struct.pack("<Q", 16_385)
    return bytes(head) + bytes(64 * 16_385)


def variables_times_symbols() -> bytes:
    strings = b"\0.data\0v\0"
    types = type_(VAR, 7, 0, [[1]]) + type_(DATASEC, 1, 4, [[1, 0, 4]] * MANY)
    return elf(
        Part(b".data", data=b"abcd"), Part(b".BTF", data=btf(types, strings)),
        Part(b".symtab", SYMTAB, symbol() * MANY, link=4), Part(b".strtab", STRTAB, b"\0w\0"),
    )  # fmt: skip


def data_sections_times_symbols() -> bytes:
    symbols = Part(b".symtab", SYMTAB, symbol(section=9) * MANY, link=2)
    return elf(symbols, Part(b".strtab", STRTAB, b"\0w\0"), *[Part(b".data.x", data=b"abcd")] * 16_000)


def symbol_tables() -> bytes:
    """Many tables, and the sum of them."""
    return elf(Part(b".strtab", STRTAB, b"\0w\0"), *[Part(b".s", SYMTAB, symbol() * 60, link=1)] * 10_000)


def long_names() -> bytes:
    """Symbols whose names end nowhere: each is another 4096 bytes of one string table."""
    table = b"".join(symbol(name_at=at) for at in range(MANY))
    return elf(Part(b".symtab", SYMTAB, table, link=2), Part(b".strtab", STRTAB, b"a" * MANY * 2))


def long_section_names() -> bytes:
    parts = [Part(b".x")] * 16_000
    content = bytearray(elf(Part(b"n" * 4200), *parts))
    at = struct.unpack_from("<Q", content, 0x28)[0]
    for index in range(2, 16_002):
        content[at + index * 64 : at + index * 64 + 4] = struct.pack("<I", 1 + index % 100)
    return bytes(content)


def overlapping_functions() -> bytes:
    code = Part(b"xdp", data=bytes(1 << 20), flags=4)
    table = symbol(size=1 << 20, kind=FUNC) * 10_000
    return elf(code, Part(b".symtab", SYMTAB, table, link=3), Part(b".strtab", STRTAB, b"\0w\0"))


def a_function_of_all_numbers() -> bytes:
    """Its instructions are counted by whoever disassembles it."""
    table = symbol(size=(1 << 64) - 8, kind=FUNC)
    return elf(
        Part(b"xdp", NOBITS, flags=4, size=(1 << 64) - 1), Part(b".symtab", SYMTAB, table, link=3),
        Part(b".strtab", STRTAB, b"\0w\0"),
    )  # fmt: skip


def functions_times_relocations() -> bytes:
    table = symbol(kind=FUNC) * 20_000
    return elf(
        Part(b"xdp", data=bytes(1 << 20), flags=4), Part(b".symtab", SYMTAB, table, link=3),
        Part(b".strtab", STRTAB, b"\0w\0"), Part(b".relxdp", REL, bytes(16) * MANY, info=1),
    )  # fmt: skip


def maps_times_members() -> bytes:
    strings = b"\0.maps\0m\0"
    types = type_(INT, 7, 4, [[0]]) + type_(STRUCT, 0, 4, [[7, 1, 0]] * MANY) + type_(VAR, 7, 2, [[1]])
    types += type_(DATASEC, 1, 4, [[3, 0, 4]] * MANY)
    return elf(Part(b".BTF", data=btf(types, strings)), Part(b".maps", data=bytes(4)))


def types_that_are_chains() -> bytes:
    """Arrays of typedefs of arrays, and as many variables that ask for the size."""
    types, number = type_(INT, 1, 4, [[0]]), 1
    for _ in range(60):
        for _ in range(60):
            types += type_(TYPEDEF, 1, number)
            number += 1
        types += type_(ARRAY, 0, 0, [[number, 1, 0xFFFFFFFF]])
        number += 1
    for _ in range(20_000):
        types += type_(VAR, 1, number, [[2]])
    first = number + 1
    types += type_(DATASEC, 1, 4, [[first + index, 0, 4] for index in range(20_000)]) * 3
    return elf(Part(b".BTF", data=btf(types, b"\0.kconfig\0")))


def a_circle() -> bytes:
    types = (
        type_(TYPEDEF, 1, 2)
        + type_(TYPEDEF, 1, 1)
        + type_(VAR, 1, 1, [[1]])
        + type_(DATASEC, 1, 4, [[3, 0, 4]])
    )
    return elf(Part(b".BTF", data=btf(types, b"\0.maps\0")))


def types_without_end() -> bytes:
    return elf(Part(b".BTF", data=btf(type_(PTR) * 600_000, b"\0")))


def lines_of_long_text() -> bytes:
    """Each record names another place of one string without an end."""
    lines = b"".join(struct.pack("<4I", 8 * at, at, at + 1, 1 << 10) for at in range(MANY))
    ext = btf_ext(lines=group(0, lines))
    return elf(Part(b".BTF", data=btf(b"", b"a" * 2 * MANY + b"\0")), Part(b".BTF.ext", data=ext))


def relocations_into_a_wide_struct() -> bytes:
    """Each relocation names the last of many members, many levels deep."""
    path = ":".join(["0", *["65534"] * 60]).encode()
    members = [[1, 0, 0]] * 65_534 + [[1, 1, 0]]
    types = type_(STRUCT, 1, 4, members)
    strings = b"\0s\0" + b"".join(path + b":%d\0" % index for index in range(500))
    ats = [3 + sum(len(path) + len(b":%d\0" % i) for i in range(index)) for index in range(500)]
    core = b"".join(struct.pack("<4I", 8, 1, ats[index % 500], 0) for index in range(MANY))
    return elf(Part(b".BTF", data=btf(types, strings)), Part(b".BTF.ext", data=btf_ext(core=group(1, core))))


def groups_of_nothing() -> bytes:
    ext = btf_ext(lines=group(0, b"") * 700_000)
    return elf(Part(b".BTF", data=btf(b"", b"\0")), Part(b".BTF.ext", data=ext))


def compressed() -> bytes:
    """SHF_COMPRESSED: says that 4 GiB come out of it; nothing is unpacked."""
    return elf(Part(b".BTF", data=struct.pack("<2I2Q", 1, 0, 1 << 32, 1) + b"x\x9c", flags=0x800))


CASES: list[tuple[Callable[[], bytes], str | None]] = [
    (overlapping, "its sections overlap, they claim 2,62"),
    (many_sections, "16385 sections; at most 16384 are read"),
    (variables_times_symbols, None),
    (data_sections_times_symbols, None),
    (symbol_tables, RECORDS),
    (long_names, NAMES),
    (long_section_names, None),
    (overlapping_functions, "function w and others overlap"),
    (a_function_of_all_numbers, "overlap"),
    (functions_times_relocations, STEPS),
    (maps_times_members, STEPS),
    (types_that_are_chains, "refers to itself|more than"),
    (a_circle, "type 1 refers to itself"),
    (types_without_end, RECORDS),
    (lines_of_long_text, NAMES),
    (relocations_into_a_wide_struct, None),
    (groups_of_nothing, RECORDS),
    (compressed, "damaged BTF"),
]


@pytest.mark.parametrize(("make", "says"), CASES, ids=[make.__name__ for make, _ in CASES])
def test_what_a_small_file_can_claim(
    make: Callable[[], bytes], says: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, content = tmp_path / "hostile.o", make()
    path.write_bytes(content)
    assert len(content) < 16_000_000

    def read(_: bytes) -> None:
        if says is None:
            assert read_object(path).sections
        else:
            with pytest.raises(ObjectError, match=says) as error:
                read_object(path)
            assert len(str(error.value)) < 400

    fuzz(read, [b""], name=make.__name__, seconds=0, cpu_seconds=30)


def test_as_many_sections_as_are_allowed_are_read(tmp_path: Path) -> None:
    (tmp_path / "x.o").write_bytes(elf(*[Part(b"x")] * (elf_reader.MOST_SECTIONS - 2)))
    assert len(read_object(tmp_path / "x.o").sections) == elf_reader.MOST_SECTIONS - 1


def test_a_file_that_grows_or_has_no_end_is_not_read_whole(tmp_path: Path) -> None:
    with open(tmp_path / "sparse.o", "wb") as file:
        file.write(b"\x7fELF")
        file.truncate(1 << 40)
    with pytest.raises(ObjectError, match="more than 64 MiB"):
        read_object(tmp_path / "sparse.o")
    (tmp_path / "zero.o").symlink_to("/dev/zero")
    with pytest.raises(ObjectError, match="not a regular file"):
        read_object(tmp_path / "zero.o")


def test_two_large_objects_are_compared(tmp_path: Path) -> None:
    for number in range(2):
        types = type_(VAR, 1, 0, [[number]]) + type_(DATASEC, 3, 4, [[1, 0, 4]] * MANY)
        content = elf(Part(b".BTF", data=btf(types, b"\0v\0.data\0")))
        (tmp_path / f"{number}.o").write_bytes(content)

    def both(_: bytes) -> None:
        compare(read_object(tmp_path / "0.o"), read_object(tmp_path / "1.o"))

    fuzz(both, [b""], name="compare", seconds=0, cpu_seconds=30)
