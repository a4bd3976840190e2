"""Accepted, rejected or not asked; and for each rejection its cause, fix, line and the way back.

Every program is compiled by clang and looked at by the running kernel's verifier.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from buildgen.verifier.model import ObjectVerdict, ProgramVerdict
from buildgen.verifier.nearest import nearest
from buildgen.verifier.verify import verify_object
from tests.buildgen.verifier.rejected_programs import compiled
from tests.buildgen.verifier.verdict_programs import CASES, LICENCE, PRELUDE, source
from tests.places import ROOT

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="loading programs needs root"),
    pytest.mark.usefixtures("needs_llvm"),
]


def asked(folder: Path, text: str) -> ObjectVerdict:
    found = verify_object(compiled(folder, text))
    if not found.permitted:
        pytest.skip("this host does not let root load programs")
    return found


def only(folder: Path, text: str) -> ProgramVerdict:
    (one,) = asked(folder, text).programs
    return one


# --- rejected ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
def test_a_rejection_has_its_line_cause_fix_and_trace(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    one = only(tmp_path, source(name))
    assert one.verdict == "rejected"
    assert case.at in one.source
    assert case.cause in one.explained.cause
    assert case.fix in one.explained.fix
    lines = (tmp_path / "programs.bpf.c").read_text().splitlines()
    traced = [(lines[at.line - 1], at.what) for at in one.trace]
    for on_line, what in case.trace:
        assert any(on_line in text and what in said for text, said in traced), traced
    order = [lines.index(text) for text, _said in traced if lines.count(text) == 1]
    assert one.trace == () or traced[-1][0] in (one.source, lines[order[-1]])


def test_before_and_after_belong_to_the_cause(tmp_path: Path) -> None:
    explained = only(tmp_path, source("null")).explained
    assert "if (!v)" in explained.after
    assert "if (!v)" not in explained.before


def test_notes_do_not_push_the_reason_out(tmp_path: Path) -> None:
    """`func 'x' arg0 has btf_id …` stands in each log of a program with typed arguments."""
    one = only(
        tmp_path,
        f"""{PRELUDE}
SEC("tp_btf/sched_process_exec") int typed(unsigned long long *ctx) {{
    long *task = (void *)ctx[0];
    long *binary = (void *)ctx[2];
    task[0] = binary[0];
    return 0;
}}
{LICENCE}""",
    )
    assert one.verdict == "rejected"
    assert "btf_id" not in one.reason
    assert "task[0] = binary[0]" in one.source
    assert "fields of kernel objects" in one.explained.cause


def test_two_equal_lines_are_told_apart(tmp_path: Path) -> None:
    """In a function that is called, the kernel's own line number decides, not the text (Linux 6.10)."""
    text = f"""{PRELUDE}
static __noinline int twice(struct page *p, __u32 n) {{
    volatile char *at = p->text;
    n += *at;
    at += 256;
    n += *at;
    return n;
}}
SEC("tc") int equal(struct __sk_buff *skb) {{
    __u32 zero = 0;
    struct page *p = bpf_map_lookup_elem(&pages, &zero);
    return p ? twice(p, skb->mark) : 0;
}}
{LICENCE}"""
    one = only(tmp_path, text)
    assert one.verdict == "rejected"
    if " @ programs.bpf.c:" not in one.log:
        pytest.skip("this kernel does not name lines")
    lines = (tmp_path / "programs.bpf.c").read_text().splitlines()
    same = [number for number, line in enumerate(lines, 1) if line == "    n += *at;"]
    assert one.line == same[1]


# --- not asked --------------------------------------------------------------------------------------

GOOD = 'SEC("tc") int good(struct __sk_buff *skb) { return 0; }\n'
MAPS = {
    "array_key": (
        "__uint(type, 2); __type(key, __u64); __type(value, __u32); __uint(max_entries, 4);",
        "4 bytes, and",
    ),
    "per_cpu": (
        "__uint(type, 6); __type(key, __u32); __type(value, char[65536]); __uint(max_entries, 1);",
        "at most 32,768 bytes",
    ),
    "lpm": (
        "__uint(type, 11); __type(key, __u64); __type(value, __u32); __uint(max_entries, 4);",
        "BPF_F_NO_PREALLOC",
    ),
    "queue": (
        "__uint(type, 22); __type(key, __u32); __type(value, __u32); __uint(max_entries, 4);",
        "has no key",
    ),
    "storage": (
        "__uint(type, 29); __type(key, int); __type(value, __u32); __uint(max_entries, 4);",
        "BPF_F_NO_PREALLOC and no max_entries",
    ),
}


