"""What the tests of builds share: small eBPF programs that compile, and a look at processes."""

from __future__ import annotations

from pathlib import Path

CO_RE = """
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "value.h"
SEC("raw_tp/sched_process_exec") int on_exec(void *ctx) { return VALUE; }
char LICENSE[] SEC("license") = "GPL";
"""

PREBUILT = """
#include <linux/sched.h>
#include <uapi/linux/bpf.h>
#include <bpf/bpf_helpers.h>
SEC("kprobe/do_exit") int on_exit(struct pt_regs *ctx)
{
    struct task_struct *task = (void *)bpf_get_current_task();
    int pid = 0;
    bpf_probe_read(&pid, sizeof(pid), &task->tgid);
    return pid;
}
char LICENSE[] SEC("license") = "GPL";
"""

EMBEDDED_BY_TAG = """
struct inner { int second; };
union either { int number; char letter; };
struct outer { int first; struct inner; union either; struct { int third; }; };
"""
"""As types of Linux 6.19 and newer are: `second`, `number` and `third` are fields of struct outer."""


def is_running(pid: str | int) -> bool:
    """Return whether a process is there; one that has ended and waits for its parent is not."""
    try:
        return Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
