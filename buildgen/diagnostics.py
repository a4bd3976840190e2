"""What a tool said when it failed -> why, and what to do about it.

Each row is a mistake that many people made, recognised by words that the real tool printed. A failure
that is in no row says so and shows the first error: a guess would send people the wrong way.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from core.system.arch import Arch, local_arch
from core.system.distribution import install_hint
from core.text.safe import safe_text

_MOST = 256 * 1024
"""As much of a log as is searched: what matters stands at its start."""

_FIRST_ERROR = re.compile(
    rb"^(?P<file>[^\n]+?):(?P<line>\d+):(?:\d+:)? (?:fatal )?error: (?P<what>[^\n]*)", re.MULTILINE
)
_BARE_ERROR = re.compile(
    rb"^(?!\d+ (?:errors?|warnings?) generated)"
    rb"(?P<what>[^\n]*(?:\berror\b|\bfailed\b|not found|No such file)[^\n]*)",
    re.MULTILINE | re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Why `output` was not made. `file` and `line` are where the first error is, if it says so.

    All texts are safe to show; `file` is a path as the tool wrote it. `known` is False when no row matched.
    """

    output: str
    cause: str
    fix: str
    file: str | None = None
    line: int | None = None
    known: bool = True


@dataclass(frozen=True, slots=True)
class _Row:
    """`cause` and `fix` may name the groups of `says`, and {triple}, {kernel}, {arch}, {libbpf}, {libc}."""

    says: bytes
    """A pattern, compiled when a build fails: a build that does not need not wait for forty of them."""
    cause: str
    fix: str


