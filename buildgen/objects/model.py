"""What is in an eBPF object file. All texts are safe to show."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True)
class Program:
    """One function. `type` is libbpf's name of the program type of its section, `attach_to` what follows it.

    `section` is libbpf's name of the section. `elf_section` is that in the file, which lines and relocations
    name: a `?` in front of it tells libbpf not to load the program unasked.

    `insns` counts slots of 8 bytes, as the kernel and libbpf do (a 64-bit constant takes two). A
    `subprogram` stands in .text and is called by programs; it has no type of its own. `digest` tells whether
    two builds made the same instructions of it, for the same maps, variables and functions.
    """

    name: str
    section: str
    type: str
    attach_to: str | None
    insns: int
    subprogram: bool
    offset: int
    digest: str
    elf_section: str


@dataclass(frozen=True, slots=True)
class MapDef:
    """One map, from BTF (`.maps`), a legacy `maps` section, or a data section that libbpf makes a map of."""

    name: str
    type: str
    key_size: int
    value_size: int
    max_entries: int
    flags: int
    defined_in: str


@dataclass(frozen=True, slots=True)
class Variable:
    """One global variable; `offset` in its section. An extern of .kconfig or .ksyms has offset None."""

    name: str
    section: str
    size: int
    offset: int | None


@dataclass(frozen=True, slots=True)
class CoreRelocation:
    """One place that libbpf changes when it loads the object.

    `insn` counts 8-byte slots from the start of `section`. `access` names the fields (`signal.live`),
    `access_string` is the same as numbers (`0:12:3`), as the compiler wrote it.
    """

    section: str
    insn: int
    kind: str
    type: str
    access: str
    access_string: str


@dataclass(frozen=True, slots=True)
class Section:
    name: str
    type: str
    size: int
    flags: int


@dataclass(frozen=True, slots=True)
class BtfSummary:
    """`kinds` counts types by kind, most frequent first; `ext` tells whether .BTF.ext is there."""

    size: int
    types: int
    strings: int
    kinds: tuple[tuple[str, int], ...]
    ext: bool


@dataclass(frozen=True, slots=True)
class LineInfo:
    """Where an instruction comes from: `insn` counts 8-byte slots from the start of `section`."""

    section: str
    insn: int
    file: str
    line: int
    column: int
    text: str


@dataclass(frozen=True, slots=True)
class ObjectFile:
    path: Path
    size: int
    machine: str
    endian: Literal["little", "big"]
    license: str | None
    programs: tuple[Program, ...]
    maps: tuple[MapDef, ...]
    variables: tuple[Variable, ...]
    btf: BtfSummary | None
    core_relocations: tuple[CoreRelocation, ...]
    lines: tuple[LineInfo, ...]
    sections: tuple[Section, ...]
