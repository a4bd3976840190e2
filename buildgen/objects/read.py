"""An object file -> ObjectFile."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

from buildgen.errors import ObjectError
from buildgen.objects.btf import Btf, BtfError, decode_btf
from buildgen.objects.btf_ext import INSN_SIZE, core_relocations, line_infos
from buildgen.objects.budget import Budget, TooMuch
from buildgen.objects.elf import Elf, ElfSection, Symbol, read_content, read_elf
from buildgen.objects.maps import all_maps, variables
from buildgen.objects.model import BtfSummary, ObjectFile, Program, Section
from buildgen.objects.relocations import Reference, references
from buildgen.objects.section_names import program_type
from core.text.safe import safe_text


def read_object(path: Path, content: bytes | None = None) -> ObjectFile:
    """Read an eBPF object file, or `content` where that was read already.

    Raises ObjectError: one line, the file and what is wrong with it.
    """
    elf = read_elf(path, read_content(path) if content is None else content)
    try:
        return _object(path, elf)
    except BtfError as error:
        raise ObjectError(path, f"damaged BTF: {error}") from error
    except TooMuch as error:
        raise ObjectError(path, str(error)) from error


def _object(path: Path, elf: Elf) -> ObjectFile:
    raw, ext = elf.section(b".BTF"), elf.section(b".BTF.ext")
    btf = decode_btf(raw.data, elf.budget) if raw is not None and raw.data else None
    has_ext = btf is not None and ext is not None and bool(ext.data)
    licence = elf.section(b"license")
    return ObjectFile(
        path=path,
        size=elf.size,
        machine=elf.machine,
        endian=elf.endian,
        license=safe_text(licence.data.partition(b"\0")[0], 128) if licence else None,
        programs=tuple(_programs(path, elf)),
        maps=tuple(all_maps(elf, btf)),
        variables=tuple(variables(elf, btf)),
        btf=None if btf is None or raw is None else _summary(btf, raw.size, has_ext),
        core_relocations=tuple(core_relocations(ext.data, btf)) if has_ext and ext and btf else (),
        lines=tuple(line_infos(ext.data, btf)) if has_ext and ext and btf else (),
        sections=tuple(Section(safe_text(s.name), s.type, s.size, s.flags) for s in elf.sections[1:]),
    )


def _summary(btf: Btf, size: int, ext: bool) -> BtfSummary:
    return BtfSummary(size, len(btf.types), len(btf.strings), btf.kinds, ext)


def _programs(path: Path, elf: Elf) -> Iterator[Program]:
    """Yield a program for each function symbol of an executable section, in the order of the file.

    Functions overlap only where one has two names, so all of them together are not much larger than the file.
    """
    executable = {section.index: section for section in elf.sections if section.executable and section.size}
    functions = [s for s in elf.symbols if s.type == "FUNC" and s.section in executable]
    referred = references(elf)
    names = {index: safe_text(section.name) for index, section in executable.items()}
    left = 2 * elf.size
    for symbol in sorted(functions, key=lambda s: (s.section, s.value)):
        section = executable[symbol.section]
        raw_name = names[symbol.section]
        name = raw_name.removeprefix("?")
        kind, attach_to = program_type(name)
        left -= symbol.size
        if symbol.value + symbol.size > section.size or left < 0:
            what = f"lies outside of section {raw_name}" if left >= 0 else "and others overlap"
            raise ObjectError(path, f"a damaged ELF file: function {safe_text(symbol.name, 80)} {what}")
        yield Program(
            name=safe_text(symbol.name),
            section=name,
            type=kind,
            attach_to=attach_to,
            insns=symbol.size // INSN_SIZE,
            subprogram=section.name == b".text",
            offset=symbol.value // INSN_SIZE,
            digest=_digest(section, symbol, referred.get(section.index, []), elf.budget),
            elf_section=raw_name,
        )


def _digest(section: ElfSection, symbol: Symbol, referred: list[Reference], budget: Budget) -> str:
    """Hash the instructions and what they refer to: in the bytes alone, one map is like another."""
    end = symbol.value + symbol.size
    digest = sha256(section.data[symbol.value : end])
    for at in range(bisect_left(referred, (symbol.value,)), len(referred)):
        offset, kind, name = referred[at]
        if offset >= end:
            break
        budget.take_steps()
        digest.update(b"%d %d %s\0" % (offset - symbol.value, kind, name))
    return digest.hexdigest()[:16]


def object_json(one: ObjectFile) -> dict[str, Any]:
    """Return the fields of `inspect --json`, without the schema."""
    btf = one.btf
    return {
        "path": str(one.path),
        "size": one.size,
        "machine": one.machine,
        "endian": one.endian,
        "license": one.license,
        "programs": [
            {
                "name": p.name,
                "section": p.section,
                "type": p.type,
                "attach_to": p.attach_to,
                "insns": p.insns,
                "subprogram": p.subprogram,
                "digest": p.digest,
            }
            for p in one.programs
        ],
        "maps": [
            {
                "name": m.name,
                "type": m.type,
                "key_size": m.key_size,
                "value_size": m.value_size,
                "max_entries": m.max_entries,
                "flags": m.flags,
                "defined_in": m.defined_in,
            }
            for m in one.maps
        ],
        "variables": [
            {"name": v.name, "section": v.section, "size": v.size, "offset": v.offset} for v in one.variables
        ],
        "btf": None
        if btf is None
        else {
            "size": btf.size,
            "types": btf.types,
            "strings": btf.strings,
            "kinds": dict(btf.kinds),
            "ext": btf.ext,
        },
        "core_relocations": [
            {
                "section": r.section,
                "insn": r.insn,
                "kind": r.kind,
                "type": r.type,
                "access": r.access,
                "access_string": r.access_string,
            }
            for r in one.core_relocations
        ],
        "sections": [
            {"name": s.name, "type": s.type, "size": s.size, "flags": s.flags} for s in one.sections
        ],
    }
