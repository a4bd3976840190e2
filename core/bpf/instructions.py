"""eBPF instructions as the kernel's disassembler writes them (kernel/bpf/disasm.c), one text for each.

A decoder of our own because the code of a loaded program has instructions that no compiler emits and
llvm-mc does not know: per-CPU addresses, speculation barriers, references to maps by id.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple

_LD, _LDX, _ST, _STX, _ALU, _JMP, _JMP32, _ALU64 = range(8)
_SIZES = {0x00: "32", 0x08: "16", 0x10: "8", 0x18: "64"}
_ALU_OPS = ("+=", "-=", "*=", "/=", "|=", "&=", "<<=", ">>=", "neg", "%=", "^=", "=", "s>>=")
_JUMP_OPS = {
    0x10: "==", 0x20: ">", 0x30: ">=", 0x40: "&", 0x50: "!=", 0x60: "s>", 0x70: "s>=",
    0xA0: "<", 0xB0: "<=", 0xC0: "s<", 0xD0: "s<=",
}  # fmt: skip
_FETCHES = {0x01: "add", 0x51: "and", 0x41: "or", 0xA1: "xor"}
_MAP_ID, _MAP_VALUE, _FUNCTION = 1, 2, 4
_MAP_INDEX, _MAP_INDEX_VALUE = 5, 6


class Instruction(NamedTuple):
    """One instruction. `slot` counts 8 bytes from 0; `map_id` is the map it refers to, 0 for none.

    `calls` is the slot of the subprogram it calls or takes the address of, -1 for none; `helper` is
    the distance of a helper from __bpf_call_base, 0 when the kernel hides it.
    """

    slot: int
    text: str
    map_id: int = 0
    calls: int = -1
    helper: int | None = None


class _Raw(NamedTuple):
    slot: int
    code: int
    dst: int
    src: int
    off: int
    imm: int
    following: int
    """The immediate of the next slot: the upper half of a 64-bit one."""


def decode(code: bytes) -> Iterator[Instruction]:
    """Yield the instructions of a program's translated code; what is not known is shown as its bytes."""
    slots = len(code) // 8
    slot = 0
    while slot < slots:
        opcode, registers, off, imm = struct.unpack_from("=BBhi", code, slot * 8)
        following = struct.unpack_from("=i", code, slot * 8 + 12)[0] if slot + 1 < slots else 0
        dst, src = (registers & 15, registers >> 4) if _LITTLE else (registers >> 4, registers & 15)
        raw = _Raw(slot, opcode, dst, src, off, imm, following)
        instruction = _CLASSES[opcode & 7](raw)
        yield instruction._replace(text=f"({opcode:02x}) {instruction.text}")
        slot += 2 if opcode == 0x18 else 1


_LITTLE = struct.pack("=H", 1)[0] == 1


def _unknown(raw: _Raw) -> Instruction:
    return Instruction(raw.slot, f"not known: r{raw.dst} r{raw.src} {raw.off:+d} 0x{raw.imm & 0xFFFFFFFF:x}")


def _alu(raw: _Raw) -> Instruction:
    wide = raw.code & 7 == _ALU64
    letter = "r" if wide else "w"
    operation, by_register = raw.code & 0xF0, raw.code & 0x08
    dst = f"{letter}{raw.dst}"
    if operation == 0xD0:
        order = "bswap" if wide else ("be" if by_register else "le")
        return Instruction(raw.slot, f"r{raw.dst} = {order}{raw.imm} r{raw.dst}")
    if operation == 0x80:
        return Instruction(raw.slot, f"{dst} = -{dst}")
    if operation >> 4 >= len(_ALU_OPS):
        return _unknown(raw)
    word = _ALU_OPS[operation >> 4]
    if operation == 0xB0 and by_register and raw.off:
        return Instruction(raw.slot, _special_move(raw, letter))
    if operation in (0x30, 0x90) and raw.off == 1:
        word = f"s{word}"
    operand = f"{letter}{raw.src}" if by_register else str(raw.imm)
    return Instruction(raw.slot, f"{dst} {word} {operand}")


def _special_move(raw: _Raw, letter: str) -> str:
    if raw.off == -1:
        return f"{letter}{raw.dst} = &(void __percpu *)({letter}{raw.src})"
    if raw.off == 1:
        spaces = raw.imm >> 16 & 0xFFFF, raw.imm & 0xFFFF
        return f"r{raw.dst} = addr_space_cast(r{raw.src}, {spaces[0]}, {spaces[1]})"
    return f"{letter}{raw.dst} = (s{raw.off}){letter}{raw.src}"


