// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* The facts of a task: who and what it is, and its executable. */
#ifndef FACTS_H
#define FACTS_H

#include "cgroups.h"
#include "paths.h"
#include "pids.h"

static __always_inline u64 mtime_of(struct inode *inode)
{
	struct inode___6_11 *split = (void *)inode;
	struct inode___6_7 *renamed = (void *)inode;

	if (bpf_core_field_exists(split->i_mtime_sec))
		return BPF_CORE_READ(split, i_mtime_sec) * 1000000000ULL +
		       BPF_CORE_READ(split, i_mtime_nsec);
	if (bpf_core_field_exists(renamed->__i_mtime))
		return BPF_CORE_READ(renamed, __i_mtime.tv_sec) * 1000000000ULL +
		       BPF_CORE_READ(renamed, __i_mtime.tv_nsec);
	return BPF_CORE_READ(inode, i_mtime.tv_sec) * 1000000000ULL +
	       BPF_CORE_READ(inode, i_mtime.tv_nsec);
}

static __always_inline u64 rss_of(struct mm_struct *mm)
{
	struct mm_struct___6_1 *older = (void *)mm;
	s64 pages;

	if (!mm)
		return 0;
	/* File, anonymous and shared pages; index 2 is what was swapped out. */
	if (bpf_core_field_exists(older->rss_stat.count))
		pages = BPF_CORE_READ(older, rss_stat.count[0].counter) +
			BPF_CORE_READ(older, rss_stat.count[1].counter) +
			BPF_CORE_READ(older, rss_stat.count[3].counter);
	else
		pages = BPF_CORE_READ(mm, rss_stat[0].count) + BPF_CORE_READ(mm, rss_stat[1].count) +
			BPF_CORE_READ(mm, rss_stat[3].count);
	return pages > 0 ? pages : 0;
}

/* Whether who wants to read the memory map has to wait: it is being changed, or somebody waits to do so.
 * A real-time kernel does not say. */
static __always_inline bool is_locked(struct mm_struct *mm)
{
	if (!bpf_core_field_exists(mm->mmap_lock.count))
		return false;
	return BPF_CORE_READ(mm, mmap_lock.count.counter) & (RWSEM_WRITER_LOCKED | RWSEM_FLAG_WAITERS);
}

static __always_inline u32 state_of(struct task_struct *task)
{
	struct task_struct___5_13 *older = (void *)task;
	u32 state;

	if (bpf_core_field_exists(older->state))
		state = BPF_CORE_READ(older, state);
	else
		state = BPF_CORE_READ(task, __state);
	return state | BPF_CORE_READ(task, exit_state);
}

static __always_inline u32 login_of(struct task_struct *task)
{
	if (bpf_core_field_exists(task->loginuid)) /* CONFIG_AUDIT */
		return BPF_CORE_READ(task, loginuid.val);
	return -1;
}

/* Who a task is, as /proc says it: `cred` is another one while it works for somebody else, as access(2)
 * and overlayfs do. */
static __always_inline const struct cred *cred_of(struct task_struct *task)
{
	return BPF_CORE_READ(task, real_cred);
}

/* Which set of credentials that is: the kernel makes a new one with every change. */
static __always_inline u32 rights_of(const struct cred *cred)
{
	return (u64)cred >> 6;
}

/* As wait(2) tells it. A first thread that ended before the others has left a code of its own. */
static __always_inline u32 exit_code_of(struct task_struct *leader, struct signal_struct *signal)
{
	if (BPF_CORE_READ(signal, flags) & SIGNAL_GROUP_EXIT)
		return BPF_CORE_READ(signal, group_exit_code);
	return BPF_CORE_READ(leader, exit_code);
}

/* The pid of a task in its own, innermost pid namespace, and that namespace. */
static __always_inline void fill_pid_namespace(struct facts *f, struct task_struct *task)
{
	struct pid *pid = BPF_CORE_READ(task, thread_pid);
	u32 level = BPF_CORE_READ(pid, level);
	struct upid *numbers = (void *)pid + bpf_core_field_offset(struct pid, numbers);
	u64 step = bpf_core_type_size(struct upid);
	struct upid *own = (void *)numbers + (level > MAX_PID_LEVEL ? 0 : level) * step;

	f->pid_ns = BPF_CORE_READ(own, ns, ns.inum);
	f->inner_pid = BPF_CORE_READ(own, nr);
}

