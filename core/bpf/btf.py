"""BTF as the kernel hands it out: an index of types, and names. Bounded against what a loader may have made.

buildgen.objects.btf decodes whole files for the Objects screen; here the kernel's own 130,000 types are
indexed once and only a few are ever looked at.
"""

from __future__ import annotations

import array
import struct
import sys
from typing import NamedTuple

INT, PTR, ARRAY, STRUCT, UNION, ENUM, FWD, TYPEDEF, VOLATILE, CONST, RESTRICT = range(1, 12)
FUNC, FUNC_PROTO, VAR, DATASEC, FLOAT, DECL_TAG, TYPE_TAG, ENUM64 = range(12, 20)

_FIXED = {INT: 4, ARRAY: 12, VAR: 4, DECL_TAG: 4}
_PART = {STRUCT: 12, UNION: 12, ENUM: 8, FUNC_PROTO: 8, DATASEC: 12, ENUM64: 12}
_WORDS = tuple((12 + _FIXED.get(kind, 0)) // 4 for kind in range(ENUM64 + 1))
"""Words of 4 bytes that every type of a kind has. A kind beyond these is not known."""
_EACH = tuple(_PART.get(kind, 0) // 4 for kind in range(ENUM64 + 1))
"""Words for each of its parts."""
_NATIVE = "<" if sys.byteorder == "little" else ">"
_TRANSPARENT = frozenset((TYPEDEF, VOLATILE, CONST, RESTRICT, TYPE_TAG))
_DEEPEST = 64
_MOST_TYPES = 1_000_000


class BtfError(ValueError):
    """BTF that contradicts itself."""


class Type(NamedTuple):
    """One type; `value` is its size or the type it refers to, `at` where its parts start."""

    kind: int
    name: bytes
    parts: int
    flag: bool
    value: int
    at: int
    owner: Btf
    """Where its parts and names are: a module's BTF refers to types of the kernel's."""


class Member(NamedTuple):
    """One field of a struct or union. `bits` is its offset, `width` not 0 for a bit field."""

    name: bytes
    type: int
    bits: int
    width: int


class Btf:
    """One object. `base` is the kernel's BTF when this is a module's, which continues its numbers."""

    def __init__(self, data: bytes, base: Btf | None = None) -> None:
        """Index the types. Raises BtfError."""
        if len(data) < 24 or data[:2] not in (b"\x9f\xeb", b"\xeb\x9f"):
            raise BtfError("not BTF")
        self._order = "<" if data[:2] == b"\x9f\xeb" else ">"
        header, types_at, types_size, names_at, names_size = struct.unpack_from(self._order + "5I", data, 4)
        if max(header + types_at + types_size, header + names_at + names_size) > len(data):
            raise BtfError("its sections reach beyond its end")
        self._data = data
        self._base = base
        self._names = (header + names_at, names_size)
        self._first = base.count if base else 1
        self._first_name: int = base._all_names if base else 0
        self._all_names: int = self._first_name + names_size
        self._at = self._index(header + types_at, header + types_at + types_size)

    @property
    def count(self) -> int:
        """One more than the highest type id."""
        return self._first + len(self._at)

    def type(self, number: int) -> Type:
        """Return a type by its id. Raises BtfError when there is none."""
        if self._base and number < self._first:
            return self._base.type(number)
        if not self._first <= number < self.count:
            raise BtfError(f"no type {number}")
        at = self._at[number - self._first]
        name, head, value = struct.unpack_from(self._order + "3I", self._data, at)
        kind = head >> 24 & 31
        return Type(kind, self.name(name), head & 0xFFFF, head >> 31 == 1, value, at + 12, self)

    def name(self, offset: int) -> bytes:
        """Return the text at an offset of the strings, b"" beyond their end."""
        if self._base and offset < self._first_name:
            return self._base.name(offset)
        start, size = self._names
        offset -= self._first_name
        if offset >= size:
            return b""
        end = self._data.find(b"\0", start + offset, start + size)
        return self._data[start + offset : end if end >= 0 else start + size]

    def bare(self, number: int) -> tuple[int, Type]:
        """Return the type behind typedefs and qualifiers, with its id (0: void, raised as BtfError)."""
        for _ in range(_DEEPEST):
            found = self.type(number)
            if found.kind not in _TRANSPARENT:
                return number, found
            number = found.value
        raise BtfError("typedefs in a circle")

    def members(self, composite: Type) -> list[Member]:
        """Return the fields of a struct or union."""
        owner = composite.owner
        fields = []
        for name, number, offset in self._parts(composite, "3I"):
            width, bits = (offset >> 24, offset & 0xFFFFFF) if composite.flag else (0, offset)
            fields.append(Member(owner.name(name), number, bits, width))
        return fields

    def variables(self, section: Type) -> list[tuple[int, int, int]]:
        """Return (type id of the variable, offset, size) of a data section."""
        return [(number, offset, size) for number, offset, size in self._parts(section, "3I")]

    def constants(self, kind: Type) -> dict[int, bytes]:
        """Return value -> name of an enum; of two names with one value the first."""
        names: dict[int, bytes] = {}
        if kind.kind == ENUM64:
            for name, low, high in self._parts(kind, "3I"):
                value = high << 32 | low
                value -= (value >> 63) << 64 if kind.flag else 0
                names.setdefault(value, kind.owner.name(name))
        else:
            for name, value in self._parts(kind, "Ii" if kind.flag else "II"):
                names.setdefault(value, kind.owner.name(name))
                names.setdefault(value - (1 << 32) if value >> 31 and not kind.flag else value, names[value])
        return names

    def array_of(self, kind: Type) -> tuple[int, int]:
        """Return (element type id, number of elements)."""
        element, _, count = struct.unpack_from(self._order + "3I", kind.owner._data, kind.at)
        return element, count

    def integer(self, kind: Type) -> tuple[int, int, int]:
        """Return (encoding, bit offset, bits) of an int."""
        (word,) = struct.unpack_from(self._order + "I", kind.owner._data, kind.at)
        return word >> 24 & 15, word >> 16 & 255, word & 255

    def size(self, number: int) -> int:
        """Return the size of a type in bytes. Raises BtfError for what has none."""
        times = 1
        for _ in range(_DEEPEST):
            _, found = self.bare(number)
            if found.kind == ARRAY:
                number, count = self.array_of(found)
                times *= count
                continue
            if found.kind == PTR:
                return times * 8
            if found.kind == VAR:
                number = found.value
                continue
            if found.kind in (INT, STRUCT, UNION, ENUM, ENUM64, FLOAT, DATASEC):
                return times * found.value
            break
        raise BtfError(f"type {number} has no size")

    def type_name(self, number: int) -> bytes:
        """Return how C writes a type, shortly: `struct task_struct *`, `u32[4]`."""
        suffix = b""
        for _ in range(_DEEPEST):
            if number == 0:
                return b"void" + suffix
            found = self.type(number)
            if found.kind == PTR:
                suffix = b" *" + suffix
            elif found.kind == ARRAY:
                number, count = self.array_of(found)
                suffix = b"[%d]" % count + suffix
                continue
            elif found.kind not in (VOLATILE, CONST, RESTRICT, TYPE_TAG):
                word = {STRUCT: b"struct ", UNION: b"union ", ENUM: b"enum ", ENUM64: b"enum "}
                return word.get(found.kind, b"") + (found.name or b"(anonymous)") + suffix
            number = found.value
        return b"?"

    def _parts(self, found: Type, layout: str) -> list[tuple[int, ...]]:
        size = struct.calcsize("=" + layout)
        data = found.owner._data[found.at : found.at + size * found.parts]
        return list(struct.iter_unpack(self._order + layout, data))

    def _index(self, at: int, end: int) -> array.array[int]:
        """Return where each type starts. Everything in BTF is a multiple of 4 bytes long."""
        if (end - at) % 4:
            raise BtfError("a type reaches beyond the end")
        words = array.array("I", self._data[at:end])
        if self._order != _NATIVE:
            words.byteswap()
        starts = array.array("I")
        place, last = 0, len(words)
        try:
            while place < last:
                starts.append(at + 4 * place)
                head = words[place + 1]
                kind = head >> 24 & 31
                place += _WORDS[kind] + _EACH[kind] * (head & 0xFFFF)
        except IndexError:
            place = last + 1
        if place > last or len(starts) > _MOST_TYPES:
            raise BtfError("a type reaches beyond the end, or is of a kind that is not known")
        return starts