@pytest.mark.parametrize("name", MAPS)
def test_a_map_that_cannot_be_made_names_the_broken_rule(name: str, tmp_path: Path) -> None:
    definition, rule = MAPS[name]
    text = f'{PRELUDE}struct {{ {definition} }} wrong SEC(".maps");\n{GOOD}{LICENCE}'
    one = only(tmp_path, text)
    assert one.verdict == "not asked"
    assert one.explained.cause.startswith("map wrong: ")
    assert rule in one.explained.cause
    assert one.explained.fix


NAMES = {
    "fentry": (
        'SEC("fentry/vfs_read_everything") int p(void *c) { return 0; }',
        "vfs_read_everything",
        "vfs_read",
    ),
    "tp_btf": (
        'SEC("tp_btf/sched_process_exec_soon") int p(void *c) { return 0; }',
        "sched_process_exec_soon",
        "sched_process_exec",
    ),
    "lsm": ('SEC("lsm/file_opened") int p(void *c) { return 0; }', "file_opened", "file_open"),
    "kfunc": (
        'extern void bpf_rcu_read_lock_soon(void) __ksym;\nSEC("tc") int p(void *c) { '
        "bpf_rcu_read_lock_soon(); return 0; }",
        "bpf_rcu_read_lock_soon",
        "bpf_rcu_read_lock",
    ),
}


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_does_not_exist_has_the_nearest(name: str, tmp_path: Path) -> None:
    body, missing, near = NAMES[name]
    one = only(tmp_path, f"{PRELUDE}{body}\n{LICENCE}")
    assert one.verdict == "not asked"
    assert missing in one.explained.cause
    if nearest(near, {"tp_btf": "tracepoint", "lsm": "hook", "kfunc": "kfunc"}.get(name, "function")):
        assert near in one.explained.fix


NOT_ASKED = {
    "no_target": ('SEC("fentry") int p(void *c) { return 0; }', "the program's loader sets it"),
    "own_section": ('SEC("my_filter") int p(void *c) { return 0; }', "no section that libbpf knows"),
    "undefined": (
        'extern int elsewhere(int x);\nSEC("tc") int p(struct __sk_buff *c) { return elsewhere(c->len); }',
        "elsewhere is declared, but not defined",
    ),
    "kconfig": (
        'extern _Bool CONFIG_NO_SUCH_OPTION __kconfig;\nSEC("tc") int p(void *c) { return '
        "CONFIG_NO_SUCH_OPTION; }",
        "no CONFIG_NO_SUCH_OPTION",
    ),
    "static_map": (
        "static struct { __uint(type, 1); __type(key, int); __type(value, int); __uint(max_entries, 4); } "
        "hidden "
        'SEC(".maps");\nSEC("tc") int p(void *c) { int k = 1; return bpf_map_lookup_elem(&hidden, &k) != '
        "0; }",
        "hidden is static",
    ),
}


@pytest.mark.parametrize("name", NOT_ASKED)
def test_what_libbpf_stops_is_not_asked_and_says_why(name: str, tmp_path: Path) -> None:
    body, cause = NOT_ASKED[name]
    one = only(tmp_path, f"{PRELUDE}{body}\n{LICENCE}")
    assert one.verdict == "not asked"
    assert cause in one.explained.cause
    assert one.explained.fix
    assert one.reason


# --- what the loader sets ---------------------------------------------------------------------------


def test_entries_that_the_loader_sets(tmp_path: Path) -> None:
    text = f"""{PRELUDE}
struct {{ __uint(type, BPF_MAP_TYPE_HASH); __type(key, __u32); __type(value, __u64); }} later SEC(".maps");
SEC("tc") int p(void *c) {{ __u32 k = 1; return bpf_map_lookup_elem(&later, &k) != 0; }}
{LICENCE}"""
    one = only(tmp_path, text)
    assert one.verdict == "accepted"
    assert one.fixups == ("map 'later': max_entries is 0, which its loader sets; checked with 1",)