def _store(raw: _Raw) -> Instruction:
    mode, size = raw.code & 0xE0, _SIZES[raw.code & 0x18]
    place = f"*(u{size} *)(r{raw.dst} {raw.off:+d})"
    if mode == 0xC0:
        return Instruction(raw.slot, "nospec")
    if mode != 0x60:
        return _unknown(raw)
    return Instruction(raw.slot, f"{place} = {raw.imm}")


def _store_register(raw: _Raw) -> Instruction:
    mode, size = raw.code & 0xE0, _SIZES[raw.code & 0x18]
    if mode == 0x60:
        return Instruction(raw.slot, f"*(u{size} *)(r{raw.dst} {raw.off:+d}) = r{raw.src}")
    text = _atomic(raw, size) if mode == 0xC0 else None
    return Instruction(raw.slot, text) if text else _unknown(raw)


def _atomic(raw: _Raw, size: str) -> str | None:
    place, src = f"(u{size} *)(r{raw.dst} {raw.off:+d})", f"r{raw.src}"
    name = "atomic64" if size == "64" else "atomic"
    texts = {
        0xE1: f"{src} = {name}_xchg({place}, {src})",
        0xF1: f"r0 = {name}_cmpxchg({place}, r0, {src})",
        0x100: f"r{raw.dst} = load_acquire((u{size} *)({src} {raw.off:+d}))",
        0x110: f"store_release({place}, {src})",
    }
    for imm, word in _FETCHES.items():
        texts[imm] = f"{src} = {name}_fetch_{word}({place}, {src})"
        texts[imm & ~1] = f"lock *{place} {_ALU_OPS[imm >> 4]} {src}"
    return texts.get(raw.imm)


def _load(raw: _Raw) -> Instruction:
    mode, size = raw.code & 0xE0, _SIZES[raw.code & 0x18]
    if mode in (0x60, 0x80):
        sign = "u" if mode == 0x60 else "s"
        return Instruction(raw.slot, f"r{raw.dst} = *({sign}{size} *)(r{raw.src} {raw.off:+d})")
    return _unknown(raw)


def _load_immediate(raw: _Raw) -> Instruction:
    size = _SIZES[raw.code & 0x18]
    mode = raw.code & 0xE0
    if mode == 0x20:
        return Instruction(raw.slot, f"r0 = *(u{size} *)skb[{raw.imm}]")
    if mode == 0x40:
        return Instruction(raw.slot, f"r0 = *(u{size} *)skb[r{raw.src} + {raw.imm}]")
    return _wide_immediate(raw) if raw.code == 0x18 else _unknown(raw)


def _wide_immediate(raw: _Raw) -> Instruction:
    low, high = raw.imm & 0xFFFFFFFF, raw.following & 0xFFFFFFFF
    if raw.src in (_MAP_ID, _MAP_INDEX):
        return Instruction(raw.slot, f"r{raw.dst} = map[id:{low}]", map_id=low)
    if raw.src in (_MAP_VALUE, _MAP_INDEX_VALUE):
        return Instruction(raw.slot, f"r{raw.dst} = map[id:{low}][0]+{high}", map_id=low)
    if raw.src == _FUNCTION:
        return Instruction(raw.slot, f"r{raw.dst} = subprog[{raw.imm:+d}]", calls=raw.slot + 1 + raw.imm)
    return Instruction(raw.slot, f"r{raw.dst} = 0x{high << 32 | low:x}")


def _jump(raw: _Raw) -> Instruction:
    wide = raw.code & 7 == _JMP
    operation = raw.code & 0xF0
    if operation == 0x80:
        return _call(raw)
    if operation == 0x90:
        return Instruction(raw.slot, "exit")
    if operation == 0x00:
        word, distance = ("goto", raw.off) if wide else ("gotol", raw.imm)
        return Instruction(raw.slot, f"{word} pc{distance:+d}")
    if operation == 0xE0:
        return Instruction(raw.slot, f"may_goto pc{raw.off:+d}")
    if operation not in _JUMP_OPS:
        return _unknown(raw)
    letter = "r" if wide else "w"
    operand = f"{letter}{raw.src}" if raw.code & 0x08 else f"0x{raw.imm & 0xFFFFFFFF:x}"
    return Instruction(raw.slot, f"if {letter}{raw.dst} {_JUMP_OPS[operation]} {operand} goto pc{raw.off:+d}")


def _call(raw: _Raw) -> Instruction:
    if raw.src == 1:
        return Instruction(raw.slot, f"call pc{raw.imm:+d}", calls=raw.slot + 1 + raw.imm)
    return Instruction(raw.slot, "call", helper=raw.imm)


_CLASSES: tuple[Callable[[_Raw], Instruction], ...] = (
    _load_immediate, _load, _store, _store_register, _alu, _jump, _jump, _alu,
)  # fmt: skip