/* Fill in what is known without following the image: everything but exe, cgroup and argv. */
__noinline int fill_facts(u32 kind, u32 owner)
{
	struct scratch *s = scratch_of(owner);
	struct task_struct *task, *leader, *parent;
	struct signal_struct *signal;
	struct tty_struct *tty;
	const struct cred *cred;
	struct facts *f;

	if (!s)
		return 0;
	task = (void *)s->task;
	leader = BPF_CORE_READ(task, group_leader);
	parent = BPF_CORE_READ(task, real_parent);
	cred = cred_of(task);
	signal = BPF_CORE_READ(task, signal);
	tty = BPF_CORE_READ(signal, tty);
	f = &s->facts;
	__builtin_memset(f, 0, sizeof(*f));
	f->kind = kind;
	f->ts_ns = bpf_ktime_get_boot_ns();
	f->pid = pid_of(task);
	f->start_ns = BPF_CORE_READ(leader, start_boottime);
	f->exec_id = BPF_CORE_READ(task, self_exec_id);
	f->ppid = pid_of(parent);
	f->parent_start_ns = BPF_CORE_READ(parent, group_leader, start_boottime);
	f->uid = BPF_CORE_READ(cred, uid.val);
	f->gid = BPF_CORE_READ(cred, gid.val);
	f->euid = BPF_CORE_READ(cred, euid.val);
	f->egid = BPF_CORE_READ(cred, egid.val);
	f->fsuid = BPF_CORE_READ(cred, fsuid.val);
	f->fsgid = BPF_CORE_READ(cred, fsgid.val);
	/* Eight bytes whatever the kernel calls what is inside. */
	bpf_probe_read_kernel(&f->cap_effective, sizeof(u64), &cred->cap_effective);
	bpf_probe_read_kernel(&f->cap_permitted, sizeof(u64), &cred->cap_permitted);
	f->login_uid = login_of(task);
	fill_pid_namespace(f, leader);
	f->mnt_ns = BPF_CORE_READ(task, nsproxy, mnt_ns, ns.inum);
	f->threads = BPF_CORE_READ(signal, nr_threads);
	f->state = state_of(leader);
	f->cpu_ns = BPF_CORE_READ(signal, sum_sched_runtime) + BPF_CORE_READ(leader, se.sum_exec_runtime);
	if (BPF_CORE_READ(task, flags) & PF_KTHREAD)
		f->flags |= KTHREAD;
	bpf_probe_read_kernel_str(f->comm, sizeof(f->comm), &leader->comm);
	if (tty)
		bpf_probe_read_kernel_str(f->tty, sizeof(f->tty), &tty->name);
	return 0;
}

/* Fill in the executable and append its names. Without an image nothing is filled in. */
__noinline int put_image(u32 owner)
{
	struct scratch *s = scratch_of(owner);
	struct task_struct *task;
	struct mm_struct *mm;
	struct inode *inode;
	struct file *file;
	struct facts *f;

	if (!s)
		return 0;
	task = (void *)s->task;
	mm = BPF_CORE_READ(task, mm);
	if (!mm)
		return 0;
	f = &s->facts;
	f->rss_pages = rss_of(mm);
	f->args_size = BPF_CORE_READ(mm, arg_end) - BPF_CORE_READ(mm, arg_start);
	file = BPF_CORE_READ(mm, exe_file);
	if (!file)
		return 0;
	inode = BPF_CORE_READ(file, f_inode);
	f->inode = BPF_CORE_READ(inode, i_ino);
	f->device = BPF_CORE_READ(inode, i_sb, s_dev);
	f->mode = BPF_CORE_READ(inode, i_mode);
	f->mtime_ns = mtime_of(inode);
	put_path(owner);
	f->exe_len = s->used;
	return 0;
}

/* Append the path of the script when the image is the interpreter of one. */
static __always_inline void put_script(struct scratch *s, struct linux_binprm *bprm)
{
	const char *filename = BPF_CORE_READ(bprm, filename);
	u64 at = s->used;
	long size;

	if (filename == BPF_CORE_READ(bprm, interp) || at > CGROUPS_END)
		return;
	BOUND_NAMES(at);
	size = bpf_probe_read_kernel_str(s->tail + at, SCRIPT_SPACE, filename);
	if (size <= 0)
		return;
	s->facts.script_len = size;
	s->used = at + size;
}

#endif
