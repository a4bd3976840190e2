"""What was built: ELF, BTF, .BTF.ext, relocations, disassembly, the difference of two builds."""

from buildgen.objects.compare import Comparison, compare, comparison_json
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
    "Comparison",
    "CoreRelocation",
    "LineInfo",
    "MapDef",
    "ObjectFile",
    "Program",
    "Section",
    "Variable",
    "compare",
    "comparison_json",
    "object_json",
    "read_object",
]
