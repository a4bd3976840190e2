"""Small eBPF programs that compile: one CO-RE, one against kernel headers."""

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
