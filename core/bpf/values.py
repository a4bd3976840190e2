"""Keys and values of maps, decoded by their BTF into numbers, texts, lists and dicts, within limits.

A text is bytes: it comes from outside. An array of chars is a text up to its first NUL when nothing but
NULs follows, else a list of numbers. A member without a name (a union in a struct) gives its members to
the outer one, as in C.
"""

from __future__ import annotations

import struct
import sys

from core.bpf import btf
from core.bpf.btf import Btf, BtfError, Member, Type

Value = int | float | bool | bytes | list["Value"] | dict[bytes, "Value"] | None

_DEEPEST = 24
_MOST_PARTS = 8_192
_SIGNED, _CHAR, _BOOL = 1, 2, 4
_FLOATS = {4: "=f", 8: "=d"}


class Decoder:
    """Decodes values of one BTF object. The number of parts of one value is limited; what is over is None."""

    def __init__(self, types: Btf) -> None:
        self._types = types
        self._left = 0
        self._members: dict[int, list[Member]] = {}
        self._constants: dict[int, dict[int, bytes]] = {}

    def decode(self, type_id: int, data: bytes) -> Value:
        """Return `data` as a value of a type. Raises BtfError when the type contradicts the data."""
        self._left = _MOST_PARTS
        return self._value(type_id, data, 0, 0)

    def _value(self, number: int, data: bytes, at: int, depth: int) -> Value:
        self._left -= 1
        if depth > _DEEPEST or self._left < 0:
            return None
        _, found = self._types.bare(number)
        if found.kind in (btf.STRUCT, btf.UNION):
            return self._composite(found, data, at, depth)
        if found.kind == btf.ARRAY:
            return self._array(found, data, at, depth)
        if found.kind == btf.DATASEC:
            return self._section(found, data, at, depth)
        if found.kind == btf.VAR:
            return self._value(found.value, data, at, depth + 1)
        size = 8 if found.kind == btf.PTR else found.value
        part = data[at : at + size]
        if not 0 < size <= 16 or len(part) < size:
            raise BtfError("the type is longer than the data")
        return self._scalar(found, part)

    def _scalar(self, found: Type, part: bytes) -> Value:
        if found.kind == btf.INT:
            encoding, _, _ = self._types.integer(found)
            value = int.from_bytes(part, sys.byteorder, signed=bool(encoding & _SIGNED))
            return bool(value) if encoding & _BOOL else value
        if found.kind in (btf.ENUM, btf.ENUM64):
            value = int.from_bytes(part, sys.byteorder, signed=found.flag)
            return self._constant(found, value)
        if found.kind == btf.PTR:
            return int.from_bytes(part, sys.byteorder)
        if found.kind == btf.FLOAT and len(part) in _FLOATS:
            number: float = struct.unpack(_FLOATS[len(part)], part)[0]
            return number
        raise BtfError(f"a value cannot be of kind {found.kind}")

    def _composite(self, found: Type, data: bytes, at: int, depth: int) -> Value:
        values: dict[bytes, Value] = {}
        members = self._members.get(found.at)
        if members is None:
            members = self._members[found.at] = self._types.members(found)
        for member in members:
            if self._left < 0:
                break
            value = (
                self._bit_field(member.type, data, at * 8 + member.bits, member.width)
                if member.width
                else self._value(member.type, data, at + member.bits // 8, depth + 1)
            )
            if member.name:
                values[member.name] = value
            elif isinstance(value, dict):
                values.update(value)
        return values

    def _bit_field(self, number: int, data: bytes, start: int, width: int) -> Value:
        """Return `width` bits from bit `start`, signed where the type is."""
        self._left -= 1
        _, found = self._types.bare(number)
        part = data[start // 8 : (start + width + 7) // 8]
        if len(part) * 8 < width:
            raise BtfError("a bit field is behind the data")
        value = int.from_bytes(part, sys.byteorder)
        shift = start % 8 if sys.byteorder == "little" else len(part) * 8 - start % 8 - width
        value = value >> shift & (1 << width) - 1
        signed = found.kind == btf.INT and self._types.integer(found)[0] & _SIGNED
        if (signed or (found.kind == btf.ENUM and found.flag)) and value >> (width - 1):
            value -= 1 << width
        if found.kind in (btf.ENUM, btf.ENUM64):
            return self._constant(found, value)
        return value

    def _constant(self, found: Type, value: int) -> Value:
        names = self._constants.get(found.at)
        if names is None:
            names = self._constants[found.at] = self._types.constants(found)
        return names.get(value, value)

    def _array(self, found: Type, data: bytes, at: int, depth: int) -> Value:
        element, count = self._types.array_of(found)
        size = self._types.size(element)
        if at + size * count > len(data):
            raise BtfError("an array is longer than the data")
        if size == 1 and self._is_text(element):
            text, _, behind = data[at : at + count].partition(b"\0")
            if not behind.strip(b"\0"):
                return text
        values: list[Value] = []
        for index in range(count):
            if self._left < 0:
                break
            values.append(self._value(element, data, at + index * size, depth + 1))
        return values

    def _is_text(self, element: int) -> bool:
        _, found = self._types.bare(element)
        if found.kind != btf.INT:
            return False
        encoding, _, _ = self._types.integer(found)
        return found.name == b"char" or bool(encoding & _CHAR)

    def _section(self, found: Type, data: bytes, at: int, depth: int) -> Value:
        """Return the variables of .data, .bss or .rodata by name."""
        values: dict[bytes, Value] = {}
        for number, offset, _ in self._types.variables(found):
            if self._left < 0:
                break
            values[self._types.type(number).name] = self._value(number, data, at + offset, depth + 1)
        return values
