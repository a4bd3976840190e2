"""Finds one LLVM for every step from C to object, and ninja.

clang, llc and llvm-strip of different majors cannot read each other's bitcode, or read it and silently lose
BTF (aya bpf-linker #321). So a toolchain has one major, the newest complete one; a mix is an error.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from buildgen.errors import ToolchainError
from buildgen.owner import Owner, acting_for, environment, identity, invoking_user
from core.system.distribution import install_hint
from core.system.search_path import search_path

NEEDED = ("clang", "llc", "llvm-strip")
OPTIONAL = ("llvm-objdump",)

_VERSION = re.compile(rb"\bversion (\d+)\.(\d+)(?:\.(\d+))?")
_MAJOR_IN_PATH = re.compile(r"/llvm-?(\d+)(?:/|$)")
_MAJOR_IN_NAME = re.compile(r"-(\d+)$")
_PREFIXES = ("/usr/lib/llvm-{0}/bin", "/usr/lib/llvm{0}/bin", "/usr/lib64/llvm{0}/bin")
"""Where Debian and Ubuntu, Alpine, and Fedora install majors other than the default."""
_NEWEST, _OLDEST = 40, 9
"""Majors searched for. Before 10 clang has no preserve_access_index; 9 and older are named, not used."""


@dataclass(frozen=True, slots=True)
class Tool:
    """One program. `version` is the one that it reports, e.g. `14.0.6`."""

    path: Path
    version: str

    @property
    def major(self) -> int:
        return int(self.version.partition(".")[0])


@dataclass(frozen=True, slots=True)
class Toolchain:
    """Tools of one LLVM major. `objdump` is needed only for disassembly."""

    clang: Tool
    llc: Tool
    strip: Tool
    objdump: Path | None

    @property
    def major(self) -> int:
        return self.clang.major


@dataclass(frozen=True, slots=True)
class _Search:
    """Where tools are searched, and the user that runs `--version`: `owner` None means our own."""

    path: str
    owner: Owner | None


def find_toolchain(
    choice: str | None = None,
    environ: Mapping[str, str] | None = None,
    *,
    root: Path | None = None,
    owner: Owner | None = None,
) -> Toolchain:
    """Return the newest complete LLVM, or the one that EBPF_CLANG or `choice` names.

    A choice is a major (`16`), a name (`clang-16`) or a path; EBPF_CLANG overrides `choice` (which comes
    from ebpf.toml). Each tool, also a chosen one, is run with `--version` as `owner`, by default the invoking
    user. Directories in PATH that belong to the project in `root` are ignored. Raises ToolchainError if no
    tool is found, one is missing, or majors are mixed.
    """
    environ = os.environ if environ is None else environ
    search = _Search(search_path(environ, root), owner or invoking_user())
    wanted = environ.get("EBPF_CLANG") or choice
    if wanted:
        return _chosen(wanted, search)
    incomplete: list[str] = []
    for major in _majors(search):
        tools = {name: _of_major(name, major, search) for name in (*NEEDED, *OPTIONAL)}
        missing = [name for name in NEEDED if tools[name] is None]
        if not missing:
            return _verified(tools, search)
        incomplete.append(f"LLVM {major} has no {' and no '.join(missing)}")
    if incomplete:
        raise ToolchainError(
            f"no complete LLVM: {'; '.join(incomplete)}",
            f"install clang, llc and llvm-strip of one major: {install_hint('llvm')}",
        )
    raise ToolchainError("clang, llc and llvm-strip not found", install_hint("llvm"))


def find_ninja(
    environ: Mapping[str, str] | None = None, *, root: Path | None = None, owner: Owner | None = None
) -> Path:
    """Return the path of ninja: from the ninja wheel if `owner` may use it, else from PATH.

    `root` and `owner` are as in `find_toolchain`. Raises ToolchainError.
    """
    try:
        import ninja  # noqa: PLC0415 - optional if the distribution provides ninja

        wheel = Path(ninja.BIN_DIR, "ninja")
        with (
            acting_for(owner or invoking_user()),
            open(wheel, "rb"),
        ):  # root's wheel may not be readable for others
            return wheel
    except (ImportError, OSError):
        pass
    environ = os.environ if environ is None else environ
    binary = shutil.which("ninja", path=search_path(environ, root))
    if binary is None:
        raise ToolchainError("ninja not found", f"pip install ninja, or {install_hint('ninja')}")
    return Path(binary)


def _chosen(wanted: str, search: _Search) -> Toolchain:
    """Return that clang with its tools: first from its directory, then any of the same major."""
    if wanted.isdigit():
        clang = _of_major("clang", int(wanted), search)
    else:
        binary = shutil.which(os.path.expanduser(wanted), path=search.path)
        clang = Path(os.path.abspath(binary)) if binary else None  # ninja runs in another directory
    if clang is None:
        raise ToolchainError(
            f"{wanted}, chosen by EBPF_CLANG or ebpf.toml, does not exist",
            "set it to a major, a name in PATH or a path, or remove it",
        )
    version = tool_version(clang, search.owner)
    suffix = _MAJOR_IN_NAME.search(clang.name)
    tools: dict[str, Path | None] = {"clang": clang}
    for name in (*NEEDED[1:], *OPTIONAL):
        beside = clang.parent / f"{name}{suffix[0] if suffix else ''}"
        tools[name] = (
            beside if os.access(beside, os.X_OK) else _of_major(name, int(version.split(".")[0]), search)
        )
    missing = [name for name in NEEDED if tools[name] is None]
    if missing:
        raise ToolchainError(
            f"{clang} is LLVM {version}; missing of the same major: {', '.join(missing)}",
            f"install LLVM {version.split('.')[0]} completely, or choose another clang",
        )
    return _verified(tools, search)


def _majors(search: _Search) -> list[int]:
    """Return every major with at least one tool installed, newest first."""
    present = {
        major
        for major in range(_OLDEST, _NEWEST)
        if any(Path(prefix.format(major)).is_dir() for prefix in _PREFIXES)
        or any(shutil.which(f"{name}-{major}", path=search.path) for name in NEEDED)
    }
    for name in NEEDED:
        plain = shutil.which(name, path=search.path)
        if plain:
            present.add(_major_of(Path(plain), search))
    return sorted(present, reverse=True)


def _of_major(name: str, major: int, search: _Search) -> Path | None:
    versioned = shutil.which(f"{name}-{major}", path=search.path)
    if versioned:
        return Path(versioned)
    for prefix in _PREFIXES:
        path = Path(prefix.format(major), name)
        if os.access(path, os.X_OK):
            return path
    plain = shutil.which(name, path=search.path)
    return Path(plain) if plain and _major_of(Path(plain), search) == major else None


def _major_of(path: Path, search: _Search) -> int:
    """Return a tool's major from its resolved path, else from `--version`, which takes 20 ms."""
    real = os.path.realpath(path)
    major = _MAJOR_IN_PATH.search(os.path.dirname(real)) or _MAJOR_IN_NAME.search(os.path.basename(real))
    return int(major[1]) if major else int(tool_version(path, search.owner).partition(".")[0])


