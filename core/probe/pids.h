// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Pids, as the /proc of the reader has them. */
#ifndef PIDS_H
#define PIDS_H

#include "scratch.h"

/* The number of a struct pid in the reader's pid namespace, 0 when it has none there. */
__noinline u32 pid_in_namespace(u64 address)
{
	struct pid *pid = (void *)address;
	struct upid *number = (void *)pid + bpf_core_field_offset(struct pid, numbers);
	u64 step = bpf_core_type_size(struct upid);
	u32 level = BPF_CORE_READ(pid, level), i;

	for (i = 0; i <= MAX_PID_LEVEL; i++) {
		if (i > level)
			break;
		if (BPF_CORE_READ(number, ns, ns.inum) == pid_namespace)
			return BPF_CORE_READ(number, nr);
		number = (void *)number + step;
	}
	return 0;
}

/* The pid of a task's process, which is in the process table still: so not when a task is freed. */
static __always_inline u32 pid_of(struct task_struct *task)
{
	struct task_struct *leader = BPF_CORE_READ(task, group_leader);

	if (!pid_namespace)
		return BPF_CORE_READ(leader, tgid);
	return pid_in_namespace((u64)BPF_CORE_READ(leader, thread_pid));
}

/* True when an entry of pid_cache is about the process that started then. /proc knows start times
 * only in ticks of 10 ms and no generation; what user space pushed from there has such a time. */
static __always_inline bool is_of(struct pid_entry *known, u64 start_ns)
{
	return known->start_ns == start_ns ||
	       (!known->exec_id && start_ns - known->start_ns < 10000000);
}

#endif
