"""Why the verifier was not asked: what libbpf or the kernel stopped at before, and what to change."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from buildgen.objects.model import MapDef, Program
from buildgen.verifier.map_rules import broken_rule
from buildgen.verifier.model import Explanation
from buildgen.verifier.nearest import nearest
from core.text.safe import safe_text

_NOT_MADE = re.compile(r"map '(?P<map>[^']*)': failed to create: .*\((?P<error>-\d{1,4})\)")
_NO_SLOT = r"map '(?P<map>[^']*)': failed to initialize slot \[\d+\] to map '(?P<inner>[^']*)'"


@dataclass(frozen=True, slots=True)
class _Row:
    """`says` is a pattern of libbpf's warnings, 0.8 to 1.6; `kind` is what nearest() looks for."""

    says: str
    cause: str
    fix: str
    kind: str = ""


_ROWS = (
    _Row(
        _NO_SLOT,
        "map {map}: map {inner} is put into it, and is not like the inner map that it declares",
        "give both the same type, key, value, max_entries and flags",
    ),
    _Row(
        r"failed to find kernel BTF type ID of '(?P<name>[^']*)'",
        "the attach target {name} is not in this kernel",
        "attach to a {what} that this kernel has{near}",
        "by program",
    ),
    _Row(
        r"attach program FD is not set",
        "a freplace program takes the place of a function in a program that is loaded: its loader sets which",
        'set the program before loading: bpf_program__set_attach_target(prog, FD, "FUNCTION")',
    ),
    _Row(
        r"no BTF-based attach target is specified|no attach target",
        "the section names no attach target: the program's loader sets it",
        "set it before loading (bpf_program__set_attach_target()), or name it in the section: "
        'SEC("{section}/TARGET")',
    ),
    _Row(
        r"extern \(func ksym\) '(?P<name>[^']*)': not found",
        "this kernel has no kernel function {name}",
        "declare it __weak and ask bpf_ksym_exists() before the call, or call one that this kernel has{near}",
        "kfunc",
    ),
    _Row(
        r"extern \(var ksym\) '(?P<name>[^']*)': not found|"
        r"extern \(ksym\) '(?P<name2>[^']*)'.*not (?:found|resolved)",
        "this kernel's BTF has no variable {name}",
        "declare it __weak and check its address before the use, or use one that this kernel has{near}",
        "variable",
    ),
    _Row(
        r"extern \((?:var|func) ksym\) '(?P<name>[^']*)': (?:incompatible|func_proto.*incompatible|"
        r".*incompatible)",
        "{name} has another type in this kernel than the program declares",
        "declare it as the kernel's BTF has it: `bpftool btf dump file /sys/kernel/btf/vmlinux format c`; "
        "percpu variables as extern const struct rq runqueues __ksym, for instance",
    ),
    _Row(
        r"extern '(?P<name>CONFIG_\w+)' \(strong\): not resolved|failed to (?:parse|"
        r"find).*'(?P<name2>CONFIG_\w+)'",
        "this kernel's configuration has no {name}",
        "declare it weak, then it is 0 where it is not set: extern bool {name} __kconfig __weak",
    ),
    _Row(
        r"extern '(?P<name>[^']*)' \(strong\): not resolved",
        "nothing defines the extern {name}",
        "define it, or declare it __weak",
    ),
    _Row(
        r"failed to find BTF for extern '(?P<name>[^']*)'",
        "{name} is declared, but not defined in this object, and BPF has no C library: nothing links it in",
        "define {name} in this source (a loop over a constant number of bytes, __builtin_memcmp() for "
        "constant sizes), use a helper (bpf_strncmp()), or declare it __ksym when it is a kernel function",
    ),
    _Row(
        r"(?:unsupported|invalid) map linkage static|map '(?P<map>[^']*)':.*linkage static",
        "map {map} is static, and libbpf takes maps that can be seen from outside only",
        "remove `static` from the map's definition",
    ),
    _Row(
        r"legacy map definitions in 'maps' section are not supported",
        'the maps are defined in the old way, SEC("maps") with struct bpf_map_def, which libbpf 1.0 dropped',
        "define them with BTF: struct {{ __uint(type, BPF_MAP_TYPE_HASH); __type(key, __u32); "
        '__type(value, __u64); __uint(max_entries, 128); }} seen SEC(".maps");',
    ),
    _Row(
        r"missing BPF prog type, check ELF section name '(?P<name>[^']*)'",
        "{unknown_section}",
        "{section_fix}",
    ),
    _Row(
        r"struct_ops init_kern: struct (?P<name>\S+) is not found in kernel BTF|"
        r"struct_ops.*struct (?:bpf_struct_ops_)?(?P<name2>\w+) is not found",
        "this kernel has no struct {name} that programs can implement",
        "load it on a kernel that has it (and its CONFIG_ option){near}",
        "struct_ops",
    ),
    _Row(
        r"struct_ops init_kern (?P<name>\S+): .*(?:Cannot find member|mismatch|size).* ?(?P<member>\w*)",
        "struct {name} has other members in this kernel than in the types that the program was compiled with",
        "compile it with the vmlinux.h of this kernel, or leave out the member",
    ),
    _Row(
        r"target candidate search failed for \[\d+\] (?P<name>(?:struct|union|enum|typedef) \S+): -1",
        "{name} is not in the kernel's own BTF, and looking through the BTF of its modules needs "
        "CAP_SYS_ADMIN",
        "run it as root, or check the name",
    ),
    _Row(
        r"failed to find valid kernel BTF|vmlinux BTF is not found|kernel doesn't support BTF|"
        r"failed to (?:load|parse) vmlinux BTF",
        "the program needs the kernel's BTF (CO-RE, tracing by BTF), and this kernel has none or libbpf "
        "cannot read it",
        "use a kernel with CONFIG_DEBUG_INFO_BTF=y, or a newer libbpf",
    ),
    _Row(
        r"Error loading \.?BTF into kernel: (?P<name>-?\d+)|BTF (?:is )?(?:mandatory|required)",
        "the kernel refuses the object's BTF ({btf_error})",
        "compile with -g by one clang; naked functions and unnamed arguments are what it most often refuses",
    ),
    _Row(
        r"failed to (?:mount|find|open|read) .*(?:kallsyms|config)|failed to open system Kconfig",
        "the kernel's configuration cannot be read here, and the program asks for it (__kconfig)",
        "declare the CONFIG_ variables __weak, or make /proc/config.gz or /boot/config-RELEASE readable",
    ),
)