_ROWS = (
    _Row(
        rb"fatal error: 'asm/(?P<header>[\w./-]+)' file not found",
        "-target bpf leaves out the directory that has asm/{header}",
        "include vmlinux.h instead of kernel headers, or {libc}, which brings /usr/include/{triple}/asm",
    ),
    _Row(
        rb"fatal error: '(?:\./)?(?:include/)?linux/kconfig\.h' file not found",
        "only the arch half of the kernel headers is there; linux/kconfig.h is in the common half",
        "install the common headers package of the same version (linux-headers-…-common on Debian)",
    ),
    _Row(
        rb"fatal error: 'generated/autoconf\.h' file not found",
        "only the common half of the kernel headers is there; generated/autoconf.h is made for one flavour",
        "install the headers package of the flavour, e.g. linux-headers-{debian}",
    ),
    _Row(
        rb"fatal error: 'vmlinux\.h' file not found",
        "no vmlinux.h beside the source, in the include directories or in their {kernel}/ folder",
        "put one there, or build where /sys/kernel/btf/vmlinux is, so that it can be generated",
    ),
    _Row(
        rb"fatal error: 'bpf/(?P<header>[\w./-]+)' file not found",
        "libbpf's header bpf/{header} is not installed",
        "{libbpf}",
    ),
    _Row(
        rb"bpf_helper_defs\.h:[^\n]{0,200}error: unknown type name '(?P<type>__\w+)'",
        "<bpf/bpf_helpers.h> is included before the types that it uses, such as {type}",
        "include vmlinux.h or <linux/bpf.h> before it",
    ),
    _Row(
        rb"error: invalid output constraint '(?P<constraint>[^']*)' in asm",
        "kernel headers with inline assembly were compiled for BPF",
        "build it as prebuilt (name it *_kern.c or list it under `prebuilt`), or use vmlinux.h in it",
    ),
    _Row(
        rb"error: (?:unknown register name|invalid input constraint) '[^']*' in asm",
        "the kernel headers are for another architecture than the compiler's target, {arch}",
        "use the headers of {arch}: `ebpf-tui headers --arch {arch}` shows which are there",
    ),
    _Row(
        rb"Must specify a BPF target arch via __TARGET_ARCH_xxx",
        "bpf_tracing.h was not told whose registers hold the arguments",
        "define __TARGET_ARCH_{kernel} (the kernel's name of the architecture, not the compiler's)",
    ),
    _Row(
        rb"incomplete definition of type '(?:const )?(?:volatile )?struct (?P<type>user_pt_regs|pt_regs)'",
        "struct {type} of {arch} is not among the types: this vmlinux.h is of another architecture",
        "put a vmlinux.h of {arch} at include/{kernel}/vmlinux.h",
    ),
    _Row(
        rb"'asm goto' constructs are not supported yet",
        "clang is too old for these kernel headers",
        "use clang 11 or newer: {llvm}",
    ),
    _Row(
        rb"error: expected '\(' after 'asm'",
        "clang is too old for the kernel's asm_inline",
        "use clang 11 or newer: {llvm}",
    ),
    _Row(
        rb"Opaque pointers are only supported in -opaque-pointers mode|Unknown attribute kind"
        rb"|error: Invalid record|Invalid bitcode|Producer: 'LLVM[^']*' Reader: 'LLVM[^']*'",
        "clang is newer than the llc that reads its bitcode",
        "use one LLVM major for both: set EBPF_CLANG=clang-N, or `clang` in ebpf.toml",
    ),
    _Row(
        rb"using builtin_preserve_access_index\(\) without -g",
        "CO-RE needs the types of the program, and it is compiled without -g",
        "remove -g0 from the object's flags",
    ),
    _Row(
        rb"Cannot select: intrinsic %llvm\.(?:preserve\.\w+\.access\.index|bpf\.\w+)",
        "the source uses CO-RE, and is built against kernel headers: only -target bpf resolves that",
        "build it as co-re (name it *.bpf.c or list it under `sources`), or leave out the CO-RE access",
    ),
    _Row(
        rb"attribute 'preserve_access_index' is not supported by '#pragma clang attribute'",
        "clang is too old for CO-RE",
        "use clang 11 or newer: {llvm}",
    ),
    _Row(
        rb"unknown target CPU '(?P<cpu>v\d)'|'(?P<cpu2>v\d)' is not a recognized processor",
        "this LLVM does not know that generation of BPF instructions",
        "use -mcpu=v3 (kernel 5.1 and newer), or clang 18 for v4",
    ),
    _Row(
        rb"libbpf: BTF is required, but is missing or corrupted",
        "the object has no BTF: it was compiled without -g, or stripped too much",
        "compile with -g and strip with `llvm-strip -g` only",
    ),
    _Row(
        rb"libbpf: elf: couldn't find symbol table in (?P<object>\S+), stripped object file",
        "the object has no symbol table: plain llvm-strip removed it",
        "strip with `llvm-strip -g` only",
    ),
    _Row(
        rb"libbpf: elf: endianness mismatch",
        "the object is in the byte order of another architecture",
        "build it for {local}",
    ),
    _Row(
        rb"Cannot access kernel '[^']*' from non-GPL compatible program|cannot call GPL-restricted function",
        "the program's licence is not one that the kernel counts as GPL compatible",
        'say so in SEC("license"): "GPL", "GPL v2", "Dual BSD/GPL", "Dual MIT/GPL" or "Dual MPL/GPL"',
    ),
    _Row(
        rb"Unsupported BTF_KIND:19|failed to find valid kernel BTF",
        "this libbpf is older than the BTF of the kernel",
        "use libbpf 1.0 or newer: {libbpf_runtime}",
    ),
    _Row(
        rb"read string section: string table is empty",
        "the BTF of a kernel module is broken",
        "it is not needed unless the program traces that module; unload the module otherwise",
    ),
    _Row(
        rb"failed to resolve CO-RE relocation <(?P<kind>\w+)> \[\d+\] (?P<what>[^\n(]+?) \(",
        "the kernel has no {what}: a CO-RE relocation ({kind}) did not match",
        "guard the access with bpf_core_field_exists(), or use the name that this kernel gives it",
    ),
    _Row(
        rb"invalid func unknown#195896080|relo #\d+: no matching targets found",
        "a CO-RE relocation did not match the kernel: a struct or field that the program reads is not there",
        "guard the access with bpf_core_field_exists(); the log line before names the relocation",
    ),
    _Row(
        rb"Unable to find kernel headers|chdir\((?P<dir>/lib/modules/[^)]*)\): No such file or directory",
        "the kernel's headers are not where /lib/modules says",
        "`ebpf-tui headers` says which package or mount is missing",
    ),
    _Row(
        rb"error: implicit declaration of function '(?P<function>bpf_\w+)'",
        "the helper {function} is in no header of this source",
        "include <bpf/bpf_helpers.h>; {libbpf}",
    ),
    _Row(
        rb"(?:/bin/sh: \d+: |sh: )(?P<tool>\S+?): (?:not found|command not found|Permission denied)",
        "{tool} cannot be run",
        "install {tool}, or change `launcher` or `clang` in ebpf.toml",
    ),
    _Row(
        rb"ninja: error: '(?P<path>[^']*)', needed by '[^']*', missing and no known rule",
        "{path} is not there",
        "was it moved or deleted? build again",
    ),
    _Row(
        rb"fatal error: '(?P<header>[^'\n]+)' file not found",
        "no directory that is searched has {header}",
        "add its directory to `include` in ebpf.toml, or make the file first if a build step makes it",
    ),
    _Row(
        rb"error: (?:incomplete definition of|variable has incomplete|field has incomplete) "
        rb"type '(?P<type>[^'\n]+)'",
        "{type} is declared, but defined in no header that this source includes",
        "include the header that defines it; another kernel version may have it elsewhere or not at all",
    ),
    _Row(
        rb"declaration does not declare anything \[[^\n]*missing-declarations\]\n"
        rb"[^\n]*?\b(?P<type>(?:struct|union) \w+)(?:;| \{\n)",
        "{type} is embedded by its tag alone, as in kernels since 6.19, and clang does not take its fields",
        "compile with -fms-extensions -Wno-microsoft; builds here do: look for -fno-ms-extensions in `flags`",
    ),
    _Row(
        rb"error: no member named '(?P<field>\w+)' in '(?P<type>(?:struct|union) [^'\n]+)'",
        "{type} has no field {field} in the types that this source sees",
        "kernels rename fields (kernfs_node.parent is __parent since 6.15): use the name in this vmlinux.h "
        "or these headers, or declare the struct with both names and ask bpf_core_field_exists()",
    ),
    _Row(
        rb"error: (?P<what>[^\n]{1,1000}?) \[-Werror,-W(?P<warning>[\w-]+)(?:=[\w-]*)?\]",
        "a warning that is an error here: {what}",
        'correct it, or let it pass with flags = ["-Wno-error={warning}"] of the object in ebpf.toml',
    ),
    _Row(rb"No space left on device", "the disk is full", "free some space and build again"),
)  # fmt: skip


