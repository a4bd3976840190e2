"""One LLVM major: what is taken, and what is refused with the reason."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from buildgen.errors import ToolchainError
from buildgen.project.toolchain import find_ninja, find_toolchain


class Bin:
    """A directory of programs that only say which LLVM they are."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path = path
        monkeypatch.setattr("buildgen.project.toolchain._PREFIXES", (f"{path}/llvm-{{0}}/bin",))
        path.mkdir()

    def tool(self, name: str, version: str, says: str = "") -> Path:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        extra = says or ("echo '    bpf - BPF'" if "llc" in name else "")
        path.write_text(f"#!/bin/sh\necho 'Debian LLVM version {version}'\n{extra}\n")
        path.chmod(0o755)
        return path

    def all(self, suffix: str, version: str) -> None:
        for name in ("clang", "llc", "llvm-strip"):
            self.tool(name + suffix, version)

    @property
    def environ(self) -> dict[str, str]:
        return {"PATH": str(self.path)}


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bin:
    return Bin(tmp_path / "bin", monkeypatch)


def test_this_machine(needs_llvm: None) -> None:
    found = find_toolchain(environ={"PATH": "/usr/bin:/bin"})
    said = subprocess.run([found.clang.path, "--version"], capture_output=True, text=True, check=True).stdout
    assert f"version {found.clang.version}" in said
    assert found.clang.major == found.llc.major == found.strip.major == found.major


def test_the_newest_complete_one_wins(tools: Bin) -> None:
    tools.all("-14", "14.0.6")
    tools.all("-15", "15.0.6")
    tools.tool("clang-16", "16.0.6")
    found = find_toolchain(environ=tools.environ)
    assert (found.major, found.clang.path) == (15, tools.path / "clang-15")
    for name in ("clang", "llc", "llvm-strip"):
        tools.tool(f"llvm-17/bin/{name}", "17.0.1")
    assert find_toolchain(environ=tools.environ).llc.path == tools.path / "llvm-17/bin/llc"


def test_names_without_a_number(tools: Bin) -> None:
    tools.all("", "18.1.3")
    assert find_toolchain(environ=tools.environ).clang.version == "18.1.3"


def test_incomplete_says_what_is_missing(tools: Bin) -> None:
    tools.tool("clang-16", "16.0.6")
    tools.tool("llc-14", "14.0.6")
    with pytest.raises(ToolchainError, match="LLVM 16 has no llc and no llvm-strip; LLVM 14 has no clang"):
        find_toolchain(environ=tools.environ)


def test_a_mix_is_refused(tools: Bin) -> None:
    tools.all("-15", "15.0.6")
    tools.tool("llc-15", "14.0.6")  # a name that lies
    with pytest.raises(ToolchainError, match=r"mixed LLVM majors: .*clang-15 is 15\.0\.6, .*llc-15 is 14"):
        find_toolchain(environ=tools.environ)


def test_the_choice(tools: Bin, tmp_path: Path) -> None:
    tools.all("-14", "14.0.6")
    tools.all("-15", "15.0.6")
    for choice in ("14", "clang-14", str(tools.path / "clang-14")):
        assert find_toolchain(choice, tools.environ).major == 14
        assert find_toolchain(environ={**tools.environ, "EBPF_CLANG": choice}).major == 14
    assert find_toolchain("14", {**tools.environ, "EBPF_CLANG": "15"}).major == 15
    own = tmp_path / "own/clang"
    own.parent.mkdir()
    (tools.path / "clang-15").rename(own)
    assert find_toolchain(str(own), tools.environ).llc.path == tools.path / "llc-15"
    (tools.path / "llc-15").unlink()
    with pytest.raises(ToolchainError, match=r"is LLVM 15\.0\.6; missing of the same major: llc"):
        find_toolchain(str(own), tools.environ)
    with pytest.raises(ToolchainError, match=r"clang-99, chosen by EBPF_CLANG or ebpf\.toml, does not exist"):
        find_toolchain("clang-99", tools.environ)


def test_a_path_from_here_is_one_from_everywhere(tools: Bin, monkeypatch: pytest.MonkeyPatch) -> None:
    tools.all("-14", "14.0.6")
    monkeypatch.chdir(tools.path.parent)
    chosen = {**tools.environ, "EBPF_CLANG": f"{tools.path.name}/clang-14"}
    assert find_toolchain(environ=chosen).clang.path == tools.path / "clang-14"


def test_nothing_there(tools: Bin) -> None:
    with pytest.raises(ToolchainError, match="clang, llc and llvm-strip not found"):
        find_toolchain(environ=tools.environ)


def test_an_llvm_without_bpf(tools: Bin) -> None:
    tools.all("-15", "15.0.6")
    tools.tool("llc-15", "15.0.6", "echo x86")
    with pytest.raises(ToolchainError, match="has no BPF target"):
        find_toolchain(environ=tools.environ)


def test_something_else_called_clang(tools: Bin) -> None:
    (tools.path / "clang").write_text("#!/bin/sh\necho hello\n")
    (tools.path / "clang").chmod(0o755)
    with pytest.raises(ToolchainError, match="does not name an LLVM version"):
        find_toolchain(environ=tools.environ)


def test_ninja_runs() -> None:
    assert subprocess.run([find_ninja(), "--version"], capture_output=True, check=True).stdout