_NEW_SECTIONS = {
    "tcx": ("1.3", "6.6", "tc"),
    "netkit": ("1.3", "6.7", "tc"),
    "netfilter": ("1.3", "6.4", ""),
    "uprobe.multi": ("1.3", "6.6", "uprobe"),
    "uretprobe.multi": ("1.3", "6.6", "uretprobe"),
    "uprobe.session": ("1.6", "6.13", "uprobe"),
    "kprobe.session": ("1.5", "6.10", "kprobe.multi"),
    "kprobe.multi": ("0.8", "5.18", "kprobe"),
    "kretprobe.multi": ("0.8", "5.18", "kretprobe"),
    "fsession": ("1.7", "7.0", "fentry"),
    "usdt": ("0.8", "5.15", ""),
    "ksyscall": ("1.0", "", "kprobe"),
    "kretsyscall": ("1.0", "", "kretprobe"),
    "lsm_cgroup": ("1.0", "6.0", "lsm"),
    ".struct_ops.link": ("1.2", "6.4", ".struct_ops"),
}
"""Section -> the libbpf and the kernel that brought it, and the older section that does nearly the same."""
_UNIX = ("1.3", "6.7", "")


def stopped_before(
    said: Iterable[str], program: Program | None, maps: Mapping[str, MapDef]
) -> tuple[str, Explanation] | None:
    """Return (what libbpf said, why) when its warnings say what it stopped at; None when none is known."""
    lines = [line.removeprefix("libbpf: ").rstrip() for line in said]
    for line in lines:
        if made := _NOT_MADE.search(line):
            map_, error = maps.get(safe_text(made["map"])), -int(made["error"])
            if map_ is None:
                return line, Explanation(
                    f"map {safe_text(made['map'], 80)} could not be made: {os.strerror(error)}",
                    "check its type, sizes and flags",
                )
            return line, broken_rule(map_, error)
    for row in _ROWS:
        for line in lines:
            if found := re.search(row.says, line):
                return line, _explained(row, found, program, lines)
    return None


def _explained(row: _Row, found: re.Match[str], program: Program | None, lines: list[str]) -> Explanation:
    groups = {name.rstrip("2"): safe_text(text, 120) for name, text in found.groupdict().items() if text}
    name = groups.get("name", "")
    section = program.section if program else ""
    kind = row.kind
    if kind == "by program":
        kind = _kind_of(section)
    near = nearest(name, kind) if kind and name else ()
    unknown, section_fix = _unknown_section(name)
    words = {
        "map": "",
        "inner": "",
        "member": "",
        **groups,
        "name": name,
        "near": f": {', '.join(near)}" if near else "",
        "what": kind,
        "section": section or "fentry",
        "unknown_section": unknown,
        "section_fix": section_fix,
        "btf_error": _btf_error(lines) or name,
    }
    return Explanation(row.cause.format_map(words), row.fix.format_map(words))


def _kind_of(section: str) -> str:
    if section.startswith(("tp_btf", "raw_tp", "iter")):
        return "tracepoint" if section.startswith("tp_btf") else "function"
    return "hook" if section.startswith("lsm") else "function"


def _unknown_section(name: str) -> tuple[str, str]:
    known = next(
        (_NEW_SECTIONS[one] for one in _NEW_SECTIONS if name == one or name.startswith(f"{one}/")), None
    )
    if name.endswith("_unix") and name.startswith("cgroup/"):
        known = _UNIX
    if known is None:
        return (
            f'SEC("{name}") is no section that libbpf knows: it cannot see which type the program has',
            'name the section after the type (SEC("xdp"), SEC("tc"), …), or set the type in the loader '
            "with bpf_program__set_type()",
        )
    libbpf, kernel, older = known
    also = f" and Linux {kernel}" if kernel else ""
    fix = f"use libbpf {libbpf} or newer"
    return (
        f'SEC("{name}") needs libbpf {libbpf}{also}, and the libbpf here is older',
        f'{fix}, or SEC("{older}")' if older else fix,
    )


