"""The compiler flags of (architecture, variant), each with its why."""

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
    """One element of the compiler's argv, and why it is there."""

    flag: str
    why: str


@dataclass(frozen=True, slots=True)
class Variant:
    """How an object is built: against kernel headers or CO-RE; plain, for debugging or for unit tests."""

    base: Base
    form: Form = ""

    def __str__(self) -> str:
        return f"{self.base}-{self.form}" if self.form else self.base


VARIANTS = tuple(Variant(base, form) for base in BASES for form in FORMS)
_BY_NAME = {str(variant): variant for variant in VARIANTS} | {"core": Variant("co-re")}


def whole_command(flags: Iterable[Flag], clang: str = "clang") -> str:
    """Return the command, quoted for a shell, that makes bitcode of SOURCE.c with these flags."""
    return shlex.join([clang, *(flag.flag for flag in flags), "-c", "SOURCE.c", "-o", "OUTPUT.bc"])


def parse_variant(text: str) -> Variant:
    """Return the variant called `text`, e.g. `co-re-debug`; raises ConfigError that lists the names."""
    variant = _BY_NAME.get(text.strip().lower())
    if variant is None:
        raise ConfigError(f"unknown variant {text!r}: use one of {' '.join(map(str, VARIANTS))}")
    return variant


def compile_flags(arch: Arch, variant: Variant) -> tuple[Flag, ...]:
    """Return the flags that make bitcode for `variant` of `arch` with clang.

    Neither the kernel's header directories (`HeaderDirs.flags`) nor the project's own flags are in it.
    """
    return (*target_flags(arch, variant), *_flags(arch, variant))


def target_flags(arch: Arch, variant: Variant) -> tuple[Flag, ...]:
    """Return the first part of `compile_flags`: what code is made for, and in which form it comes out."""
    return tuple(_output(arch, variant))


def _flags(arch: Arch, variant: Variant) -> Iterator[Flag]:
    yield from _defines(arch, variant)
    yield from _FIXED
    yield Flag("-g", "BTF is made of it: maps, line numbers, CO-RE; llvm-strip -g drops the rest")
    if variant.base == "co-re":
        yield from _multiarch(arch)
    else:
        yield Flag("-include", "the next word is included before the source")
        yield Flag("linux/kconfig.h", "kernel headers mean nothing without the kernel's configuration")


def _multiarch(arch: Arch) -> Iterator[Flag]:
    """<asm/types.h> is in no directory that `-target bpf` knows. Last, so that it serves only what
    would have failed (libbpf-bootstrap #1); without the right one this machine's is better than none.
    """
    for owner in (arch, local_arch()):
        for place in (f"/usr/include/{owner.triple}", f"/usr/{owner.triple}/include"):
            if Path(place, "asm").is_dir():
                whose = "" if owner == arch else f" (of {owner}: there is none of {arch})"
                yield Flag(f"-idirafter{place}", f"asm/types.h is here, and -target bpf drops it{whose}")
                return


def _output(arch: Arch, variant: Variant) -> Iterator[Flag]:
    if variant.base == "co-re":
        yield Flag("-target", "the next word is what code is made for")
        yield Flag(
            arch.bpf_target, f"BPF in the byte order of {arch}; types come from BTF, not from kernel headers"
        )
    elif arch != local_arch():
        yield Flag("-target", "the next word is what code is made for")
        yield Flag(
            arch.gcc, "kernel headers hold inline assembly that only this architecture's front end accepts"
        )
    yield Flag("-emit-llvm", "bitcode: llc makes BPF of it")


def _defines(arch: Arch, variant: Variant) -> Iterator[Flag]:
    prebuilt = variant.base == "prebuilt"
    yield Flag("-D__KERNEL__", "kernel headers show their kernel side")
    if prebuilt and arch.bits == 64:
        yield Flag("-DCONFIG_64BIT", "kernel headers choose their 64-bit types")
    yield Flag("-D__BPF_TRACING__", "kernel headers leave out inline assembly that BPF cannot have")
    yield Flag(f'-DKBUILD_MODNAME="{MODULE_NAME}"', "kernel headers want a module's name for messages")
    if prebuilt:
        yield Flag("-DCOMPILE_PREBUILT", "sources that have both variants: this one uses kernel headers")
    else:
        yield Flag("-DCOMPILE_CORE", "sources that have both variants: this one is CO-RE")
    yield Flag(f"-D__TARGET_ARCH_{arch.kernel}", "bpf_tracing.h: whose registers hold the arguments")
    if prebuilt and arch.name == "amd64":
        yield Flag("-DCC_USING_FENTRY", "asm/ftrace.h stops unless the kernel's makefile has defined it")
    for macro in arch.macros:
        yield Flag(f"-D{macro}", f"headers ask for {arch}, and -target bpf does not say so")
    if variant.form == "debug":
        yield Flag("-DDEBUG=1", "debug form: the program's own messages are compiled in")
    if variant.form == "unit-test":
        yield Flag("-D__BALOUM__", "unit-test form: helpers that only a test host has")


_FIXED = (
    Flag("-Wno-unused-value", "kernel macros leave values unused"),
    Flag("-Wno-pointer-sign", "kernel headers mix char signs"),
    Flag("-Wno-compare-distinct-pointer-types", "the kernel's min() and max() compare them"),
    Flag("-Wunused", "what is not used has no place in a verified program"),
    Flag("-Wall", "warnings find what the verifier would refuse"),
    Flag("-Werror", "and are not ignored"),
    Flag("-fms-extensions", "since Linux 6.19 structs embed others by their tag alone, and use their fields"),
    Flag("-Wno-microsoft", "clang calls that a Microsoft extension, and a warning is an error here"),
    Flag("-Wno-error=unused", "what is only untidy is shown, and built"),
    Flag("-Wno-error=visibility", "a struct known only to a prototype is untidy too"),
    Flag("-Wno-error=tautological-compare", "comparisons that macros make needless are untidy too"),
    Flag("-Wno-error=uninitialized", "the verifier is the judge of what is read before it is written"),
    Flag("-Wno-error=macro-redefined", "sources that came from the kernel define KBUILD_MODNAME themselves"),
    Flag("-O2", "the verifier needs optimised code: inlined calls, no dead branches"),
    Flag("-fno-stack-protector", "BPF has no canary to check"),
    Flag("-fno-color-diagnostics", "the messages are read by this program"),
    Flag("-fno-unwind-tables", "nothing unwinds a BPF stack"),
    Flag("-fno-asynchronous-unwind-tables", "nothing unwinds a BPF stack"),
    Flag("-fno-jump-tables", "BPF has no indirect jumps"),
    Flag("-fmerge-all-constants", "one copy of equal constants in .rodata"),
)
