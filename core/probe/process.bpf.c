// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * The kernel tier: what processes do, as records in a ring buffer, and what they are, in maps.
 *
 * Identity is (tgid, start_boottime) and self_exec_id, in the maps too. A process ends when its
 * last thread does, whichever thread that is, and is gone when its parent has reaped it.
 * Only tracepoints with BTF and task iterators are used: no tracefs, no kprobes, no pt_regs, so one
 * object serves every little-endian architecture.
 */
#include "kernel_types.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "record.h"

#include "scratch.h"
#include "pids.h"
#include "paths.h"
#include "cgroups.h"
#include "facts.h"
#include "store.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* ---- events ---------------------------------------------------------------------------------- */

SEC("tp_btf/sched_process_fork")
int BPF_PROG(on_fork, struct task_struct *parent, struct task_struct *child)
{
	u32 creator = pid_of(parent);
	struct pid_entry *maker;
	struct proc_entry *image;
	struct scratch *s;

	if (BPF_CORE_READ(child, pid) != BPF_CORE_READ(child, tgid))
		return 0; /* a thread */
	s = scratch_for(OF_EVENT, child);
	if (!s)
		return 0;
	fill_facts(FORK, OF_EVENT);
	if (!s->facts.pid)
		return 0;
	s->facts.creator = creator;
	put_cgroups(OF_EVENT);
	if (!(s->facts.flags & KTHREAD)) {
		maker = bpf_map_lookup_elem(&pid_cache, &creator);
		if (maker)
			s->facts.cookie = maker->cookie;
		image = bpf_map_lookup_elem(&proc_cache, &s->facts.cookie);
		if (image)
			s->facts.previous_inode = image->inode;
		store_process(s->facts.ts_ns, BPF_ANY, OF_EVENT);
	}
	send(s, s->used);
	return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_exec, struct task_struct *task, s32 old_pid, struct linux_binprm *bprm)
{
	struct scratch *s = scratch_for(OF_EVENT, task);
	struct mm_struct *mm = BPF_CORE_READ(task, mm);
	struct pid_entry *known;
	struct proc_entry *image;
	u64 at, size, start, fork_ns = 0;

	if (!s)
		return 0;
	fill_facts(EXEC, OF_EVENT);
	if (!s->facts.pid)
		return 0;
	known = bpf_map_lookup_elem(&pid_cache, &s->facts.pid);
	if (known && is_of(known, s->facts.start_ns)) {
		fork_ns = known->fork_ns;
		image = bpf_map_lookup_elem(&proc_cache, &known->cookie);
		if (image)
			s->facts.previous_inode = image->inode;
	}
	s->facts.cookie = new_cookie();
	put_image(OF_EVENT);
	put_cgroups(OF_EVENT);
	put_script(s, bprm);
	size = s->facts.args_size;
	if (size > ARGS_SPACE) {
		size = ARGS_SPACE;
		s->facts.flags |= ARGS_PARTIAL;
	}
	start = BPF_CORE_READ(mm, arg_start);
	at = s->used;
	if (at >= NAMES_SPACE)
		return 0;
	BOUND_NAMES(at);
	BOUND(size, 2 * ARGS_SPACE - 1);
	/* The pages of argv have just been written, so they are there to be read without sleeping. */
	if (bpf_probe_read_user(s->tail + at, size, (void *)start)) {
		s->facts.flags |= ARGS_PARTIAL;
		size = 0;
	}
	s->facts.args_len = size;
	store_image(s->facts.ts_ns, OF_EVENT);
	store_process(fork_ns, BPF_ANY, OF_EVENT);
	send(s, at + size);
	return 0;
}

