"""Compares the output of `inspect` for every object in a directory with that of libbpf and llvm-objdump.

Run: python benchmarks/inspect_real.py DIR, with eBPF objects anywhere below DIR (`build_real.py --keep DIR`
creates some hundreds). From libbpf: the name, section, type and instruction count of each program, and the
five numbers of each map. From llvm-objdump: the instructions of each code section. Every difference is
printed and is a failure. A file that libbpf does not open is compared with llvm-objdump only, and libbpf's
reason is printed: a part that must still be linked (extern maps, variables, functions), or a legacy map.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from buildgen.errors import ObjectError
from buildgen.objects import ObjectFile, read_object
from buildgen.project.toolchain import find_toolchain
from tests.buildgen.objects.libbpf_view import ProgramView, refusal, view

_SECTION = re.compile(r"^Disassembly of section (.*):$")
_INSN = re.compile(r"^\s*\d+:\s((?:[0-9a-f]{2}[ \t])+)")


def libbpf_differs(object_file: ObjectFile, counts: Counter[str]) -> list[str] | None:
    """Return the differences from libbpf, or None if libbpf does not open the file."""
    seen = view(object_file.path)
    if seen is None:
        return None
    programs, maps, _names = seen
    counts["programs"] += len(programs)
    counts["maps"] += len(maps)
    ours = sorted(
        ProgramView(p.name, p.section, p.type, p.insns) for p in object_file.programs if not p.subprogram
    )
    their_maps = sorted(tuple(entry) for entry in maps)
    our_maps = sorted((m.type, m.key_size, m.value_size, m.max_entries, m.flags) for m in object_file.maps)
    differs = [f"program: libbpf {program}" for program in sorted(programs) if program not in ours]
    differs += [f"program: inspect {program}" for program in ours if program not in programs]
    if our_maps != their_maps:
        differs.append(f"maps: libbpf {their_maps}, inspect {our_maps}")
    return differs


def llvm_differs(object_file: ObjectFile, objdump: Path, counts: Counter[str]) -> list[str]:
    """Return the sections with a different number of 8-byte slots in llvm-objdump."""
    output = subprocess.run(
        [objdump, "-d", object_file.path], capture_output=True, text=True, check=True
    ).stdout
    theirs: Counter[str] = Counter()
    section = ""
    for line in output.splitlines():
        if head := _SECTION.match(line):
            section = head[1]
        elif insn := _INSN.match(line):
            theirs[section] += len(insn[1].split()) // 8
    ours: Counter[str] = Counter()
    for program in object_file.programs:
        ours[program.elf_section] += program.insns
    counts["instructions"] += sum(theirs.values())
    return [
        f"{name}: llvm-objdump {theirs[name]} instructions, inspect {ours[name]}"
        for name in sorted({*ours, *theirs})
        if ours[name] != theirs[name]
    ]


def main() -> int:
    tools = find_toolchain()
    if tools.objdump is None:
        sys.exit(f"LLVM {tools.major} is installed without llvm-objdump")
    counts: Counter[str] = Counter()
    wrong, took, slowest = 0, 0.0, (0.0, Path())
    for path in sorted(Path(sys.argv[1]).rglob("*.o")):
        counts["objects"] += 1
        begin = time.perf_counter()
        try:
            object_file = read_object(path)
        except ObjectError as error:
            wrong += 1
            print(f"{path}: not read: {error}")
            continue
        seconds = time.perf_counter() - begin
        took, slowest = took + seconds, max(slowest, (seconds, path))
        differs = libbpf_differs(object_file, counts)
        if differs is None:
            counts["not opened by libbpf"] += 1
            print(f"{path}: not opened: {refusal(path)}")
        differs = [*(differs or ()), *llvm_differs(object_file, tools.objdump, counts)]
        wrong += bool(differs)
        print("".join(f"{path}: {difference}\n" for difference in differs), end="")
    print(", ".join(f"{number} {what}" for what, number in counts.items()))
    print(f"objects that differ: {wrong}")
    print(f"reading them took {took:.2f} s; the slowest {slowest[0] * 1000:.0f} ms, {slowest[1].name}")
    return 1 if wrong or not counts["objects"] else 0


if __name__ == "__main__":
    sys.exit(main())
