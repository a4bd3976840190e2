"""What was built: ELF, BTF, .BTF.ext, relocations, disassembly, the difference of two builds."""

from buildgen.objects.model import (
    BtfSummary,
    CoreRelocation,
    LineInfo,
    MapDef,
    ObjectFile,
    Program,
    Section,
    Variable,
)
from buildgen.objects.read import object_json, read_object

__all__ = [
    "BtfSummary",
    "CoreRelocation",
    "LineInfo",
    "MapDef",
    "ObjectFile",
    "Program",
    "Section",
    "Variable",
    "object_json",
    "read_object",
]
