"""Programs that the verifier takes or refuses, each with what it says; compiled by the real clang."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

PRELUDE = """
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
struct task_struct { int pid; int never_there; } __attribute__((preserve_access_index));
struct { __uint(type, BPF_MAP_TYPE_HASH); __type(key, int); __type(value, long);
         __uint(max_entries, 8); } counts SEC(".maps");
"""


@dataclass(frozen=True)
class Case:
    """`says` is in the reason of a rejected program (None: accepted), `at` on the refused source line."""

    body: str
    says: str | None = None
    at: str = ""


CASES = {
    "good": Case('SEC("raw_tp/sched_process_exec") int good(void *ctx) { return 0; }'),
    "looks_up": Case(
        """SEC("raw_tp/sched_process_exec") int looks_up(void *ctx) {
    int key = 1;
    long *value = bpf_map_lookup_elem(&counts, &key);
    return value ? *value : 0;
}"""
    ),
    "no_null_check": Case(
        """SEC("raw_tp/sched_process_exec") int no_null_check(void *ctx) {
    int key = 1;
    long *value = bpf_map_lookup_elem(&counts, &key);
    return *value;
}""",
        "R0 invalid mem access 'map_value_or_null'",
        "return *value;",
    ),
    "beyond_the_value": Case(
        """SEC("raw_tp/sched_process_exec") int beyond_the_value(void *ctx) {
    int key = 1;
    long *value = bpf_map_lookup_elem(&counts, &key);
    if (!value) return 0;
    return value[1];
}""",
        "invalid access to map value, value_size=8 off=8 size=8",
        "return value[1];",
    ),
    "in_a_subprogram": Case(
        """static __noinline int deep(long *value) {
    return *(value + 0x1000);
}
SEC("raw_tp/sched_process_exec") int in_a_subprogram(void *ctx) {
    int key = 1;
    long *value = bpf_map_lookup_elem(&counts, &key);
    return value ? deep(value) : 0;
}""",
        "invalid access to map value, value_size=8 off=32768 size=8",
        "return *(value + 0x1000);",
    ),
    "never_ends": Case(
        """SEC("raw_tp/sched_process_exec") int never_ends(void *ctx) {
    volatile int turn = 0;
    while (turn < 10) turn = 0;
    return turn;
}""",
        "infinite loop detected",
        "while (turn < 10)",
    ),
    "missing_field": Case(
        """SEC("raw_tp/sched_process_exec") int missing_field(void *ctx) {
    struct task_struct *task = (void *)bpf_get_current_task();
    int found = 0;
    bpf_core_read(&found, sizeof(found), &task->never_there);
    return found;
}""",
        "no struct task_struct.never_there: a CO-RE relocation (byte_off)",
        "bpf_core_read(",
    ),
    "not_loaded_unasked": Case(
        """SEC("?raw_tp/sched_process_exec") int not_loaded_unasked(void *ctx) {
    struct task_struct *task = (void *)bpf_get_current_task();
    int found = 0;
    bpf_core_read(&found, sizeof(found), &task->never_there);
    return found;
}""",
        "no struct task_struct.never_there: a CO-RE relocation (byte_off)",
        "bpf_core_read(",
    ),
    "missing_in_a_subprogram": Case(
        """static __noinline int reads(struct task_struct *task) {
    int found = 0;
    bpf_core_read(&found, sizeof(found), &task->never_there);
    return found;
}
SEC("raw_tp/sched_process_exec") int missing_in_a_subprogram(void *ctx) {
    return reads((void *)bpf_get_current_task());
}""",
        "no struct task_struct.never_there: a CO-RE relocation (byte_off)",
    ),
    "guarded_field": Case(
        """SEC("raw_tp/sched_process_exec") int guarded_field(void *ctx) {
    struct task_struct *task = (void *)bpf_get_current_task();
    int found = 0;
    if (bpf_core_field_exists(task->never_there))
        bpf_core_read(&found, sizeof(found), &task->never_there);
    return found;
}"""
    ),
    "no_such_hook": Case(
        'SEC("fentry/no_such_function_here") int no_such_hook(void *ctx) { return 0; }',
        "no_such_function_here",
    ),
}


def source(*names: str, licence: str = "GPL") -> str:
    bodies = "\n".join(CASES[name].body for name in names)
    return f'{PRELUDE}{bodies}\nchar LICENSE[] SEC("license") = "{licence}";\n'


def compiled(directory: Path, text: str, name: str = "programs") -> Path:
    """Return the object that clang makes of `text`, with BTF and lines."""
    made, written = directory / f"{name}.o", directory / f"{name}.bpf.c"
    written.write_text(text)
    multiarch = "/usr/include/x86_64-linux-gnu"
    subprocess.run(
        ["clang", "-target", "bpf", "-g", "-O2", "-idirafter", multiarch, "-c", written, "-o", made],
        check=True,
    )
    return made