def tool_version(path: Path, owner: Owner | None) -> str:
    """Run an LLVM tool with `--version` as `owner` and return its version, e.g. `14.0.6`.

    Raises ToolchainError if the output has no version.
    """
    return _version_in(path, _ask_all([path], owner)[0])


def _ask_all(paths: Sequence[Path], owner: Owner | None) -> list[bytes]:
    """Return the `--version` output of each tool. They run in parallel: loading LLVM takes 20 ms each."""
    running: list[subprocess.Popen[bytes]] = []
    try:
        for path in paths:
            running.append(_start(path, owner))
        return [_output_of(path, process) for path, process in zip(paths, running, strict=True)]
    finally:
        for process in running:
            with process:  # closes its pipe, and waits
                process.kill()


def _start(path: Path, owner: Owner | None) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            [path, "--version"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env=environment(owner),
            **identity(owner),  # ebpf.toml may name it, so root must not run it
        )
    except OSError as error:
        raise _does_not_run(path, error) from error


def _output_of(path: Path, process: subprocess.Popen[bytes]) -> bytes:
    try:
        return process.communicate(timeout=20)[0]
    except subprocess.TimeoutExpired as error:
        raise _does_not_run(path, error) from error


def _does_not_run(path: Path, error: Exception) -> ToolchainError:
    return ToolchainError(f"{path} does not run ({error})", "choose another with EBPF_CLANG")


def _version_in(path: Path, output: bytes) -> str:
    version = _VERSION.search(output)
    if version is None:
        raise ToolchainError(
            f"{path} --version does not name an LLVM version", "choose another with EBPF_CLANG"
        )
    return b".".join(number or b"0" for number in version.groups()).decode()


def _verified(paths: Mapping[str, Path | None], search: _Search) -> Toolchain:
    """Check the version of each tool by running it: names and links can mislead, and a mix is an error."""
    asked = {name: path for name, path in paths.items() if path is not None and name in NEEDED}
    outputs = dict(zip(asked, _ask_all(list(asked.values()), search.owner), strict=True))
    tools = {
        name: Tool(path, _version_in(path, outputs[name]))
        for name, path in paths.items()
        if path and name in outputs
    }
    if len({tool.major for tool in tools.values()}) > 1:
        mix = ", ".join(f"{tool.path} is {tool.version}" for tool in tools.values())
        raise ToolchainError(
            f"mixed LLVM majors: {mix}",
            "LLVM majors cannot share bitcode; choose one with EBPF_CLANG=clang-N",
        )
    if b"bpf" not in outputs["llc"]:
        raise ToolchainError(
            f"{tools['llc'].path} has no BPF target", "use an LLVM built with the BPF backend"
        )
    return Toolchain(tools["clang"], tools["llc"], tools["llvm-strip"], paths.get("llvm-objdump"))
