"""The compiler flags of each (architecture, variant), with the reason for each flag."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from buildgen.errors import ConfigError
from core.system.arch import Arch, local_arch

MODULE_NAME = "ebpf_tui"

Base = Literal["prebuilt", "co-re"]
Form = Literal["", "debug", "unit-test"]
BASES: tuple[Base, ...] = ("prebuilt", "co-re")
FORMS: tuple[Form, ...] = ("", "debug", "unit-test")


@dataclass(frozen=True, slots=True)
class Flag:
    """One element of the compiler's argv, and the reason for it."""

    flag: str
    why: str


@dataclass(frozen=True, slots=True)
class Variant:
    """How an object is built: against kernel headers or as CO-RE; plain, for debugging or for unit tests."""

    base: Base
    form: Form = ""

    def __str__(self) -> str:
        return f"{self.base}-{self.form}" if self.form else self.base


VARIANTS = tuple(Variant(base, form) for base in BASES for form in FORMS)
_BY_NAME = {str(variant): variant for variant in VARIANTS} | {"core": Variant("co-re")}


def whole_command(flags: Iterable[Flag], clang: str = "clang") -> str:
    """Return the command, quoted for a shell, that compiles SOURCE.c to bitcode with these flags."""
    return shlex.join([clang, *(flag.flag for flag in flags), "-c", "SOURCE.c", "-o", "OUTPUT.bc"])


def parse_variant(text: str) -> Variant:
    """Return the variant named `text`, e.g. `co-re-debug`. Raises ConfigError, which lists the names."""
    variant = _BY_NAME.get(text.strip().lower())
    if variant is None:
        raise ConfigError(f"unknown variant {text!r}: use one of {' '.join(map(str, VARIANTS))}")
    return variant


def compile_flags(arch: Arch, variant: Variant) -> tuple[Flag, ...]:
    """Return clang's flags for the bitcode of `variant` for `arch`.

    They include neither the kernel's header directories (`HeaderDirs.flags`) nor the project's own flags.
    """
    return (*target_flags(arch, variant), *_flags(arch, variant))


def target_flags(arch: Arch, variant: Variant) -> tuple[Flag, ...]:
    """Return the first part of `compile_flags`: the target, and the form of the output."""
    return tuple(_output(arch, variant))


def _flags(arch: Arch, variant: Variant) -> Iterator[Flag]:
    yield from _defines(arch, variant)
    yield from _FIXED
    yield Flag("-g", "needed for BTF: maps, line numbers, CO-RE; llvm-strip -g drops the rest")
    if variant.base == "co-re":
        yield from _multiarch(arch)
    else:
        yield Flag("-include", "include the next argument before the source")
        yield Flag("linux/kconfig.h", "kernel headers need the kernel's configuration")


def _multiarch(arch: Arch) -> Iterator[Flag]:
    """Yield the directory with <asm/types.h>, which `-target bpf` does not search.

    It is searched last, so that it is used only for headers that would not be found otherwise
    (libbpf-bootstrap #1). If there is none for `arch`, the local architecture's is better than none.
    """
    for owner in (arch, local_arch()):
        for place in (f"/usr/include/{owner.triple}", f"/usr/{owner.triple}/include"):
            if Path(place, "asm").is_dir():
                note = "" if owner == arch else f" (for {owner}: none installed for {arch})"
                reason = f"contains asm/types.h, which -target bpf does not search{note}"
                yield Flag(f"-idirafter{place}", reason)
                return


def _output(arch: Arch, variant: Variant) -> Iterator[Flag]:
    if variant.base == "co-re":
        yield Flag("-target", "compile for the target in the next argument")
        yield Flag(
            arch.bpf_target,
            f"BPF with the byte order of {arch}; types come from BTF, not from kernel headers",
        )
    elif arch != local_arch():
        yield Flag("-target", "compile for the target in the next argument")
        yield Flag(
            arch.gcc, "kernel headers contain inline assembly that only this architecture's front end accepts"
        )
    yield Flag("-emit-llvm", "emit bitcode, which llc compiles to BPF")


def _defines(arch: Arch, variant: Variant) -> Iterator[Flag]:
    prebuilt = variant.base == "prebuilt"
    yield Flag("-D__KERNEL__", "enables the kernel part of kernel headers")
    if prebuilt and arch.bits == 64:
        yield Flag("-DCONFIG_64BIT", "selects the 64-bit types of kernel headers")
    yield Flag("-D__BPF_TRACING__", "disables inline assembly in kernel headers, which BPF does not support")
    yield Flag(f'-DKBUILD_MODNAME="{MODULE_NAME}"', "module name that kernel headers use in messages")
    if prebuilt:
        yield Flag("-DCOMPILE_PREBUILT", "for sources with both variants: this one uses kernel headers")
    else:
        yield Flag("-DCOMPILE_CORE", "for sources with both variants: this one is CO-RE")
    yield Flag(f"-D__TARGET_ARCH_{arch.kernel}", "selects the argument registers in bpf_tracing.h")
    if prebuilt and arch.name == "amd64":
        yield Flag(
            "-DCC_USING_FENTRY", "asm/ftrace.h fails without this define, which the kernel's Makefile sets"
        )
    for macro in arch.macros:
        yield Flag(f"-D{macro}", f"headers check for {arch}, and -target bpf does not define it")
    if variant.form == "debug":
        yield Flag("-DDEBUG=1", "debug form: compiles in the program's own messages")
    if variant.form == "unit-test":
        yield Flag("-D__BALOUM__", "unit-test form: helpers that exist only on a test host")


_FIXED = (
    Flag("-Wno-unused-value", "kernel macros leave values unused"),
    Flag("-Wno-pointer-sign", "kernel headers mix signed and unsigned char"),
    Flag("-Wno-compare-distinct-pointer-types", "the kernel's min() and max() compare them"),
    Flag("-Wunused", "unused code has no place in a verified program"),
    Flag("-Wall", "warnings find what the verifier would reject"),
    Flag("-Werror", "warnings must not be ignored"),
    Flag("-fms-extensions", "since Linux 6.19 structs embed others by tag alone and use their fields"),
    Flag("-Wno-microsoft", "clang warns about that as a Microsoft extension, and warnings are errors"),
    Flag("-Wno-error=unused", "untidy code gets a warning, not an error"),
    Flag("-Wno-error=visibility", "a struct declared only in a prototype is untidy, too"),
    Flag("-Wno-error=tautological-compare", "comparisons that macros make redundant are untidy, too"),
    Flag("-Wno-error=uninitialized", "the verifier rejects reads of uninitialized data itself"),
    Flag("-Wno-error=macro-redefined", "sources from the kernel define KBUILD_MODNAME themselves"),
    Flag("-O2", "the verifier needs optimized code: inlined calls, no dead branches"),
    Flag("-fno-stack-protector", "BPF has no stack canary"),
    Flag("-fno-color-diagnostics", "this program parses the messages"),
    Flag("-fno-unwind-tables", "nothing unwinds a BPF stack"),
    Flag("-fno-asynchronous-unwind-tables", "nothing unwinds a BPF stack"),
    Flag("-fno-jump-tables", "BPF has no indirect jumps"),
    Flag("-fmerge-all-constants", "one copy of equal constants in .rodata"),
)