def _btf_error(lines: list[str]) -> str:
    wrong = [
        line
        for line in lines
        if re.match(r"\[\d+\] .*(?:Invalid|invalid|Bad|Unsupported|mismatch|exceed)", line)
    ]
    return safe_text(wrong[-1], 200) if wrong else ""


# --- the kernel, without its verifier --------------------------------------------------------------

_PERFMON_TYPES = frozenset(
    {
        *("kprobe", "tracepoint", "raw_tracepoint", "raw_tracepoint_writable", "perf_event", "tracing"),
        *("lsm", "struct_ops", "ext"),
    }
)
_NET_TYPES = frozenset(
    {
        *(
            "sched_cls",
            "sched_act",
            "xdp",
            "lwt_in",
            "lwt_out",
            "lwt_xmit",
            "lwt_seg6local",
            "sk_skb",
            "sk_msg",
        ),
        *("flow_dissector", "cgroup_device", "cgroup_sock", "cgroup_sock_addr", "cgroup_sockopt"),
        *("cgroup_sysctl", "sock_ops", "sk_reuseport", "sk_lookup", "netfilter", "ext", "lirc_mode2"),
    }
)
"""is_perfmon_prog_type() and is_net_admin_prog_type() of kernel/bpf/syscall.c."""
_CAPABILITIES = {"CAP_NET_ADMIN": 12, "CAP_SYS_ADMIN": 21, "CAP_PERFMON": 38, "CAP_BPF": 39}
_OPTIONS = {
    "lirc_mode2": "CONFIG_BPF_LIRC_MODE2",
    "lsm": "CONFIG_BPF_LSM",
    "flow_dissector": "CONFIG_NET",
    "lwt_seg6local": "CONFIG_IPV6_SEG6_BPF",
    "netfilter": "CONFIG_NETFILTER_BPF_LINK (6.4)",
    "kprobe": "CONFIG_BPF_EVENTS and CONFIG_KPROBES",
    "struct_ops": "CONFIG_BPF_JIT and CONFIG_DEBUG_INFO_BTF",
    "cgroup_sysctl": "CONFIG_CGROUP_BPF and CONFIG_SYSCTL",
}


def missing_capabilities(program_type: str, effective: int) -> tuple[str, ...]:
    """Return the names of what loading a program of this type needs and `effective` (a set of bits) lacks."""
    if effective >> _CAPABILITIES["CAP_SYS_ADMIN"] & 1:
        return ()
    needed = ["CAP_BPF"]
    if program_type in _PERFMON_TYPES:
        needed.append("CAP_PERFMON")
    if program_type in _NET_TYPES:
        needed.append("CAP_NET_ADMIN")
    return tuple(name for name in needed if not effective >> _CAPABILITIES[name] & 1)


def not_permitted(program_type: str, effective: int) -> tuple[str, Explanation]:
    """Return (what happened, why) for EPERM without a look of the verifier; libbpf advises ulimit."""
    missing = missing_capabilities(program_type, effective)
    if missing:
        names = " and ".join(missing)
        return (
            f"not permitted: a program of type {program_type} needs {names}, which this process lacks",
            Explanation(
                f"loading a program of type {program_type} needs {names}",
                "run it with sudo, or give it that capability",
            ),
        )
    return "not permitted although the capabilities are there", Explanation(
        f"lockdown, a security module or the kernel itself forbids programs of type {program_type} here",
        "read /sys/kernel/security/lockdown and dmesg; without lockdown the kernel was built without this "
        "type",
    )


def refused_unseen(program: Program | None, error: int) -> tuple[str, Explanation]:
    """Return (what happened, why) when the kernel refused a program and its verifier wrote nothing."""
    kind = program.type if program else "unspec"
    what = f"the kernel refused it before its verifier looked at it: {_error_name(error)}"
    if error == _ENOTSUPP and kind == "struct_ops":
        return what, Explanation(
            "libbpf connected this program with no struct: the struct's variable is in "
            'SEC(".struct_ops.link"), which libbpf '
            "knows since 1.2, or is not in this object",
            'use libbpf 1.2 or newer, or SEC(".struct_ops")',
        )
    option = f": its {_OPTIONS[kind]} is off, or it is older" if kind in _OPTIONS else ""
    return what, Explanation(
        f"this kernel does not have programs of type {kind}, or not this way to attach them{option}",
        "use a kernel that has them (`bpftool feature probe` lists the types)",
    )


_ENOTSUPP = 524
"""Kernel-internal, and returned all the same."""


def _error_name(error: int) -> str:
    if error == _ENOTSUPP:
        return "not supported (524)"
    return f"{os.strerror(error)} ({errno.errorcode.get(error, error)})"
