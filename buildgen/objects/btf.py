"""A decoder of BTF (Documentation/bpf/btf.rst of the kernel), bounded against damaged input.

Types are numbered from 1, as in the file; 0 is void. Names stay bytes: they come from outside.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from buildgen.objects.budget import Budget
from core.text.safe import safe_text

MAGIC = 0xEB9F

KINDS = (
    "void", "int", "ptr", "array", "struct", "union", "enum", "fwd", "typedef", "volatile", "const",
    "restrict", "func", "func_proto", "var", "datasec", "float", "decl_tag", "type_tag", "enum64",
)  # fmt: skip

# Bytes that follow the 12 of a type: a fixed number, and a number for each of its vlen parts.
_FIXED = {"int": 4, "array": 12, "var": 4, "decl_tag": 4}
_PART = {"struct": 12, "union": 12, "enum": 8, "func_proto": 8, "datasec": 12, "enum64": 12}
_POINTER_SIZE = 8
_DEEPEST = 64
"""Types may refer to each other in a circle when a file is damaged."""
_LONGEST = 4096
"""Bytes of a string that are taken; the rest of a longer one is left out."""
_SAME_SIZE = frozenset({"typedef", "volatile", "const", "restrict", "type_tag", "var"})


class BtfError(ValueError):
    """BTF that contradicts itself; the message says how, not where the file is."""


@dataclass(frozen=True, slots=True)
class Type:
    """One type. `size` or `to`: which one `value` is depends on the kind. `at` is where its parts start."""

    number: int
    kind: str
    name_at: int
    vlen: int
    kind_flag: bool
    value: int
    at: int


@dataclass(frozen=True, slots=True)
class Member:
    """One field; `bits` is its offset."""

    name: bytes
    type: int
    bits: int


@dataclass(frozen=True)
class Btf:
    """The decoded section. `order` is `<` or `>`, as struct takes it.

    Every look into it takes from `budget`: it may raise TooMuch.
    """

    data: bytes
    order: str
    types: tuple[Type, ...]
    strings: bytes = field(repr=False)
    budget: Budget = field(default_factory=Budget, repr=False, compare=False)
    _strings: dict[int, bytes] = field(default_factory=dict, init=False, repr=False, compare=False)
    _shown: dict[tuple[int, int], str] = field(default_factory=dict, init=False, repr=False, compare=False)
    _sizes: dict[int, int] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __getitem__(self, number: int) -> Type:
        """Return the type of that number, 1 for the first. Raises BtfError when there is none."""
        if not 1 <= number <= len(self.types):
            raise BtfError(f"type {number} of {len(self.types)} is asked for")
        return self.types[number - 1]

    def string(self, at: int) -> bytes:
        """Return the NUL-terminated string at an offset of the string section, its first 4096 bytes."""
        found = self._strings.get(at)
        if found is None:
            inside = 0 <= at < len(self.strings)
            end = self.strings.find(b"\0", at, at + _LONGEST) if inside else -1
            if end < 0 and not (inside and at + _LONGEST < len(self.strings)):
                raise BtfError(f"string at {at} is outside of the {len(self.strings)} bytes of strings")
            found = self._strings[at] = self.strings[at : end if end >= 0 else at + _LONGEST]
            self.budget.take_text(len(found))
        return found

    def shown(self, at: int, limit: int) -> str:
        """Return the string at an offset safe to show, without space around it; the same object each time."""
        found = self._shown.get((at, limit))
        if found is None:
            found = self._shown[at, limit] = safe_text(self.string(at).strip(), limit)
        return found

    def name(self, one: Type) -> bytes:
        return self.string(one.name_at)

    @cached_property
    def kinds(self) -> tuple[tuple[str, int], ...]:
        return tuple(Counter(one.kind for one in self.types).most_common())

    @cached_property
    def _words(self) -> dict[int, struct.Struct]:
        return {size: struct.Struct(f"{self.order}{size // 4}I") for size in _PART.values()}

    @cached_property
    def datasecs(self) -> dict[bytes, list[Type]]:
        """The data sections by name, in the order of the file."""
        found: dict[bytes, list[Type]] = {}
        for one in self.types:
            if one.kind == "datasec":
                found.setdefault(self.name(one), []).append(one)
        return found

    def parts(self, one: Type) -> Iterator[tuple[int, ...]]:
        """Yield the 32-bit words of each of a type's parts: members, values, parameters, variables."""
        for number in range(one.vlen if one.kind in _PART else 0):
            yield self.part(one, number)

    def part(self, one: Type, number: int) -> tuple[int, ...]:
        """Return the 32-bit words of part `number`, which must be less than `vlen`."""
        self.budget.take_steps()
        size = _PART[one.kind]
        return self._words[size].unpack_from(self.data, one.at + number * size)

    def members(self, one: Type) -> Iterator[Member]:
        """Yield the members of a struct or union."""
        return (self.member(one, number) for number in range(one.vlen))

    def member(self, one: Type, number: int) -> Member:
        """Return one member of a struct or union, by its index."""
        mask = 0xFFFFFF if one.kind_flag else 0xFFFFFFFF  # with the flag, the width of a bit field is on top
        words = self.part(one, number)
        return Member(self.string(words[0]), words[1], words[2] & mask)

    def array(self, one: Type) -> tuple[int, int]:
        """Return (element type, number of elements) of an array."""
        element, _index, count = struct.unpack_from(f"{self.order}3I", self.data, one.at)
        return element, count

    def plain(self, number: int) -> Type | None:
        """Return the type behind typedefs and qualifiers; None for void. Raises BtfError on a circle."""
        for _ in range(_DEEPEST):
            self.budget.take_steps()
            if number == 0:
                return None
            one = self[number]
            if one.kind not in _SAME_SIZE:
                return one
            number = one.value
        raise BtfError(f"type {number} refers to itself")

    def size(self, number: int) -> int:
        """Return the size in bytes of a type; 0 for what has none. Raises BtfError on a circle."""
        found = self._sizes.get(number)
        if found is None:
            found = self._sizes[number] = self._size(number)
        return found

    def _size(self, number: int) -> int:
        count = 1
        for _ in range(_DEEPEST):
            one = self.plain(number)
            if one is None:
                return 0
            if one.kind == "ptr":
                return count * _POINTER_SIZE
            if one.kind != "array":
                sized = one.kind in ("int", "struct", "union", "enum", "enum64", "float", "datasec")
                return count * one.value if sized else 0
            number, elements = self.array(one)
            count *= elements
        raise BtfError(f"type {number} refers to itself")


