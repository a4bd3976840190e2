"""A root for header trees, and projects to build."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.buildgen.ebpf_sources import CO_RE
from tests.buildgen.header_trees import FakeRoot
from tests.needs import lacks


@pytest.fixture
def fake(tmp_path: Path) -> FakeRoot:
    root = tmp_path / "root"
    root.mkdir()
    return FakeRoot(root)


@pytest.fixture(scope="session")
def needs_llvm() -> None:
    for tool in ("clang", "llc", "llvm-strip"):
        if shutil.which(tool) is None:
            lacks(tool)


@pytest.fixture
def co_re(tmp_path: Path, needs_llvm: None) -> Path:
    """A project of one CO-RE source and a header of its own."""
    if not Path("/usr/include/bpf/bpf_helpers.h").exists():
        lacks("libbpf-dev")
    project = tmp_path / "project"
    project.mkdir()
    (project / "one.bpf.c").write_text(CO_RE)
    (project / "value.h").write_text("#define VALUE 7\n")
    return project
