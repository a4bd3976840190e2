"""Kernel header trees in a directory, laid out as distributions do."""

from __future__ import annotations

import os
from pathlib import Path

from core.system.host import Host


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