static __always_inline void end(struct task_struct *task, u32 kind)
{
	struct scratch *s = scratch_of(OF_EVENT);
	struct task_struct *leader = BPF_CORE_READ(task, group_leader);
	struct signal_struct *signal = BPF_CORE_READ(task, signal);
	struct pid_entry *known;
	struct facts *f;

	if (!s)
		return;
	f = &s->facts;
	__builtin_memset(f, 0, sizeof(*f));
	f->kind = kind;
	f->ts_ns = bpf_ktime_get_boot_ns();
	f->pid = pid_of(task);
	if (!f->pid)
		return;
	f->start_ns = BPF_CORE_READ(leader, start_boottime);
	f->exec_id = BPF_CORE_READ(leader, self_exec_id);
	f->exit_code = exit_code_of(leader, signal);
	if (BPF_CORE_READ(task, flags) & PF_KTHREAD)
		f->flags |= KTHREAD;
	known = bpf_map_lookup_elem(&pid_cache, &f->pid);
	/* Whoever is there ends now or has ended before: its pid was ours until this moment. */
	if (known && !known->exit_ns)
		known->exit_ns = f->ts_ns;
	send(s, 0);
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(on_exit, struct task_struct *task)
{
	/* Whichever thread comes last: a filter for the first thread loses 59 of 60 mass exits. Two
	 * that end at the same moment may both see 0; the second record changes nothing. */
	if (BPF_CORE_READ(task, signal, live.counter) == 0)
		end(task, EXIT);
	return 0;
}

SEC("tp_btf/sched_process_free")
int BPF_PROG(on_reaped, struct task_struct *task)
{
	struct facts *f;

	if (BPF_CORE_READ(task, pid) != BPF_CORE_READ(task, tgid))
		return 0;
	f = bpf_ringbuf_reserve(&events, sizeof(*f), 0);
	if (!f) {
		count_lost();
		return 0;
	}
	__builtin_memset(f, 0, sizeof(*f));
	f->kind = REAPED;
	f->ts_ns = bpf_ktime_get_boot_ns();
	f->pid = BPF_CORE_READ(task, tgid);
	f->start_ns = BPF_CORE_READ(task, start_boottime);
	bpf_ringbuf_submit(f, 0);
	return 0;
}

SEC("tp_btf/cgroup_attach_task")
int BPF_PROG(on_cgroup, struct cgroup *to, const char *path, struct task_struct *task, bool group)
{
	struct pid_entry *known;
	struct scratch *s;

	if (!group && BPF_CORE_READ(task, pid) != BPF_CORE_READ(task, tgid))
		return 0;
	s = scratch_for(OF_EVENT, task);
	if (!s)
		return 0;
	fill_facts(CGROUP, OF_EVENT);
	if (!s->facts.pid)
		return 0;
	put_cgroups(OF_EVENT);
	known = bpf_map_lookup_elem(&pid_cache, &s->facts.pid);
	if (known && is_of(known, s->facts.start_ns))
		known->cgroups = s->facts.cgroups;
	send(s, s->used);
	return 0;
}

/* ---- iterators ------------------------------------------------------------------------------- */

/* Put a running process into the maps unless they know this image of it already. */
static __always_inline void remember(struct scratch *s)
{
	struct facts *f = &s->facts;
	struct pid_entry *known = bpf_map_lookup_elem(&pid_cache, &f->pid);
	struct task_struct *task = (void *)s->task;

	if (f->flags & (KTHREAD | ZOMBIE)) /* who has ended is no answer */
		return;
	if (known && known->start_ns == f->start_ns && known->exec_id >= f->exec_id) {
		known->ppid = f->ppid;
		known->parent_start_ns = f->parent_start_ns;
		if (!known->cookie) /* forked by a process that the maps did not know yet */
			known->cookie = new_cookie();
		f->cookie = known->cookie;
		if (bpf_map_lookup_elem(&proc_cache, &f->cookie))
			return;
		store_image(f->start_ns, OF_ITERATOR);
		return;
	}
	f->cookie = new_cookie();
	store_image(f->start_ns, OF_ITERATOR);
	/* An exec that happens right now wins: it is newer than what was read here. */
	store_process(f->start_ns, known ? BPF_ANY : BPF_NOEXIST, OF_ITERATOR);
	/* If it ended before that, its exit has found nothing to mark. */
	if (BPF_CORE_READ(task, signal, live.counter))
		return;
	known = bpf_map_lookup_elem(&pid_cache, &f->pid);
	if (known && known->start_ns == f->start_ns && !known->exit_ns)
		known->exit_ns = bpf_ktime_get_boot_ns();
}

/*
 * argv is not here: to read another process's memory a program has to sleep, and a page of a file system
 * in user space may never come. A program that sleeps for ever keeps all eBPF of the host from being
 * freed. User space reads argv from /proc, which touches no page of a file.
 */
SEC("iter/task")
int snapshot(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct scratch *s;
	u64 size;

	if (!task || task->pid != task->tgid)
		return 0;
	s = scratch_for(OF_ITERATOR, task);
	if (!s)
		return 0;
	fill_facts(FOUND, OF_ITERATOR);
	if (!s->facts.pid)
		return 0;
	if (BPF_CORE_READ(task, exit_state))
		s->facts.flags |= ZOMBIE;
	put_image(OF_ITERATOR);
	put_cgroups(OF_ITERATOR);
	if (s->facts.args_size) {
		s->facts.flags |= ARGS_PARTIAL;
		if (is_locked(BPF_CORE_READ(task, mm)))
			s->facts.flags |= ARGS_LOCKED;
	}
	remember(s);
	size = s->used;
	if (size < NAMES_SPACE) {
		BOUND_NAMES(size);
		bpf_seq_write(ctx->meta->seq, s, sizeof(s->facts) + size);
	}
	return 0;
}

/* Which image each process runs that has an argv: whose it is that user space has read just before. */
SEC("iter/task")
int identify(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct identity identity = {};
	struct mm_struct *mm;

	if (!task || task->pid != task->tgid)
		return 0;
	mm = BPF_CORE_READ(task, mm);
	if (!mm)
		return 0;
	identity.args_size = BPF_CORE_READ(mm, arg_end) - BPF_CORE_READ(mm, arg_start);
	identity.pid = pid_of(task);
	identity.start_ns = BPF_CORE_READ(task, start_boottime);
	identity.exec_id = BPF_CORE_READ(task, self_exec_id);
	bpf_seq_write(ctx->meta->seq, &identity, sizeof(identity));
	return 0;
}

/* What commit_creds has changed since the process was stored: setuid, setfsuid, capset. */
static __always_inline void take_rights(struct pid_entry *known, const struct cred *cred)
{
	known->rights = rights_of(cred);
	known->uid = BPF_CORE_READ(cred, uid.val);
	known->gid = BPF_CORE_READ(cred, gid.val);
	known->euid = BPF_CORE_READ(cred, euid.val);
	known->egid = BPF_CORE_READ(cred, egid.val);
	known->fsuid = BPF_CORE_READ(cred, fsuid.val);
	known->fsgid = BPF_CORE_READ(cred, fsgid.val);
	bpf_probe_read_kernel(&known->cap_effective, sizeof(u64), &cred->cap_effective);
	bpf_probe_read_kernel(&known->cap_permitted, sizeof(u64), &cred->cap_permitted);
}

SEC("iter/task")
int sweep(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task, *parent;
	struct signal_struct *signal;
	const struct cred *cred;
	struct pid_entry *known;
	struct sample sample = {};

	if (!task)
		return 0;
	sample.pid = pid_of(task);
	if (!sample.pid)
		return 0;
	sample.leads = task->pid == task->tgid;
	sample.cpu_ns = BPF_CORE_READ(task, se.sum_exec_runtime);
	sample.state = state_of(task);
	if (sample.leads) {
		parent = BPF_CORE_READ(task, real_parent);
		signal = BPF_CORE_READ(task, signal);
		sample.start_ns = BPF_CORE_READ(task, start_boottime);
		sample.ppid = pid_of(parent);
		sample.exec_id = BPF_CORE_READ(task, self_exec_id);
		cred = cred_of(task);
		sample.uid = BPF_CORE_READ(cred, euid.val);
		sample.threads = BPF_CORE_READ(signal, nr_threads);
		sample.cpu_ns += BPF_CORE_READ(signal, sum_sched_runtime);
		sample.rss_pages = rss_of(BPF_CORE_READ(task, mm));
		if (BPF_CORE_READ(task, flags) & PF_KTHREAD)
			sample.flags |= KTHREAD;
		bpf_probe_read_kernel_str(sample.comm, sizeof(sample.comm), &task->comm);
		/* No event tells of a new parent, name or right. Done here and not by user space, whose
		 * write could overtake an exec and bring back the image before it. */
		known = bpf_map_lookup_elem(&pid_cache, &sample.pid);
		if (known && is_of(known, sample.start_ns)) {
			if (known->ppid != sample.ppid) {
				known->ppid = sample.ppid;
				known->parent_start_ns =
					BPF_CORE_READ(parent, group_leader, start_boottime);
			}
			if (known->rights != rights_of(cred)) {
				take_rights(known, cred);
				sample.flags |= NEW_RIGHTS;
			}
			__builtin_memcpy(known->comm, sample.comm, sizeof(known->comm));
		}
	}
	bpf_seq_write(ctx->meta->seq, &sample, sizeof(sample));
	return 0;
}

u32 counted; /* by the run of `fill` that goes on: the probe has one reader */

/* How many entries a map has. Walking it here neither copies them nor marks them as used. */
SEC("iter/bpf_map_elem")
int fill(struct bpf_iter__bpf_map_elem *ctx)
{
	if (!ctx->meta->seq_num)
		counted = 0;
	if (ctx->key) {
		counted++;
		return 0;
	}
	bpf_seq_write(ctx->meta->seq, &counted, sizeof(counted));
	return 0;
}
