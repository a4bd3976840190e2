"""Targets -> build.ninja.

Each object takes two edges, as in `clang -MD -> bitcode -> llc -> llvm-strip`:
`source -> <object>.bc` (rule ebpfclang, or ebpfcoreclang for CO-RE) and `<object>.bc -> <object>.o` (llc).
Output paths are relative to the directory of build.ninja, source paths are absolute.
"""

from __future__ import annotations

import io
import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import ninja_syntax

from buildgen.errors import ConfigError
from buildgen.project.flags import Flag, Variant, compile_flags, target_flags
from buildgen.project.toolchain import Toolchain
from core.system.arch import Arch

TOOLCHAIN_STAMP = "toolchain.txt"
"""Lists the tools and their versions; every edge depends on it, so a new compiler rebuilds everything."""

PREVIOUS = ".prev"
"""Suffix of the latest object with a different content: at most one for each object."""

_WIDTH = 120


@dataclass(frozen=True, slots=True)
class Edges:
    """The edges of one object. `output` is relative; `flags` are the project's and the object's own."""

    output: Path
    source: Path
    arch: Arch
    variant: Variant
    flags: tuple[str, ...]
    strip: bool

    @property
    def bitcode(self) -> Path:
        return self.output.with_suffix(".bc")


def write_ninja(
    edges: Sequence[Edges],
    toolchain: Toolchain,
    headers: Iterable[tuple[Arch, Sequence[Flag]]],
    launcher: str | None,
) -> str:
    """Return the text of build.ninja; equal input gives exactly equal text.

    Raises ConfigError for a path that ninja cannot represent.
    """
    text = io.StringIO()
    writer = ninja_syntax.Writer(text, _WIDTH)
    writer.comment("Written by ebpf-tui; changes are lost.")
    writer.variable("ninja_required_version", "1.10")
    writer.newline()
    _rules(writer, toolchain, launcher)
    for arch, flags in headers:
        writer.variable(f"kheaders_{arch.name}", _words(flag.flag for flag in flags))
    for arch, variant in dict.fromkeys((edge.arch, edge.variant) for edge in edges):
        name = _suffix(arch, variant)
        target = target_flags(arch, variant)
        writer.variable(f"target_{name}", _words(flag.flag for flag in target))
        rest = compile_flags(arch, variant)[len(target) :]
        writer.variable(f"flags_{name}", _words(flag.flag for flag in rest))
    writer.newline()
    for edge in edges:
        _edges(writer, edge)
    return text.getvalue()


def _rules(writer: ninja_syntax.Writer, toolchain: Toolchain, launcher: str | None) -> None:
    before = [launcher] if launcher else []
    writer.variable("clang", _words([*before, str(toolchain.clang.path)]))
    writer.variable("llc", _words([str(toolchain.llc.path)]))
    writer.variable("llvmstrip", _words([str(toolchain.strip.path)]))
    writer.newline()
    for name, flags in (("ebpfclang", "$ebpfflags $kheaders"), ("ebpfcoreclang", "$ebpfcoreflags")):
        writer.rule(
            name,
            f"$clang -MD -MF $out.d $target {flags} $flags -c $in -o $out",
            description="$out",
            depfile="$out.d",
            deps="gcc",
        )
    # An object is renamed to its name only when it is complete: a killed build leaves no partial object. The
    # object that it replaces is kept if it differs, so that the changes can be shown.
    keep = "if [ -e $out ]; then cmp -s $out.tmp $out || ln -f $out $out" + PREVIOUS + "; fi"
    for name, strip in (("llc", " && $llvmstrip -g $out.tmp"), ("llc_unstripped", "")):
        writer.rule(
            name,
            f"$llc -march=$march -filetype=obj -o $out.tmp $in{strip} && {{ {keep}; mv -f $out.tmp $out; }}",
            description="$out",
        )
    writer.newline()


def _edges(writer: ninja_syntax.Writer, edge: Edges) -> None:
    name = _suffix(edge.arch, edge.variant)
    core = edge.variant.base == "co-re"
    variables = {"target": f"$target_{name}"}
    if core:
        variables["ebpfcoreflags"] = f"$flags_{name}"
    else:
        variables |= {"ebpfflags": f"$flags_{name}", "kheaders": f"$kheaders_{edge.arch.name}"}
    if edge.flags:
        variables["flags"] = _words(edge.flags)
    writer.build(
        ninja_path(edge.bitcode),
        "ebpfcoreclang" if core else "ebpfclang",
        ninja_path(edge.source),
        implicit=TOOLCHAIN_STAMP,
        variables=variables,
    )
    writer.build(
        ninja_path(edge.output),
        "llc" if edge.strip else "llc_unstripped",
        ninja_path(edge.bitcode),
        implicit=TOOLCHAIN_STAMP,
        variables={"march": edge.arch.bpf_target},
    )


def ninja_path(path: Path) -> str:
    """Return a path escaped for ninja_syntax, which itself escapes spaces and colons.

    ninja_syntax does not escape `$`, except before a space, to allow variables. Raises ConfigError for a
    character that ninja's syntax cannot escape.
    """
    text = str(path)
    if any(char in text for char in "\n\r|"):
        raise ConfigError(f"{text!r}: ninja does not support a line break or `|` in a path; rename it")
    return re.sub(r"\$(?! )", "$$", text)


def _words(arguments: Iterable[str]) -> str:
    """Return shell arguments as the value of a ninja variable: quoted for sh, then escaped for ninja."""
    joined = shlex.join(arguments)
    if "\n" in joined or "\r" in joined:
        raise ConfigError("ninja does not support a flag with a line break")
    escaped: str = ninja_syntax.escape(joined)
    # The writer wraps at spaces, and ninja drops spaces at the start of the next line.
    return re.sub(r"(?<= ) ", "$ ", escaped)


def _suffix(arch: Arch, variant: Variant) -> str:
    return f"{arch.name}_{variant}"
