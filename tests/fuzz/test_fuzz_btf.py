"""BTF and .BTF.ext without the ELF around them: length of the first (32 bits, little-endian), then both."""

from __future__ import annotations

import struct

from buildgen.objects.btf import BtfError, decode_btf
from buildgen.objects.btf_ext import core_relocations, line_infos
from buildgen.objects.budget import TooMuch
from tests.fuzz.harness import corpus, fuzz, mutator


def _target(data: bytes) -> None:
    size = struct.unpack("<I", data[:4].ljust(4, b"\0"))[0]
    types, ext = data[4 : 4 + size], data[4 + size :]
    btf = decode_btf(types)
    for one in btf.types:
        btf.size(one.number)
        btf.plain(one.number)
        list(btf.parts(one))
    for relocation in core_relocations(ext, btf):
        assert (relocation.type + relocation.access + relocation.section).isprintable()
    for line in line_infos(ext, btf):
        assert (line.file + line.text).isprintable()


def test_btf() -> None:
    tokens = [struct.pack("<3I", 1, kind << 24 | 2, 1) for kind in range(1, 20)]
    fuzz(_target, corpus("btf"), (BtfError, TooMuch), name="btf", mutate=mutator(tokens))
