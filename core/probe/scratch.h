// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* The maps, the scratch in which a record is made, and the ring buffer that it is sent through. */
#ifndef SCRATCH_H
#define SCRATCH_H

#include "record.h"

#define PF_KTHREAD 0x00200000
#define SIGNAL_GROUP_EXIT 4
#define RWSEM_WRITER_LOCKED 1 /* kernel/locking/rwsem.c */
#define RWSEM_FLAG_WAITERS 2
#define NAME_SIZE 256
#define EXE_SPACE 4096     /* names of the executable beyond it are cut off */
#define CGROUPS_END 12288  /* names of the cgroups beyond it are cut off */
#define SCRIPT_SPACE 4096
#define NAMES_SPACE 16384  /* all of these: a power of two, and never full */
#define ARGS_SPACE 8192
#define MAX_NAMES 48
#define MAX_CGROUP_LEVELS 128
#define MAX_HIERARCHIES 16 /* cgroup v2, one for each controller, and named ones */
#define MAX_PID_LEVEL 32   /* the kernel's MAX_PID_NS_LEVEL; the first namespace is level 0 */

/* Read before loading. */
const volatile u32 layout = LAYOUT;
/* Set before loading: the pid namespace of the /proc that pids are compared with. 0: the first one. */
const volatile u32 pid_namespace = 0;
/* Set before loading, to a random number: no user can choose cgroups with the key of others. */
const volatile u64 key_seed = 0;

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4 * 1024 * 1024);
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, u32);
	__type(value, struct pid_entry);
} pid_cache SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, u64);
	__type(value, struct proc_entry);
} proc_cache SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 2048);
	__type(key, u64);
	__type(value, struct cgroup_set);
} cgroup_sets SEC(".maps");

/* Records that found no room in the ring buffer, per CPU. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u64);
} lost SEC(".maps");

/*
 * Where records are put together: facts, then names, then argv. Bigger than a BPF stack. One per CPU
 * is enough, because tracepoints do not sleep and are not preempted; but on_reaped, which also runs in
 * softirqs and so in the middle of another program, has to do without.
 */
struct scratch {
	struct facts facts;
	char tail[NAMES_SPACE + ARGS_SPACE];
	u64 task;
	/* Bytes of names in the tail. Kept here and not in a register: the verifier then forgets which
	 * values are possible, and checks a loop over names once and not once for every length. */
	u64 used;
	struct pid_entry pid_entry;
	struct proc_entry proc_entry;
	struct cgroup_set cgroup_set;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct scratch);
} event_scratch SEC(".maps");

/* An iterator can be preempted and moved; it has one scratch of its own, for one reader. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct scratch);
} found_scratch SEC(".maps");

/*
 * Work that many programs share is in global functions: the verifier checks such a function once
 * and not at every call, which keeps each program far below its limit of a million steps. Such a
 * function takes numbers only: it finds its scratch by its owner, and in it the task as a plain
 * address, through which it only ever reads.
 */
enum owner { OF_EVENT, OF_ITERATOR };

static __always_inline struct scratch *scratch_of(u32 owner)
{
	u32 zero = 0;

	if (owner == OF_ITERATOR)
		return bpf_map_lookup_elem(&found_scratch, &zero);
	return bpf_map_lookup_elem(&event_scratch, &zero);
}

/* The scratch, set to work on a task. */
static __always_inline struct scratch *scratch_for(u32 owner, struct task_struct *task)
{
	struct scratch *s = scratch_of(owner);

	if (s) {
		s->task = (u64)task;
		s->used = 0;
	}
	return s;
}

/* Keeps a bound that the compiler would otherwise prove once and forget in another register. */
#define BOUND(value, mask) asm volatile("%0 &= %1" : "+r"(value) : "i"(mask))

static __always_inline void count_lost(void)
{
	u32 zero = 0;
	u64 *count = bpf_map_lookup_elem(&lost, &zero);

	if (count)
		__sync_fetch_and_add(count, 1); /* a softirq may count on the same CPU */
}

/* Offsets into the tail. What is appended is checked before, so a mask never changes one of them. */
#define BOUND_NAMES(at) BOUND(at, NAMES_SPACE - 1)

static __always_inline void send(struct scratch *s, u64 tail)
{
	BOUND(tail, 0x7fff);
	if (tail > sizeof(s->tail))
		return;
	if (bpf_ringbuf_output(&events, s, sizeof(s->facts) + tail, 0))
		count_lost();
}

#endif