def diagnose(output: str, log: bytes, arch: Arch | None = None) -> Diagnosis:
    """Return why making `output` failed, from what the tools printed; never raises.

    `arch` is what was compiled for: some causes are another one's headers or types.
    """
    log = log[:_MOST]
    first = _FIRST_ERROR.search(log)
    file = first["file"].decode("utf-8", "surrogateescape") if first else None
    line = int(first["line"][:9]) if first else None
    for row in _ROWS:
        found = re.search(row.says, log)
        if found:
            words = _words(found, arch or local_arch())
            return Diagnosis(output, row.cause.format_map(words), row.fix.format_map(words), file, line)
    what = _first_words(log, first)
    return Diagnosis(
        output,
        f"not a mistake this program knows; the first error is: {what}"
        if what
        else "it failed without a word",
        "read the log of this edge",
        file,
        line,
        known=False,
    )


def _words(found: re.Match[bytes], arch: Arch) -> dict[str, str]:
    groups = {name: safe_text(value or b"", 200) for name, value in found.groupdict().items()}
    return {
        "arch": arch.name,
        "kernel": arch.kernel,
        "triple": arch.triple,
        "debian": arch.debian,
        "local": local_arch().name,
        "libbpf": install_hint("libbpf"),
        "libbpf_runtime": install_hint("libbpf runtime"),
        "libc": install_hint("libc headers"),
        "llvm": install_hint("llvm"),
        **groups,
    }


def _first_words(log: bytes, first: re.Match[bytes] | None) -> str:
    if first:
        return safe_text(first["what"], 300)
    bare = _BARE_ERROR.search(log)
    if bare:
        return safe_text(bare["what"].strip(), 300)
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    return safe_text(lines[-1], 300) if lines else ""
