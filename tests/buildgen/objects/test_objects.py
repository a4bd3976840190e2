"""`inspect` against libbpf's own view, LLVM's and bpftool's; and against damaged files."""

from __future__ import annotations

import ctypes
import os
import re
import resource
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from buildgen.errors import ObjectError
from buildgen.ninja.runner import run_build
from buildgen.objects import ObjectFile, object_json, read_object
from buildgen.objects.btf import BtfError, decode_btf
from buildgen.objects.section_names import map_type, program_type
from buildgen.plan.plan import plan
from buildgen.project.project import load_project
from core.system.arch import local_arch
from tests.buildgen.objects.libbpf_view import library, view
from tests.buildgen.verifier.rejected_programs import compiled
from tests.needs import lacks

RICH = """
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

enum state { IDLE, BUSY = 7 };
struct inner { int a; int values[4]; } __attribute__((preserve_access_index));
struct outer {
    long x;
    struct { struct inner in; };
    struct outer *next;
} __attribute__((preserve_access_index));
struct value { char name[16]; __u64 count; };

struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 128);
    __type(key, __u32);
    __type(value, struct value);
} processes SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 1 << 14); } events SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY); __uint(map_flags, 0x10); __uint(max_entries, 1);
         __uint(key_size, 4); __uint(value_size, 72); } scratch SEC(".maps");
struct inner_map {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 2);
    __type(key, int);
    __type(value, int);
};
struct { __uint(type, BPF_MAP_TYPE_HASH_OF_MAPS); __uint(max_entries, 4); __type(key, __u64);
         __array(values, struct inner_map); } outers SEC(".maps");

const volatile int limit = 5;
int seen = 1;
static volatile int hidden;
__u64 total;
extern int LINUX_KERNEL_VERSION __kconfig;

static __attribute__((noinline)) int helper(struct outer *o) { return BPF_CORE_READ(o, next, in.values[2]); }

SEC("kprobe/do_exit") int on_exit(void *ctx) { seen += limit; total++; return helper(ctx) + hidden; }
SEC("tracepoint/sched/sched_process_exec") int on_tp(void *ctx) { return LINUX_KERNEL_VERSION > 0; }
SEC("tp_btf/sched_process_fork") int on_fork(void *ctx)
{
    struct outer *o = ctx;
    return bpf_core_field_exists(o->in.a) + bpf_core_type_size(struct inner)
           + bpf_core_enum_value(enum state, BUSY) + bpf_core_type_exists(struct outer);
}
SEC("?lsm.s/bprm_check_security") int on_lsm(void *ctx) { return 0x1122334455667788ULL == (__u64)ctx; }
SEC("xdp") int on_packet(struct xdp_md *ctx) { return XDP_PASS; }
SEC("iter/task") int on_task(void *ctx) { return 0; }
SEC("my_own") int on_own(void *ctx) { return 0; }
SEC("cgroup/connect4") int on_connect(void *ctx) { return 1; }
char LICENSE[] SEC("license") = "Dual BSD/GPL";
"""

