"""The instructions of a program as llvm-objdump writes them, with what else the object knows of each.

Instructions are numbered from 0 in their program, as in the verifier's log. Source lines come from .BTF.ext
and not from DWARF, which `llvm-strip -g` takes away.
"""

from __future__ import annotations

import re
import resource
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from buildgen.errors import DisassemblyError
from buildgen.objects.bounded_run import run
from buildgen.objects.btf_ext import INSN_SIZE
from buildgen.objects.helpers import helper_name
from buildgen.objects.model import CoreRelocation, LineInfo, ObjectFile, Program
from buildgen.owner import identity, invoking_user
from core.text.safe import safe_text

_SECTION = re.compile(r"^Disassembly of section (?P<name>.*):$")
_LABEL = re.compile(r"^[0-9a-f]{16} <(?P<name>[^>]*)>:$")
_INSN = re.compile(r"^\s*(?P<number>\d+):\s+(?P<text>\S.*)$")
_RELOCATION = re.compile(r"^\s+(?P<at>[0-9a-f]{16}):\s+(?P<type>R_BPF_\w+)\s+(?P<symbol>\S+)")
_HELPER = re.compile(r"^call (?P<number>\d+|0x[0-9a-f]+)$")
_PATIENCE = 20.0
_MOST = 64 * 1024 * 1024
"""Bytes of text that are read; a million instructions, the kernel's limit for one program, take less."""
_MOST_MEMORY = 4 << 30


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction; all texts are safe to show.

    `label` is that of the block that starts here, `symbol` what a relocation puts in (a map, a function, a
    section), `core` the CO-RE relocation, `helper` the kernel function that is called. `line` is where it
    comes from, given where that changes.
    """

    insn: int
    text: str
    label: str = ""
    symbol: str = ""
    helper: str = ""
    core: CoreRelocation | None = None
    line: LineInfo | None = None


@dataclass(slots=True)
class _Raw:
    text: str
    label: str
    symbol: str = ""


def disassemble(found: ObjectFile, program: Program, objdump: Path | None) -> tuple[Instruction, ...]:
    """Return the instructions of one program. `objdump` is the toolchain's, None when it has none.

    Raises DisassemblyError: no llvm-objdump, or it does not read this object.
    """
    raw = _sections(_run(found.path, program, objdump)).get(program.elf_section, {})
    core = {one.insn: one for one in found.core_relocations if one.section == program.elf_section}
    lines = {one.insn: one for one in found.lines if one.section == program.elf_section and one.line}
    return tuple(_instructions(program, raw, core, lines))


def _run(path: Path, program: Program, objdump: Path | None) -> str:
    """Return what llvm-objdump prints of the bytes of the program, in whichever section they are."""
    if objdump is None:
        raise DisassemblyError("there is no llvm-objdump beside this clang: install LLVM as a whole")
    if not program.insns:
        return ""
    start = program.offset * INSN_SIZE
    places = [f"--start-address={start}", f"--stop-address={start + program.insns * INSN_SIZE}"]
    shape = ["-d", "-r", "--no-show-raw-insn", "--no-print-imm-hex"]
    try:
        ran = run(
            [str(objdump), *shape, *places, str(path.absolute())],
            seconds=_PATIENCE,
            most=_MOST,
            limits={resource.RLIMIT_AS: _MOST_MEMORY, resource.RLIMIT_CORE: 0},
            identity=identity(invoking_user()),
        )
    except OSError as error:
        raise DisassemblyError(f"{objdump} does not run ({error})") from error
    if ran.late:
        raise DisassemblyError(f"{objdump} was still busy after {_PATIENCE:.0f} s")
    if ran.cut:
        raise DisassemblyError(f"{objdump} prints more than {_MOST >> 20} MiB for this program")
    if ran.code != 0:
        said = ran.err.decode("utf-8", "backslashreplace").strip().splitlines()
        raise DisassemblyError(f"{objdump}: {said[0] if said else f'ended with {ran.code}'}")
    return ran.out.decode("utf-8", "backslashreplace")


def _sections(text: str) -> dict[str, dict[int, _Raw]]:
    """Return what llvm-objdump printed: section -> number in the section -> instruction."""
    sections: dict[str, dict[int, _Raw]] = {}
    here: dict[int, _Raw] = {}
    label = ""
    for line in text.splitlines():
        if relocation := _RELOCATION.match(line):
            at = int(relocation["at"], 16) // INSN_SIZE
            if at in here:
                here[at].symbol = relocation["symbol"]
        elif insn := _INSN.match(line):
            here[int(insn["number"])] = _Raw(insn["text"], label)
            label = ""
        elif named := _LABEL.match(line):
            label = named["name"]
        elif section := _SECTION.match(line):
            here, label = sections.setdefault(safe_text(section["name"]), {}), ""
    return sections


def _instructions(
    program: Program, raw: dict[int, _Raw], core: dict[int, CoreRelocation], lines: dict[int, LineInfo]
) -> Iterator[Instruction]:
    shown: LineInfo | None = None
    for number in range(program.offset, program.offset + program.insns):
        one = raw.get(number)
        if one is None:  # the second half of a 64-bit constant
            continue
        line = lines.get(number)
        changed = line is not None and (shown is None or (line.file, line.line) != (shown.file, shown.line))
        shown = line or shown
        call = None if one.symbol else _HELPER.match(one.text)
        yield Instruction(
            insn=number - program.offset,
            text=safe_text(one.text, 400),
            label="" if number == program.offset else safe_text(one.label, 200),
            symbol=safe_text(one.symbol, 200),
            helper=(helper_name(int(call["number"], 0)) or "") if call else "",
            core=core.get(number),
            line=line if changed else None,
        )


def instruction_json(one: Instruction) -> dict[str, Any]:
    """Return the fields of one instruction in `inspect --disassemble --json`."""
    return {
        "insn": one.insn,
        "text": one.text,
        "label": one.label,
        "symbol": one.symbol,
        "helper": one.helper,
        "core_relocation": None
        if one.core is None
        else {"kind": one.core.kind, "type": one.core.type, "access": one.core.access},
        "file": one.line.file if one.line else None,
        "line": one.line.line if one.line else None,
        "source": one.line.text if one.line else None,
    }
