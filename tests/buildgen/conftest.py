"""Kernel header trees in a directory, laid out as distributions do; and projects to build."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from ebpf_sources import CO_RE

from core.system.host import Host
from tests.needs import lacks


class FakeRoot:
    """A host's root directory. Every method returns self, so that a layout reads as one list."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.host = Host(root)

    def path(self, absolute: str) -> Path:
        return self.root / absolute.lstrip("/")

    def file(self, absolute: str, text: str = "") -> FakeRoot:
        path = self.path(absolute)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return self

    def link(self, absolute: str, target: str) -> FakeRoot:
        path = self.path(absolute)
        path.parent.mkdir(parents=True, exist_ok=True)
        os.symlink(target, path)
        return self

    def arch_half(
        self, where: str, release: str | None, kernel_arch: str = "x86", makefile: str = ""
    ) -> FakeRoot:
        """What building one flavour leaves: autoconf.h, generated headers, the release."""
        self.file(f"{where}/include/generated/autoconf.h", "#define CONFIG_64BIT 1\n")
        self.file(f"{where}/arch/{kernel_arch}/include/generated/asm/x.h")
        if release:
            self.file(f"{where}/include/generated/utsrelease.h", f'#define UTS_RELEASE "{release}"\n')
        return self.file(f"{where}/Makefile", makefile)

    def common_half(self, where: str, *kernel_arches: str) -> FakeRoot:
        """What every flavour shares: a part of the source tree."""
        self.file(f"{where}/include/linux/kconfig.h").file(f"{where}/include/uapi/linux/bpf.h")
        for kernel_arch in kernel_arches or ("x86", "arm64"):
            self.file(f"{where}/arch/{kernel_arch}/include/asm/x.h")
            self.file(f"{where}/arch/{kernel_arch}/include/uapi/asm/x.h")
        return self

    def full(self, where: str, release: str | None, kernel_arch: str = "x86") -> FakeRoot:
        return self.common_half(where, kernel_arch).arch_half(where, release, kernel_arch)

    def debian(self, abi: str, *flavours: str, kernel_arch: str = "x86") -> FakeRoot:
        """Debian's split packages; `abi` is e.g. 6.1.0-56."""
        common = f"/usr/src/linux-headers-{abi}-common"
        self.common_half(common)
        for flavour in flavours:
            tree = f"/usr/src/linux-headers-{abi}-{flavour}"
            self.arch_half(tree, f"{abi}-{flavour}", kernel_arch, f"include {common}/Makefile\n")
            self.link(f"/lib/modules/{abi}-{flavour}/build", tree)
            self.link(f"/lib/modules/{abi}-{flavour}/source", common)
        return self


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