LEGACY = """
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
struct bpf_map_def {
    unsigned type, key_size, value_size, max_entries, map_flags, pinning;
    char namespace[8];
};
struct bpf_map_def SEC("maps") first = { 1, 4, 8, 10 };
struct bpf_map_def SEC("maps") second = { 2, 4, 16, 3, 1 };
struct { __u32 type, max_entries; int *key; __u64 *value; } old SEC(".maps") = { 1, 5 };
SEC("kprobe/do_exit") int on_exit(void *ctx)
{
    __u32 k = 0;
    return bpf_map_lookup_elem(&first, &k) && bpf_map_lookup_elem(&second, &k);
}
char LICENSE[] SEC("license") = "GPL";
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, needs_llvm: None) -> Path:
    if not Path("/usr/include/bpf/bpf_helpers.h").exists():
        lacks("libbpf-dev")
    project = tmp_path_factory.mktemp("objects")
    (project / "rich.bpf.c").write_text(RICH)
    (project / "legacy.bpf.c").write_text(LEGACY)
    planned = plan(load_project(project), arches=[local_arch(), "s390x"])
    events = list(run_build(planned, keep_going=True))
    assert events[-1].ok, events  # type: ignore[union-attr]
    return project / "build/ebpf"


@pytest.fixture(scope="module")
def rich(built: Path) -> Path:
    return built / local_arch().name / "co-re/rich.bpf.o"


def test_programs_are_libbpfs(rich: Path) -> None:
    said = view(rich)
    assert said is not None
    programs = [p for p in read_object(rich).programs if not p.subprogram]
    assert {(p.name, p.section, p.type, p.insns) for p in programs} == set(said[0])
    assert len(programs) == len(said[0])


def test_targets_and_subprograms(rich: Path) -> None:
    found = {p.name: p for p in read_object(rich).programs}
    assert {name: p.attach_to for name, p in found.items()} == {
        "helper": None,
        "on_exit": "do_exit",
        "on_tp": "sched/sched_process_exec",
        "on_fork": "sched_process_fork",
        "on_lsm": "bprm_check_security",
        "on_packet": None,
        "on_task": "task",
        "on_own": None,
        "on_connect": None,
    }
    assert [p.name for p in found.values() if p.subprogram] == ["helper"]


def test_maps_are_libbpfs(rich: Path) -> None:
    said = view(rich)
    assert said is not None
    maps = read_object(rich).maps
    assert sorted((m.type, m.key_size, m.value_size, m.max_entries, m.flags) for m in maps) == sorted(said[1])
    # libbpf puts a part of the file's name before the names of data sections
    assert {m.name if m.defined_in == ".maps" else "rich" + m.name for m in maps} == {
        name.replace("rich.bpf", "rich") for name in said[2]
    }


def test_struct_ops_are_maps(tmp_path: Path, needs_llvm: None) -> None:
    text = """
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
struct tcp_congestion_ops { void (*ssthresh)(void); char name[16]; };
SEC("struct_ops/ssthresh") int threshold(void *ctx) { return 2; }
SEC(".struct_ops") struct tcp_congestion_ops mine = { .ssthresh = (void *)threshold, .name = "mine" };
char LICENSE[] SEC("license") = "GPL";
"""
    made = compiled(tmp_path, text)
    said = view(made)
    assert said is not None
    (ours,) = read_object(made).maps
    assert [tuple(one) for one in said[1]] == [("struct_ops", 4, 24, 1, 0)]
    assert (ours.type, ours.key_size, ours.value_size, ours.max_entries, ours.flags) == said[1][0]
    assert (ours.name, ours.defined_in) == ("mine", ".struct_ops")


def test_legacy_maps(built: Path) -> None:
    """libbpf 1.0 does not read these any more."""
    maps = read_object(built / local_arch().name / "co-re/legacy.bpf.o").maps
    assert [
        (m.name, m.type, m.key_size, m.value_size, m.max_entries, m.flags, m.defined_in) for m in maps
    ] == [
        ("old", "hash", 4, 8, 5, 0, ".maps"),
        ("first", "hash", 4, 8, 10, 0, "maps"),
        ("second", "array", 4, 16, 3, 1, "maps"),
    ]


def test_both_byte_orders_say_the_same(built: Path) -> None:
    def content(arch: str) -> dict[str, object]:
        said = object_json(read_object(built / arch / "co-re/rich.bpf.o"))
        return {key: said[key] for key in ("license", "maps", "variables")} | {
            "programs": [p["name"] for p in said["programs"]],
            "relocations": [(r["kind"], r["type"], r["access"]) for r in said["core_relocations"]],
        }

    assert read_object(built / "s390x/co-re/rich.bpf.o").endian == "big"
    assert content("s390x") == content(local_arch().name)


def test_relocations_name_the_fields(rich: Path) -> None:
    said = {(r.section, r.kind, r.type, r.access) for r in read_object(rich).core_relocations}
    assert said == {
        (".text", "byte_off", "struct outer", "next"),
        (".text", "byte_off", "struct outer", "in.values[2]"),
        ("tp_btf/sched_process_fork", "field_exists", "struct outer", "in.a"),
        ("tp_btf/sched_process_fork", "type_size", "struct inner", ""),
        ("tp_btf/sched_process_fork", "enumval_value", "enum state", "BUSY"),
        ("tp_btf/sched_process_fork", "type_exists", "struct outer", ""),
    }


def test_relocations_and_lines_point_at_instructions(rich: Path) -> None:
    found = read_object(rich)
    slots = {section.name: section.size // 8 for section in found.sections}
    for relocation in found.core_relocations:
        assert relocation.insn < slots[relocation.section]
    for line in found.lines:
        assert line.insn < slots[line.section]
    assert {one.insn for one in found.lines if one.section == "xdp"} == {0}
    fork = [one.insn for one in found.core_relocations if one.section == "tp_btf/sched_process_fork"]
    assert max(fork) > 0


def test_variables_are_in_the_symbol_table(rich: Path) -> None:
    """llvm-readelf is the witness for size and place."""
    said = subprocess.run(["llvm-readelf", "-sW", rich], capture_output=True, text=True, check=True).stdout
    symbols = {
        row[7]: (int(row[1], 16), int(row[2]))
        for row in (line.split() for line in said.splitlines())
        if len(row) == 8 and row[3] == "OBJECT"
    }
    variables = {v.name: v for v in read_object(rich).variables}
    assert {"limit", "seen", "total", "hidden"} <= variables.keys()
    for name in ("limit", "seen", "total", "hidden"):
        assert (variables[name].offset, variables[name].size) == symbols[name], name
    assert variables["LINUX_KERNEL_VERSION"].offset is None
    assert (variables["limit"].section, variables["seen"].section, variables["total"].section) == (
        ".rodata", ".data", ".bss",
    )  # fmt: skip


def test_instructions_are_llvm_objdumps(rich: Path) -> None:
    said = subprocess.run(["llvm-objdump", "-d", rich], capture_output=True, text=True, check=True).stdout
    counted: dict[str, int] = {}
    name = ""
    for line in said.splitlines():
        if head := re.match(r"[0-9a-f]+ <(\w+)>:", line):
            name = head[1] if not head[1].startswith("LBB") else name
        elif row := re.match(r"\s+(\d+):\t((?:[0-9a-f]{2}[ \t])+)", line):
            counted[name] = counted.get(name, 0) + len(row[2].split()) // 8
    assert {p.name: p.insns for p in read_object(rich).programs} == counted


def test_sections_are_readelfs(rich: Path) -> None:
    said = subprocess.run(["llvm-readelf", "-SW", rich], capture_output=True, text=True, check=True).stdout
    rows = re.findall(r"\[ *\d+\] (\S+) +(\w+) +[0-9a-f]+ [0-9a-f]+ ([0-9a-f]+)", said)
    sections = read_object(rich).sections
    assert [(s.name, s.type.removeprefix("SHT_"), s.size) for s in sections] == [
        (name, kind, int(size, 16)) for name, kind, size in rows
    ]


@pytest.mark.needs("bpftool")
def test_btf_types_are_bpftools(rich: Path) -> None:
    said = subprocess.run(
        ["bpftool", "btf", "dump", "file", rich], capture_output=True, text=True, check=True
    )
    btf = read_object(rich).btf
    assert btf is not None
    assert btf.types == len(re.findall(r"^\[\d+\]", said.stdout, re.MULTILINE))
    kinds = re.findall(r"^\[\d+\] (\w+)", said.stdout, re.MULTILINE)
    assert dict(btf.kinds) == {kind.lower(): kinds.count(kind) for kind in set(kinds)}
    assert btf.ext


def test_lines_lead_to_the_source(rich: Path) -> None:
    lines = [one for one in read_object(rich).lines if one.section == "kprobe/do_exit"]
    assert lines
    assert all(one.file.endswith("rich.bpf.c") for one in lines)
    text = RICH.splitlines()
    assert all(text[one.line - 1].strip() == one.text for one in lines)


def test_section_names_are_libbpfs() -> None:
    """Every name this libbpf knows has the type it says; newer names than its own are left out."""
    lib = library()
    kind, attach = ctypes.c_int(), ctypes.c_int()
    found = (ctypes.byref(kind), ctypes.byref(attach))
    names = [
        "socket",
        "sk_reuseport",
        "kprobe/x",
        "kretprobe/x",
        "uprobe//bin/sh:x",
        "uprobe.s/x",
        "kprobe.multi/x*",
        "ksyscall/read",
        "usdt/x",
        "tc",
        "classifier",
        "action",
        "tracepoint/a/b",
        "tp/a/b",
        "raw_tp/a",
        "raw_tracepoint/a",
        "raw_tp.w/a",
        "tp_btf/a",
        "fentry/a",
        "fexit.s/a",
        "fmod_ret/a",
        "freplace/a",
        "lsm/a",
        "lsm.s/a",
        "lsm_cgroup/a",
        "iter/task",
        "iter.s/task",
        "syscall",
        "xdp",
        "xdp.frags",
        "xdp/devmap",
        "xdp.frags/cpumap",
        "perf_event",
        "lwt_in",
        "lwt_out",
        "lwt_xmit",
        "lwt_seg6local",
        "cgroup_skb/ingress",
        "cgroup/skb",
        "cgroup/sock",
        "cgroup/sock_create",
        "cgroup/post_bind6",
        "cgroup/dev",
        "sockops",
        "sk_skb/stream_parser",
        "sk_skb",
        "sk_msg",
        "lirc_mode2",
        "flow_dissector",
        "cgroup/bind4",
        "cgroup/getsockname6",
        "cgroup/sendmsg4",
        "cgroup/sysctl",
        "cgroup/getsockopt",
        "struct_ops/x",
        "sk_lookup",
        "sk_reuseport/migrate",
    ]
    for name in names:
        assert lib.libbpf_prog_type_by_name(name.encode(), *found) == 0, name
        assert program_type(name)[0] == lib.libbpf_bpf_prog_type_str(kind.value).decode(), name
    for name in ("my_own", "xdp/other", "kprobes/x", "cgroup/nothing", ""):
        assert lib.libbpf_prog_type_by_name(name.encode(), *found) != 0, name
        assert program_type(name) == ("unspec", None)
    for number in range(40):
        said = lib.libbpf_bpf_map_type_str(number)
        assert said is None or said.decode() == map_type(number)


# --- files that lie ----------------------------------------------------------------------------------


def attempt(path: Path) -> ObjectFile | None:
    """Read; an error has to be one short line that names the file."""
    try:
        return read_object(path)
    except ObjectError as error:
        said = str(error)
    assert said.startswith(str(path))
    assert said.isprintable()
    assert len(said) < 400
    return None


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "an empty file"),
        (b"#!/bin/sh\n", "not an ELF file"),
        (b"\x7fELF", "damaged"),
        (b"\x7fELF" + b"\xff" * 60, "damaged"),
        (b"\x7fELF\x02\x01\x01" + bytes(57), "not a relocatable"),
    ],
)
def test_foreign_files(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "x.o"
    path.write_bytes(content)
    with pytest.raises(ObjectError, match=said):
        read_object(path)


def test_things_that_are_no_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path, said in (
        (tmp_path / "fifo", "not a regular file"),
        (tmp_path, "not a regular file"),
        (tmp_path / "no", "No such"),
    ):
        with pytest.raises(ObjectError, match=said):
            read_object(path)
    with pytest.raises(ObjectError, match="not for eBPF"):
        read_object(Path("/proc/self/exe"))


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_truncated_and_flipped_files_end_in_one_line(rich: Path, tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray(rich.read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at] ^= data.draw(st.integers(1, 255))
    content = content[: data.draw(st.one_of(st.just(len(content)), st.integers(0, len(content))))]
    path = tmp_path / "damaged.o"
    path.write_bytes(content)
    attempt(path)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=st.sampled_from([".BTF", ".BTF.ext", ".symtab", ".strtab", "headers"]), data=st.data())
def test_flipped_bits_where_it_hurts(rich: Path, tmp_path: Path, where: str, data: st.DataObject) -> None:
    content = bytearray(rich.read_bytes())
    start, size = place(content, where)
    for _ in range(data.draw(st.integers(1, 4))):
        at = start + data.draw(st.integers(0, size - 1))
        content[at] = data.draw(st.sampled_from([0, 1, 0x7F, 0x80, 0xFF, content[at] ^ 1]))
    path = tmp_path / "damaged.o"
    path.write_bytes(content)
    attempt(path)


def place(content: bytearray, name: str) -> tuple[int, int]:
    """Return where a section is in a little-endian ELF file, by its header; `headers`: these themselves."""
    (offset,) = struct.unpack_from("<Q", content, 0x28)
    size, count, names = struct.unpack_from("<3H", content, 0x3A)
    if name == "headers":
        return offset, size * count
    strings = struct.unpack_from("<Q", content, offset + names * size + 0x18)[0]
    for index in range(count):
        head = offset + index * size
        at = strings + struct.unpack_from("<I", content, head)[0]
        if content[at : content.index(0, at)] == name.encode():
            found: tuple[int, int] = struct.unpack_from("<2Q", content, head + 0x18)
            return found
    raise KeyError(name)


def test_claims_of_size_take_no_memory(rich: Path, tmp_path: Path) -> None:
    """Counts of 2**32 in the header, in BTF and in .BTF.ext are refused before anything is made of them."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for where, at in ((".BTF", 12), (".BTF", 20), (".BTF.ext", 28), ("headers", 64 + 0x20)):
        content = bytearray(rich.read_bytes())
        start, _size = place(content, where)
        content[start + at : start + at + 4] = b"\xff\xff\xff\x7f"
        path = tmp_path / "big.o"
        path.write_bytes(content)
        with pytest.raises(ObjectError):
            read_object(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024


@given(st.binary(max_size=400))
def test_any_btf_is_decoded_or_refused(noise: bytes) -> None:
    head = struct.pack(
        "<HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(noise) // 2, len(noise) // 2, len(noise) - len(noise) // 2
    )
    try:
        btf = decode_btf(head + noise)
        for one in btf.types:
            btf.size(one.number)
            btf.name(one)
            list(btf.parts(one))
    except BtfError:
        pass


@pytest.mark.parametrize(
    ("kind", "vlen", "words"),
    [(4, 5, (0,)), (3, 0, ()), (15, 2, (0, 0, 0)), (0, 0, ()), (31, 0, ())],
    ids=["struct without its members", "array cut off", "datasec cut off", "void", "unknown kind"],
)
def test_types_that_are_cut_off(kind: int, vlen: int, words: tuple[int, ...]) -> None:
    types = struct.pack(f"<{3 + len(words)}I", 0, kind << 24 | vlen, 0, *words)
    head = struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(types), len(types), 1)
    with pytest.raises(BtfError, match=r"type 1 is (cut off|of the unknown kind)"):
        decode_btf(head + types + b"\0" * 200)


def test_names_from_outside_are_safe(rich: Path, tmp_path: Path) -> None:
    content = rich.read_bytes().replace(b"on_packet", b"on\x1b[2J\xff\n\xe2")
    path = tmp_path / "evil.o"
    path.write_bytes(content)
    found = attempt(path)
    assert found is not None
    assert all(p.name.isprintable() for p in found.programs)
    assert any("\\x1b" in p.name for p in found.programs)
