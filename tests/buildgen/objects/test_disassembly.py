"""Disassembly against llvm-objdump's own, helper names against the kernel's header, two builds compared."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from buildgen.errors import DisassemblyError
from buildgen.objects import ObjectFile, compare, read_object
from buildgen.objects.disassembly import disassemble
from buildgen.objects.helpers import helper_name
from buildgen.project.toolchain import find_toolchain
from tests.buildgen.verifier.rejected_programs import CASES, compiled, source
from tests.needs import lacks
from tests.places import ROOT

pytestmark = pytest.mark.usefixtures("needs_llvm")


@pytest.fixture(scope="module")
def objdump(needs_llvm: None) -> Path:
    found = find_toolchain().objdump
    if found is None:
        lacks("llvm-objdump")
    return found


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, needs_llvm: None) -> ObjectFile:
    return read_object(compiled(tmp_path_factory.mktemp("d"), source(*CASES)))


def test_instructions_are_those_of_llvm_objdump(built: ObjectFile, objdump: Path) -> None:
    said = subprocess.run(
        [objdump, "-d", "--no-show-raw-insn", "--no-print-imm-hex", built.path],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    theirs = [
        re.sub(r"\s+", " ", line.partition(":")[2]).strip() for line in said.splitlines() if "\t" in line
    ]
    ours = [one.text for program in built.programs for one in disassemble(built, program, objdump)]
    assert ours == [text for text in theirs if text and not text.startswith("file format")]


def test_source_lines_are_those_of_the_debug_information(built: ObjectFile, objdump: Path) -> None:
    """-S reads DWARF, we read .BTF.ext."""
    shown = subprocess.run([objdump, "-S", built.path], capture_output=True, text=True, check=True).stdout
    theirs = {line[1:].strip() for line in shown.splitlines() if line.startswith(";")}
    ours = [
        one.line for program in built.programs for one in disassemble(built, program, objdump) if one.line
    ]
    assert {line.text for line in ours} <= theirs
    assert len(ours) > 20
    for line in ours:
        assert Path(line.file).read_text().splitlines()[line.line - 1].strip() == line.text


def test_what_an_instruction_means(built: ObjectFile, objdump: Path) -> None:
    by_name = {program.name: disassemble(built, program, objdump) for program in built.programs}
    code = by_name["no_null_check"]
    assert code[0].insn == 0
    assert [one.symbol for one in code if one.symbol] == ["counts"]
    assert [one.helper for one in code if one.helper] == ["bpf_map_lookup_elem"]
    (core,) = [one.core for one in by_name["missing_field"] if one.core]
    assert (core.type, core.access) == ("struct task_struct", "never_there")
    assert any(one.label for one in by_name["beyond_the_value"])
    assert all(not one.label for one in by_name["good"])


def test_lines_are_there_without_debug_sections(built: ObjectFile, objdump: Path, tmp_path: Path) -> None:
    stripped = tmp_path / "stripped.o"
    subprocess.run(["llvm-strip", "-g", built.path, "-o", stripped], check=True)
    found = read_object(stripped)
    good = next(program for program in found.programs if program.name == "good")
    assert any(one.line for one in disassemble(found, good, objdump))


def test_helper_names_are_the_kernels() -> None:
    header = Path("/usr/include/linux/bpf.h")
    if not header.exists():
        lacks("linux/bpf.h (linux-libc-dev)")
    names = re.findall(r"^\tFN\((\w+)[,)]", header.read_text(), re.MULTILINE)
    assert len(names) > 150
    assert [helper_name(number) for number in range(1, len(names))] == [f"bpf_{name}" for name in names[1:]]
    assert helper_name(0) is None
    assert helper_name(195896080) is None


def test_no_objdump_is_an_error(built: ObjectFile) -> None:
    with pytest.raises(DisassemblyError, match="no llvm-objdump"):
        disassemble(built, built.programs[0], None)
    with pytest.raises(DisassemblyError, match="/bin/false"):
        disassemble(built, built.programs[0], Path(shutil.which("false") or "/bin/false"))


# --- two builds ------------------------------------------------------------------------------------


def test_the_same_source_is_the_same(built: ObjectFile, tmp_path: Path) -> None:
    again = read_object(compiled(tmp_path, "\n\n" + source(*CASES)))  # other lines, the same code
    assert compare(built, again).same


@pytest.mark.parametrize("target", ["bpfel", "bpfeb"])
def test_another_map_is_a_change(tmp_path: Path, target: str, needs_llvm: None) -> None:
    """The instructions are equal, byte for byte: which map is meant stands in the relocations."""
    text = """
        #include <linux/types.h>
        #include <linux/bpf.h>
        #include <bpf/bpf_helpers.h>
        struct { __uint(type, BPF_MAP_TYPE_ARRAY); __type(key, int); __type(value, int); }
            one SEC(".maps"), two SEC(".maps");
        SEC("xdp") int other(void *c) { int k = 0; return !bpf_map_lookup_elem(&one, &k); }
        SEC("tc") int program(void *c) { int k = 0; return !bpf_map_lookup_elem(&MAP, &k); }
    """
    made = []
    for name in ("one", "two"):
        file = tmp_path / f"{name}.c"
        file.write_text(text.replace("&MAP", f"&{name}"))
        include = ["-idirafter", "/usr/include/x86_64-linux-gnu"]
        command = [
            "clang",
            "-target",
            target,
            "-O2",
            "-g",
            *include,
            "-c",
            str(file),
            "-o",
            str(file.with_suffix(".o")),
        ]
        subprocess.run(command, check=True)
        made.append(read_object(file.with_suffix(".o")))
    assert compare(made[0], made[0]).same
    (changed,) = compare(*made).programs
    assert (changed.name, changed.change) == ("program", "changed")


def test_another_licence_is_a_change(tmp_path: Path) -> None:
    text = source("good")
    assert '"GPL"' in text
    before = read_object(compiled(tmp_path, text, "before"))
    after = read_object(compiled(tmp_path, text.replace('"GPL"', '"MIT"'), "after"))
    found = compare(before, after)
    assert (found.about, found.programs, found.same) == (("license GPL -> MIT",), (), False)


def test_what_changed(tmp_path: Path) -> None:
    text = source("good", "looks_up", "guarded_field")
    before = read_object(compiled(tmp_path, text, "before"))
    text = source("good", "looks_up", "missing_field").replace("max_entries, 8", "max_entries, 16")
    after = read_object(compiled(tmp_path, text.replace("int key = 1", "int key = 2"), "after"))
    found = compare(before, after)
    insns = {program.name: program.insns for program in (*before.programs, *after.programs)}
    assert [(p.name, p.change, p.insns_before, p.insns_after) for p in found.programs] == [
        ("looks_up", "changed", insns["looks_up"], insns["looks_up"]),
        ("missing_field", "added", None, insns["missing_field"]),
        ("guarded_field", "gone", insns["guarded_field"], None),
    ]
    (changed,) = found.maps
    assert (changed.name, changed.what) == ("counts", ("max_entries 8 -> 16",))
    (gone,) = found.core_relocations
    assert (gone.change, gone.kind, gone.access, gone.count) == ("gone", "field_exists", "never_there", 1)
    assert found.insns_after - found.insns_before == insns["missing_field"] - insns["guarded_field"]


def test_the_command(built: ObjectFile, tmp_path: Path, objdump: Path) -> None:
    other = compiled(tmp_path, source("good"))
    said = inspected("--json", str(other), "--compare", str(built.path), "--disassemble", "good")
    assert said["schema"] == "ebpf-tui/inspect/1"
    assert {p["name"] for p in said["difference"]["programs"]} == {p.name for p in built.programs} - {"good"}
    instructions = said["disassembly"]["instructions"]
    assert [one["text"] for one in instructions] == ["r0 = 0", "exit"]
    assert instructions[0]["line"] is not None
    assert command(str(other), "--disassemble", "nobody").returncode == 2
    assert command(str(other), "--compare", str(tmp_path / "absent.o")).returncode == 1
    assert "exit" in command(str(other), "--disassemble", "good").stdout
    assert "gone" in command(str(other), "--compare", str(built.path)).stdout


def inspected(*arguments: str) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(command(*arguments).stdout)
    return said


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    tui = [sys.executable, "-m", "tui.cli.main", "inspect", *arguments]
    return subprocess.run(tui, cwd=ROOT, capture_output=True, text=True, check=False)
