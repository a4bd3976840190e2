"""One LLVM for the whole way from C to object, and ninja.

clang, llc and llvm-strip of different majors do not read each other's bitcode, or read it and silently
lose BTF (aya bpf-linker #321). So a toolchain is of one major, the newest complete one; a mix is refused.
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
"""Where Debian and Ubuntu, Alpine, and Fedora put a major that is not the default."""
_NEWEST, _OLDEST = 40, 9
"""Majors looked for. Before 10 clang has no preserve_access_index; 9 and older are named, not used."""


@dataclass(frozen=True, slots=True)
class Tool:
    """One program. `version` is as it says itself, e.g. `14.0.6`."""

    path: Path
    version: str

    @property
    def major(self) -> int:
        return int(self.version.partition(".")[0])


@dataclass(frozen=True, slots=True)
class Toolchain:
    """Tools of one LLVM major. `objdump` is only needed to show disassembly."""

    clang: Tool
    llc: Tool
    strip: Tool
    objdump: Path | None

    @property
    def major(self) -> int:
        return self.clang.major


@dataclass(frozen=True, slots=True)
class _Search:
    """Where tools are looked for, and who they are asked as: `owner` None means ourselves."""

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

    A choice is a major (`16`), a name (`clang-16`) or a path; EBPF_CLANG goes before `choice` (which comes
    from ebpf.toml). It runs each tool with `--version`, the chosen ones too: as `owner`, by default the
    invoking user. Directories of the project in `root` that are in PATH are left out. Raises ToolchainError:
    nothing there, something missing, or a mix of majors.
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
    """Return ninja's binary: the one of the ninja wheel, if `owner` may use it, else the one in PATH.

    `root` and `owner` are as in `find_toolchain`. Raises ToolchainError.
    """
    try:
        import ninja  # noqa: PLC0415 - optional where the distribution has its own

        wheel = Path(ninja.BIN_DIR, "ninja")
        with acting_for(owner or invoking_user()), open(wheel, "rb"):  # root's may be closed to others
            return wheel
    except (ImportError, OSError):
        pass
    environ = os.environ if environ is None else environ
    found = shutil.which("ninja", path=search_path(environ, root))
    if found is None:
        raise ToolchainError("ninja not found", f"pip install ninja, or {install_hint('ninja')}")
    return Path(found)


def _chosen(wanted: str, search: _Search) -> Toolchain:
    """Take that clang and what belongs to it: beside it first, then whatever has its major."""
    if wanted.isdigit():
        clang = _of_major("clang", int(wanted), search)
    else:
        found = shutil.which(os.path.expanduser(wanted), path=search.path)
        clang = Path(os.path.abspath(found)) if found else None  # ninja works in another directory
    if clang is None:
        raise ToolchainError(
            f"EBPF_CLANG or ebpf.toml chooses {wanted}, which is not there",
            "give a major, a name in PATH or a path, or remove the choice",
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
            f"{clang} is LLVM {version}, but there is no {' and no '.join(missing)} of that major",
            f"install LLVM {version.split('.')[0]} as a whole, or choose another clang",
        )
    return _verified(tools, search)


def _majors(search: _Search) -> list[int]:
    """Return every major of which some tool is there, newest first."""
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
    """Return a tool's major from where it really is, else by asking it: asking costs 20 ms."""
    real = os.path.realpath(path)
    found = _MAJOR_IN_PATH.search(os.path.dirname(real)) or _MAJOR_IN_NAME.search(os.path.basename(real))
    return int(found[1]) if found else int(tool_version(path, search.owner).partition(".")[0])


def tool_version(path: Path, owner: Owner | None) -> str:
    """Ask an LLVM tool for its version, e.g. `14.0.6`, as `owner`.

    Raises ToolchainError when it does not say.
    """
    return _version_in(path, _ask_all([path], owner)[0])


def _ask_all(paths: Sequence[Path], owner: Owner | None) -> list[bytes]:
    """Return what each tool says of its version. They run side by side: loading LLVM takes each 20 ms."""
    running: list[subprocess.Popen[bytes]] = []
    try:
        for path in paths:
            running.append(_start(path, owner))
        return [_said(path, process) for path, process in zip(paths, running, strict=True)]
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
            **identity(owner),  # ebpf.toml may name it: that is not for root to run
        )
    except OSError as error:
        raise _does_not_run(path, error) from error


def _said(path: Path, process: subprocess.Popen[bytes]) -> bytes:
    try:
        return process.communicate(timeout=20)[0]
    except subprocess.TimeoutExpired as error:
        raise _does_not_run(path, error) from error


def _does_not_run(path: Path, error: Exception) -> ToolchainError:
    return ToolchainError(f"{path} does not run ({error})", "choose another with EBPF_CLANG")


def _version_in(path: Path, said: bytes) -> str:
    found = _VERSION.search(said)
    if found is None:
        raise ToolchainError(
            f"{path} --version does not name an LLVM version", "choose another with EBPF_CLANG"
        )
    return b".".join(number or b"0" for number in found.groups()).decode()


def _verified(paths: Mapping[str, Path | None], search: _Search) -> Toolchain:
    """Ask each tool itself: names and links lie, and a mix must not get through."""
    asked = {name: path for name, path in paths.items() if path is not None and name in NEEDED}
    said = dict(zip(asked, _ask_all(list(asked.values()), search.owner), strict=True))
    tools = {
        name: Tool(path, _version_in(path, said[name]))
        for name, path in paths.items()
        if path and name in said
    }
    if len({tool.major for tool in tools.values()}) > 1:
        mix = ", ".join(f"{tool.path} is {tool.version}" for tool in tools.values())
        raise ToolchainError(
            f"a mix of LLVM majors: {mix}",
            "bitcode of one major is not safe in another; choose one with EBPF_CLANG=clang-N",
        )
    if b"bpf" not in said["llc"]:
        raise ToolchainError(
            f"{tools['llc'].path} has no BPF target", "use an LLVM built with the BPF backend"
        )
    return Toolchain(tools["clang"], tools["llc"], tools["llvm-strip"], paths.get("llvm-objdump"))