def test_a_ring_of_another_size_than_asked_for(tmp_path: Path) -> None:
    text = f"""{PRELUDE}
struct {{ __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 10000); }} odd SEC(".maps");
SEC("tc") int p(void *c) {{ __u32 k = 1; return bpf_ringbuf_output(&odd, &k, 4, 0); }}
{LICENCE}"""
    one = only(tmp_path, text)
    assert one.verdict == "accepted"
    assert "power of two" in one.fixups[0]


def test_a_map_of_maps_without_a_pattern(tmp_path: Path) -> None:
    text = f"""{PRELUDE}
struct {{ __uint(type, BPF_MAP_TYPE_HASH_OF_MAPS); __uint(max_entries, 4); __uint(key_size, 4);
         __uint(value_size, 4); }} outer SEC(".maps");
SEC("tc") int p(void *c) {{
    __u32 k = 1;
    void *inner = bpf_map_lookup_elem(&outer, &k);
    return inner && bpf_map_lookup_elem(inner, &k);
}}
{LICENCE}"""
    one = only(tmp_path, text)
    assert one.verdict == "accepted"
    assert "no inner map is defined" in one.fixups[0]


def test_programs_that_an_array_starts_with(tmp_path: Path) -> None:
    text = f"""{PRELUDE}
SEC("tc") int second(struct __sk_buff *c) {{ return 2; }}
struct {{ __uint(type, BPF_MAP_TYPE_PROG_ARRAY); __uint(max_entries, 2); __type(key, __u32);
         __array(values, int (struct __sk_buff *)); }} table SEC(".maps") = {{
             .values = {{ [1] = second }} }};
SEC("tc") int first(struct __sk_buff *skb) {{ bpf_tail_call(skb, &table, 1); return 0; }}
{LICENCE}"""
    found = {one.name: one for one in asked(tmp_path, text).programs}
    assert {one.verdict for one in found.values()} == {"accepted"}
    assert "second" in found["first"].fixups[0]


# --- exit codes and rights --------------------------------------------------------------------------


def ran(path: Path, *arguments: str, before: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    tui = [*before, sys.executable, "-m", "tui.cli.main", "verify", str(path), *arguments]
    return subprocess.run(tui, cwd=ROOT, capture_output=True, text=True, check=False)


def test_rejected_is_1_although_another_is_not_permitted(tmp_path: Path) -> None:
    """A socket filter needs CAP_BPF alone; an xdp program needs CAP_NET_ADMIN, which is named."""
    if not shutil.which("setpriv"):
        pytest.skip("no setpriv here")
    body = """
SEC("xdp") int dropped(struct xdp_md *ctx) { return 1; }
SEC("socket") int refused(struct __sk_buff *skb) { return bpf_redirect(1, 0); }
"""
    made = compiled(tmp_path, PRELUDE + body + LICENCE)
    lacks = ("setpriv", "--bounding-set", "-net_admin,-sys_admin")
    run = ran(made, "--json", before=lacks)
    programs = {one["name"]: one for one in json.loads(run.stdout)["programs"]}
    assert programs["dropped"]["verdict"] == "not asked"
    assert "needs CAP_NET_ADMIN" in programs["dropped"]["cause"]
    assert programs["refused"]["verdict"] == "rejected"
    assert run.returncode == 1


def test_the_text_says_what_the_json_says(tmp_path: Path) -> None:
    made = compiled(tmp_path, source("null"))
    run = ran(made)
    assert run.returncode == 1
    assert run.stdout.startswith("REJECTED  null")
    assert "why: a map lookup returns NULL" in run.stdout
    assert "fix: check the result" in run.stdout
    (one,) = json.loads(ran(made, "--json").stdout)["programs"]
    assert one["cause"].startswith("a map lookup returns NULL")
    assert [set(at) for at in one["trace"]] == [{"file", "line", "what"}] * len(one["trace"])
    assert one["accepted"] is False
