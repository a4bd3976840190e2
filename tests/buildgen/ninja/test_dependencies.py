"""Which files an object is made of, as ninja tells, beside what clang says itself."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from buildgen.ninja.dependencies import files_read
from buildgen.ninja.runner import run_build
from buildgen.plan.plan import plan
from buildgen.project.project import load_project
from buildgen.project.toolchain import find_toolchain
from tests.needs import lacks


def test_the_files_are_those_that_clang_reads(tmp_path: Path) -> None:
    if shutil.which("clang") is None:
        lacks("clang")
    (tmp_path / "a b $c: d.h").write_text("#define VALUE 3\n")
    (tmp_path / "one.bpf.c").write_text(
        '#include <stddef.h>\n#include "a b $c: d.h"\nint x(void) { return VALUE; }\n'
    )
    (tmp_path / "two.bpf.c").write_text("not C\n")
    made = plan(load_project(tmp_path))
    one, two = (target.label for target in made.targets)
    sources = {one: {tmp_path / "one.bpf.c"}, two: {tmp_path / "two.bpf.c"}}
    assert files_read(made) == sources
    for _event in run_build(made, keep_going=True):
        pass
    clang = find_toolchain().clang
    assert clang is not None
    told = subprocess.run(
        [clang.path, "-target", "bpf", "-H", "-fsyntax-only", tmp_path / "one.bpf.c"],
        stderr=subprocess.PIPE, text=True, check=True,
    ).stderr  # fmt: skip
    headers = {Path(line.lstrip(". ")) for line in told.splitlines() if line.startswith(".")}
    assert len(headers) >= 2
    assert files_read(made) == {**sources, one: {tmp_path / "one.bpf.c", *headers}}
