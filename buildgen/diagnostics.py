"""Turns the output of a failed tool into a cause and a fix.

Each row is a common mistake, recognised by text that the real tool prints. If no row matches, the diagnosis
says so and quotes the first error: a wrong guess would mislead the user.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from core.system.arch import Arch, local_arch
from core.system.distribution import install_hint
from core.text.safe import safe_text

_MOST = 256 * 1024
"""Bytes of a log that are searched: the relevant error is near its start."""

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
    """Why `output` was not built. `file` and `line` locate the first error, if the log does.

    All texts are safe to show; `file` is a path as the tool wrote it. `known` is False if no row matched.
    """

    output: str
    cause: str
    fix: str
    file: str | None = None
    line: int | None = None
    known: bool = True


@dataclass(frozen=True, slots=True)
class _Row:
    """`cause` and `fix` may use the groups of `pattern`, and {triple}, {kernel}, {arch}, {libbpf}, {libc}."""

    pattern: bytes
    """Compiled only when a build fails: forty patterns would slow down every start."""
    cause: str
    fix: str


_ROWS = (
    _Row(
        rb"fatal error: 'asm/(?P<header>[\w./-]+)' file not found",
        "-target bpf does not search the directory that contains asm/{header}",
        "include vmlinux.h instead of kernel headers, or {libc}, which provides /usr/include/{triple}/asm",
    ),
    _Row(
        rb"fatal error: '(?:\./)?(?:include/)?linux/kconfig\.h' file not found",
        "only the arch half of the kernel headers is installed; linux/kconfig.h is in the common half",
        "install the common headers package of the same version (linux-headers-…-common on Debian)",
    ),
    _Row(
        rb"fatal error: 'generated/autoconf\.h' file not found",
        "only the common half of the kernel headers is installed; generated/autoconf.h belongs to a flavour",
        "install the headers package of the flavour, e.g. linux-headers-{debian}",
    ),
    _Row(
        rb"fatal error: 'vmlinux\.h' file not found",
        "no vmlinux.h next to the source, in the include directories or in their {kernel}/ folders",
        "put one there, or build on a kernel with /sys/kernel/btf/vmlinux, from which it is generated",
    ),
    _Row(
        rb"fatal error: 'bpf/(?P<header>[\w./-]+)' file not found",
        "libbpf's header bpf/{header} is not installed",
        "{libbpf}",
    ),
    _Row(
        rb"bpf_helper_defs\.h:[^\n]{0,200}error: unknown type name '(?P<type>__\w+)'",
        "<bpf/bpf_helpers.h> is included before the types it needs, such as {type}",
        "include vmlinux.h or <linux/bpf.h> before it",
    ),
    _Row(
        rb"error: invalid output constraint '(?P<constraint>[^']*)' in asm",
        "kernel headers with inline assembly were compiled for BPF",
        "build it as prebuilt (name it *_kern.c or list it under `prebuilt`), or use vmlinux.h in it",
    ),
    _Row(
        rb"error: (?:unknown register name|invalid input constraint) '[^']*' in asm",
        "the kernel headers are not for the compiler's target architecture, {arch}",
        "use the headers of {arch}: `ebpf-tui headers --arch {arch}` lists the installed ones",
    ),
    _Row(
        rb"Must specify a BPF target arch via __TARGET_ARCH_xxx",
        "bpf_tracing.h does not know which architecture's registers hold the arguments",
        "define __TARGET_ARCH_{kernel} (the kernel's name for the architecture, not the compiler's)",
    ),
    _Row(
        rb"incomplete definition of type '(?:const )?(?:volatile )?struct (?P<type>user_pt_regs|pt_regs)'",
        "struct {type} of {arch} is not defined: this vmlinux.h is for another architecture",
        "put a vmlinux.h for {arch} at include/{kernel}/vmlinux.h",
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
        "use the same LLVM major for both: set EBPF_CLANG=clang-N, or `clang` in ebpf.toml",
    ),
    _Row(
        rb"using builtin_preserve_access_index\(\) without -g",
        "CO-RE needs the program's type information, but it is compiled without -g",
        "remove -g0 from the object's flags",
    ),
    _Row(
        rb"Cannot select: intrinsic %llvm\.(?:preserve\.\w+\.access\.index|bpf\.\w+)",
        "the source uses CO-RE but is built against kernel headers; only -target bpf supports CO-RE",
        "build it as co-re (name it *.bpf.c or list it under `sources`), or remove the CO-RE access",
    ),
    _Row(
        rb"attribute 'preserve_access_index' is not supported by '#pragma clang attribute'",
        "clang is too old for CO-RE",
        "use clang 11 or newer: {llvm}",
    ),
    _Row(
        rb"unknown target CPU '(?P<cpu>v\d)'|'(?P<cpu2>v\d)' is not a recognized processor",
        "this LLVM does not support that version of the BPF instruction set",
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
        "the object has the byte order of another architecture",
        "build it for {local}",
    ),
    _Row(
        rb"Cannot access kernel '[^']*' from non-GPL compatible program|cannot call GPL-restricted function",
        "the kernel does not consider the program's license GPL-compatible",
        'set SEC("license") to "GPL", "GPL v2", "Dual BSD/GPL", "Dual MIT/GPL" or "Dual MPL/GPL"',
    ),
    _Row(
        rb"Unsupported BTF_KIND:19|failed to find valid kernel BTF",
        "this libbpf is older than the BTF of the kernel",
        "use libbpf 1.0 or newer: {libbpf_runtime}",
    ),
    _Row(
        rb"read string section: string table is empty",
        "the BTF of a kernel module is broken",
        "ignore it if the program does not trace that module; otherwise unload the module",
    ),
    _Row(
        rb"failed to resolve CO-RE relocation <(?P<kind>\w+)> \[\d+\] (?P<what>[^\n(]+?) \(",
        "the kernel has no {what}: a CO-RE relocation ({kind}) did not match",
        "guard the access with bpf_core_field_exists(), or use the name in this kernel",
    ),
    _Row(
        rb"invalid func unknown#195896080|relo #\d+: no matching targets found",
        "a CO-RE relocation did not match the kernel: it lacks a struct or field that the program reads",
        "guard the access with bpf_core_field_exists(); the previous log line names the relocation",
    ),
    _Row(
        rb"Unable to find kernel headers|chdir\((?P<dir>/lib/modules/[^)]*)\): No such file or directory",
        "the kernel's headers are not where /lib/modules says",
        "run `ebpf-tui headers` to see which package or mount is missing",
    ),
    _Row(
        rb"error: implicit declaration of function '(?P<function>bpf_\w+)'",
        "no header of this source declares the helper {function}",
        "include <bpf/bpf_helpers.h>; {libbpf}",
    ),
    _Row(
        rb"(?:/bin/sh: \d+: |sh: )(?P<tool>\S+?): (?:not found|command not found|Permission denied)",
        "{tool} cannot be run",
        "install {tool}, or change `launcher` or `clang` in ebpf.toml",
    ),
    _Row(
        rb"ninja: error: '(?P<path>[^']*)', needed by '[^']*', missing and no known rule",
        "{path} does not exist",
        "restore the file, or correct its path, and build again",
    ),
    _Row(
        rb"fatal error: '(?P<header>[^'\n]+)' file not found",
        "no include directory contains {header}",
        "add its directory to `include` in ebpf.toml, or generate it first if a build step creates it",
    ),
    _Row(
        rb"error: (?:incomplete definition of|variable has incomplete|field has incomplete) "
        rb"type '(?P<type>[^'\n]+)'",
        "{type} is declared, but no header that this source includes defines it",
        "include the header that defines it; other kernel versions may define it elsewhere or not at all",
    ),
    _Row(
        rb"declaration does not declare anything \[[^\n]*missing-declarations\]\n"
        rb"[^\n]*?\b(?P<type>(?:struct|union) \w+)(?:;| \{\n)",
        "{type} is embedded by its tag alone, as in kernels since 6.19, and clang ignores its fields",
        "remove -fno-ms-extensions from `flags`: builds here use -fms-extensions -Wno-microsoft by default",
    ),
    _Row(
        rb"error: no member named '(?P<field>\w+)' in '(?P<type>(?:struct|union) [^'\n]+)'",
        "{type} has no field {field} in the types that this source includes",
        "kernels rename fields (kernfs_node.parent is __parent since 6.15): use the name in this vmlinux.h "
        "or these headers, or declare the struct with both names and use bpf_core_field_exists()",
    ),
    _Row(
        rb"error: (?P<what>[^\n]{1,1000}?) \[-Werror,-W(?P<warning>[\w-]+)(?:=[\w-]*)?\]",
        "a warning that is treated as an error: {what}",
        'fix it, or allow it with flags = ["-Wno-error={warning}"] for the object in ebpf.toml',
    ),
    _Row(rb"No space left on device", "the disk is full", "free some disk space and build again"),
)  # fmt: skip


def diagnose(output: str, log: bytes, arch: Arch | None = None) -> Diagnosis:
    """Return why building `output` failed, from the output of the tools in `log`; never raises.

    `arch` is the target architecture (default: the local one), which some texts name.
    """
    log = log[:_MOST]
    first = _FIRST_ERROR.search(log)
    file = first["file"].decode("utf-8", "surrogateescape") if first else None
    line = int(first["line"][:9]) if first else None
    for row in _ROWS:
        match = re.search(row.pattern, log)
        if match:
            words = _words(match, arch or local_arch())
            return Diagnosis(output, row.cause.format_map(words), row.fix.format_map(words), file, line)
    first_error = _first_error(log, first)
    return Diagnosis(
        output,
        f"unknown failure; the first error is: {first_error}" if first_error else "failed with no output",
        "read the log of this edge",
        file,
        line,
        known=False,
    )


def _words(match: re.Match[bytes], arch: Arch) -> dict[str, str]:
    groups = {name: safe_text(value or b"", 200) for name, value in match.groupdict().items()}
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


def _first_error(log: bytes, first: re.Match[bytes] | None) -> str:
    if first:
        return safe_text(first["what"], 300)
    bare = _BARE_ERROR.search(log)
    if bare:
        return safe_text(bare["what"].strip(), 300)
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    return safe_text(lines[-1], 300) if lines else ""
