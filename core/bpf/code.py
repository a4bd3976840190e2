"""The code of a loaded program as the kernel has it, with its source lines.

`xlated` is what the verifier left, `jited` the machine code. The kernel hides machine code and addresses of
helpers unless the reader may see kernel addresses (kptr_restrict, CAP_SYSLOG).
"""

from __future__ import annotations

import bisect
import ctypes
import functools
import shutil
import struct
import subprocess
from collections.abc import Iterator

import msgspec

from core.bpf import syscall
from core.bpf.instructions import decode
from core.bpf.types import TypeNames

_INFO_SIZE = 232
_LARGEST = 64 << 20
_MOST_LINES = 1_000_000


class CodeLine(msgspec.Struct, frozen=True):
    """One instruction. `slot` counts 8 bytes in xlated, bytes in jited code.

    `function` is the name of the function that starts here, else b""; `file`, `line` and `source` are set
    where a new source line starts.
    """

    slot: int
    text: str
    function: bytes = b""
    file: bytes = b""
    line: int = 0
    source: bytes = b""
    map_id: int = 0


class _Tables:
    """Functions and source lines of a program, by slot."""

    def __init__(self, fd: int, types: TypeNames) -> None:
        fields = syscall.info("program", fd)
        (btf_id,) = struct.unpack_from("=I", fields, 128)
        self._btf = types.object(btf_id) if btf_id else None
        self.functions: dict[int, bytes] = {}
        self.lines: dict[int, tuple[bytes, int, bytes]] = {}
        size, _, count = struct.unpack_from("=IQI", fields, 132)
        if self._btf is None:
            return
        for slot, type_id in _records(fd, (132, 136, 144), size, count, "=II"):
            self.functions[slot] = types.name(btf_id, type_id)
        (count,), (size,) = struct.unpack_from("=I", fields, 148), struct.unpack_from("=I", fields, 172)
        for slot, file, text, column in _records(fd, (172, 152, 148), size, count, "=IIII"):
            self.lines[slot] = (self._btf.name(file), column >> 10, self._btf.name(text).strip())


def _records(
    fd: int, places: tuple[int, int, int], size: int, count: int, layout: str
) -> Iterator[tuple[int, ...]]:
    """Yield records that the kernel copies out. `places`: where record size, address and count go."""
    if not count or size < struct.calcsize(layout) or count > _MOST_LINES:
        return
    room = ctypes.create_string_buffer(count * size)
    asked = bytearray(_INFO_SIZE)
    struct.pack_into("=I", asked, places[0], size)
    struct.pack_into("=Q", asked, places[1], ctypes.addressof(room))
    struct.pack_into("=I", asked, places[2], count)
    syscall.info("program", fd, bytes(asked))
    for at in range(0, count * size, size):
        yield struct.unpack_from(layout, room, at)


def xlated(program: int, types: TypeNames) -> list[CodeLine]:
    """Return the translated code of a program. Raises OSError (ENOENT: gone), PermissionError: hidden."""
    with syscall.opened("program", program) as fd:
        code = _copied(fd, 20, 32)
        tables = _Tables(fd, types)
    answer = []
    for instruction in decode(code):
        text = instruction.text
        if instruction.helper is not None:
            text = f"{text} {helper_name(instruction.helper)}"
        elif instruction.calls in tables.functions:
            name = tables.functions[instruction.calls].decode("utf-8", "backslashreplace")
            text = f"{text}#{name}"
        file, line, source = tables.lines.get(instruction.slot, (b"", 0, b""))
        function = tables.functions.get(instruction.slot, b"")
        answer.append(CodeLine(instruction.slot, text, function, file, line, source, instruction.map_id))
    return answer


def jited(program: int) -> list[CodeLine]:
    """Return the machine code of a program, disassembled by llvm-mc where it is installed, else as bytes.

    Raises OSError, PermissionError when the kernel hides it.
    """
    with syscall.opened("program", program) as fd:
        code = _copied(fd, 16, 24)
    tool = next(filter(None, (shutil.which(name, path=_SYSTEM_PATH) for name in _DISASSEMBLERS)), None)
    if tool is None:
        return [CodeLine(at, code[at : at + 16].hex(" ")) for at in range(0, len(code), 16)]
    hexadecimal = " ".join(f"0x{byte:02x}" for byte in code)
    ran = subprocess.run(
        [tool, "--disassemble", "--show-encoding"], input=hexadecimal, capture_output=True, text=True,
        check=False, timeout=30, cwd="/",
    )  # fmt: skip
    return list(_machine_lines(ran.stdout))


_DISASSEMBLERS = ("llvm-mc", *(f"llvm-mc-{version}" for version in range(22, 10, -1)))
_SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"
"""Where a disassembler is looked for, whatever PATH says: it runs with our rights."""


def _machine_lines(listing: str) -> Iterator[CodeLine]:
    """Yield llvm-mc's instructions; it writes the bytes of each behind it."""
    at = 0
    for raw in listing.splitlines():
        text, _, encoding = raw.partition("encoding: [")
        text = text.strip().rstrip("#;@/").strip().replace("\t", " ")
        if not encoding:
            continue
        yield CodeLine(at, text)
        at += encoding.count(",") + 1


def _copied(fd: int, size_at: int, address_at: int) -> bytes:
    fields = syscall.info("program", fd)
    (size,) = struct.unpack_from("=I", fields, size_at)
    room = ctypes.create_string_buffer(min(size, _LARGEST))
    asked = bytearray(_INFO_SIZE)
    struct.pack_into("=I", asked, size_at, len(room))
    struct.pack_into("=Q", asked, address_at, ctypes.addressof(room))
    answer = syscall.info("program", fd, bytes(asked))
    if not size or not struct.unpack_from("=Q", answer, address_at)[0]:
        raise PermissionError(1, "the kernel hides it (kernel.kptr_restrict, net.core.bpf_jit_harden)")
    return room.raw


def helper_name(distance: int) -> str:
    """Return the name of the function a call leads to, by its distance from __bpf_call_base."""
    if distance == 0:
        return "a helper (the kernel hides which)"
    addresses, names, base = _symbols()
    if not base:
        return f"helper {distance:+d}"
    place = bisect.bisect_left(addresses, base + distance)
    if place < len(addresses) and addresses[place] == base + distance:
        return f"{names[place]}#{distance}"
    return f"helper {distance:+d}"


@functools.lru_cache(maxsize=1)
def _symbols() -> tuple[list[int], list[str], int]:
    """Return the kernel's function symbols by address, and __bpf_call_base; nothing when hidden."""
    found: list[tuple[int, str]] = []
    base = 0
    try:
        with open("/proc/kallsyms", encoding="ascii", errors="replace") as file:
            for line in file:
                fields = line.split()
                if len(fields) >= 3 and fields[1] in "tT":
                    address = int(fields[0], 16)
                    found.append((address, fields[2]))
                    if fields[2] == "__bpf_call_base":
                        base = address
    except (OSError, ValueError):
        return [], [], 0
    found.sort()
    return [address for address, _ in found], [name for _, name in found], base