def decode_btf(data: bytes, budget: Budget | None = None) -> Btf:
    """Decode the content of a .BTF section, in either byte order. Raises BtfError, and TooMuch."""
    budget = budget or Budget()
    order = byte_order(data)
    if len(data) < 24:
        raise BtfError(f"the header is cut off after {len(data)} bytes")
    version, _flags, head, type_at, type_size, string_at, string_size = struct.unpack_from(
        f"{order}BB5I", data, 2
    )
    if version != 1:
        raise BtfError(f"version {version} is unknown")
    types_start, strings_start = head + type_at, head + string_at
    if max(types_start + type_size, strings_start + string_size) > len(data) or head < 24:
        raise BtfError("types or strings lie outside of the section")
    types = tuple(_walk(data, order, types_start, types_start + type_size, budget))
    return Btf(data, order, types, data[strings_start : strings_start + string_size], budget)


def byte_order(data: bytes) -> str:
    """Return `<` or `>` by the magic number that .BTF and .BTF.ext start with."""
    for order in "<>":
        if data[:2] == struct.pack(f"{order}H", MAGIC):
            return order
    raise BtfError("it does not start with BTF's magic number")


def _walk(data: bytes, order: str, at: int, end: int, budget: Budget) -> Iterator[Type]:
    head = struct.Struct(f"{order}3I")
    number = 0
    while at < end:
        if end - at < head.size:
            raise BtfError(f"type {number + 1} is cut off")
        name_at, info, value = head.unpack_from(data, at)
        number += 1
        budget.take_records()
        code, vlen = info >> 24 & 0x1F, info & 0xFFFF
        if not 1 <= code < len(KINDS):
            raise BtfError(f"type {number} is of the unknown kind {code}")
        kind = KINDS[code]
        at += head.size
        yield Type(number, kind, name_at, vlen, bool(info >> 31), value, at)
        at += _FIXED.get(kind, 0) + vlen * _PART.get(kind, 0)
        if at > end:
            raise BtfError(f"type {number} is cut off")
