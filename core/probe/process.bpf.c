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

char LICENSE[] SEC("license") = "Dual BSD/GPL";

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

/* ---- pids, as the /proc of the reader has them ------------------------------------------------- */

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

/* ---- names: of the executable, of the cgroup ------------------------------------------------ */

/* Append one name, NUL included, to the tail. False when it could reach beyond `end`. */
static __always_inline bool put_name(struct scratch *s, const void *name, u64 end)
{
	u64 at = s->used;
	long size;

	if (at > end - NAME_SIZE)
		return false;
	BOUND_NAMES(at);
	size = bpf_probe_read_kernel_str(s->tail + at, NAME_SIZE, name);
	if (size > 0)
		s->used = at + size;
	return true;
}

/* Append the names of the executable's path, leaf first; set flags as d_path would mark the path. */
__noinline int put_path(u32 owner)
{
	const u64 offset = bpf_core_field_offset(struct mount, mnt);
	struct scratch *s = scratch_of(owner);
	struct dentry *dentry, *parent;
	struct vfsmount *vfsmount;
	struct mount *mount, *above;
	struct task_struct *task;
	struct file *file;
	int i;

	if (!s)
		return 0;
	task = (void *)s->task;
	file = BPF_CORE_READ(task, mm, exe_file);
	vfsmount = BPF_CORE_READ(file, f_path.mnt);
	dentry = BPF_CORE_READ(file, f_path.dentry);
	parent = BPF_CORE_READ(dentry, d_parent);
	if (!BPF_CORE_READ(dentry, d_hash.pprev))
		s->facts.flags |= EXE_UNLINKED;
	if (parent == dentry && dentry != BPF_CORE_READ(vfsmount, mnt_root)) {
		/* No tree at all: a memfd or another file that never had a path. */
		s->facts.flags |= EXE_UNLINKED;
		put_name(s, BPF_CORE_READ(dentry, d_name.name), EXE_SPACE);
		return 0;
	}
	mount = (void *)vfsmount - offset;
	for (i = 0; i < MAX_NAMES; i++) {
		if (dentry == BPF_CORE_READ(mount, mnt.mnt_root)) {
			above = BPF_CORE_READ(mount, mnt_parent);
			if (above == mount)
				return 0;
			dentry = BPF_CORE_READ(mount, mnt_mountpoint);
			mount = above;
			continue;
		}
		parent = BPF_CORE_READ(dentry, d_parent);
		if (parent == dentry)
			return 0;
		if (!put_name(s, BPF_CORE_READ(dentry, d_name.name), EXE_SPACE))
			break;
		dentry = parent;
	}
	s->facts.flags |= EXE_PARTIAL;
	return 0;
}

static __always_inline struct kernfs_node *kernfs_parent(struct kernfs_node *node)
{
	struct kernfs_node___6_15 *newer = (void *)node;

	if (bpf_core_field_exists(newer->__parent))
		return BPF_CORE_READ(newer, __parent);
	return BPF_CORE_READ(node, parent);
}

/* Append one cgroup: a `struct place`, then the names, leaf first. */
__noinline int put_place(u64 address, u32 owner)
{
	struct cgroup *cgroup = (void *)address;
	struct scratch *s = scratch_of(owner);
	struct kernfs_node *node, *parent;
	struct place place = {};
	u64 start;
	int i;

	if (!s)
		return 0;
	start = s->used;
	if (start > CGROUPS_END - sizeof(place)) {
		s->facts.flags |= CGROUP_PARTIAL;
		return 0;
	}
	node = BPF_CORE_READ(cgroup, kn);
	place.id = BPF_CORE_READ(node, id);
	place.hierarchy = BPF_CORE_READ(cgroup, root, hierarchy_id);
	if (place.hierarchy)
		place.kind = BPF_CORE_READ(cgroup, root, subsys_mask) ? OF_CONTROLLERS : OF_NAME;
	s->used = start + sizeof(place);
	for (i = 0; i < MAX_CGROUP_LEVELS; i++) {
		parent = kernfs_parent(node);
		if (!parent)
			break;
		if (!put_name(s, BPF_CORE_READ(node, name), CGROUPS_END))
			break;
		node = parent;
	}
	if (kernfs_parent(node)) /* the beginning of the path is missing */
		s->facts.flags |= CGROUP_PARTIAL;
	place.len = s->used - start - sizeof(place);
	BOUND_NAMES(start);
	bpf_probe_read_kernel(s->tail + start, sizeof(place), &place);
	return 0;
}

/* The cgroup of a link in a css_set's list, one for each hierarchy. */
static __always_inline struct cgroup *cgroup_of(struct list_head *link)
{
	struct cgrp_cset_link *whole =
		(void *)link - bpf_core_field_offset(struct cgrp_cset_link, cgrp_link);

	return BPF_CORE_READ(whole, cgrp);
}

static __always_inline u64 mixed(u64 key, u64 value)
{
	key ^= value;
	key *= 0xff51afd7ed558ccdULL;
	return key ^ key >> 32;
}

/* The key of all cgroups of a task together. An id says nothing without its hierarchy. */
__noinline u64 cgroups_key(u64 address)
{
	struct css_set *set = (void *)address;
	struct list_head *head = (void *)set + bpf_core_field_offset(struct css_set, cgrp_links);
	struct list_head *link = BPF_CORE_READ(head, next);
	struct cgroup *cgroup;
	u64 key = key_seed;
	int i;

	for (i = 0; i < MAX_HIERARCHIES; i++) {
		if (link == head)
			break;
		cgroup = cgroup_of(link);
		key = mixed(key, BPF_CORE_READ(cgroup, root, hierarchy_id));
		key = mixed(key, BPF_CORE_READ(cgroup, kn, id));
		link = BPF_CORE_READ(link, next);
	}
	return mixed(key, i) ?: 1;
}

/*
 * Append the task's cgroups, one of each hierarchy, and remember them under their key. Which of them
 * tells containers apart is for user space to say: it knows what the id of a container looks like.
 */
__noinline int put_cgroups(u32 owner)
{
	struct scratch *s = scratch_of(owner);
	struct list_head *head, *link;
	struct task_struct *task;
	struct cgroup_set *known;
	struct css_set *set;
	u64 start, size, key;
	int i;

	if (!s)
		return 0;
	task = (void *)s->task;
	set = BPF_CORE_READ(task, cgroups);
	key = cgroups_key((u64)set);
	s->facts.cgroups = key;
	start = s->used;
	if (start > EXE_SPACE)
		return 0;
	known = bpf_map_lookup_elem(&cgroup_sets, &key);
	if (known) {
		size = known->len;
		BOUND_NAMES(start);
		bpf_probe_read_kernel(s->tail + start, STORED_CGROUPS, known->places);
		s->facts.cgroup_len = size;
		s->used = start + size;
		return 0;
	}
	head = (void *)set + bpf_core_field_offset(struct css_set, cgrp_links);
	link = BPF_CORE_READ(head, next);
	for (i = 0; i < MAX_HIERARCHIES; i++) {
		if (link == head)
			break;
		put_place((u64)cgroup_of(link), owner);
		link = BPF_CORE_READ(link, next);
	}
	if (link != head)
		s->facts.flags |= CGROUP_PARTIAL;
	size = s->used - start;
	s->facts.cgroup_len = size;
	if (size > STORED_CGROUPS || s->facts.flags & CGROUP_PARTIAL)
		return 0;
	s->cgroup_set.len = size;
	BOUND_NAMES(start);
	bpf_probe_read_kernel(s->cgroup_set.places, STORED_CGROUPS, s->tail + start);
	bpf_map_update_elem(&cgroup_sets, &key, &s->cgroup_set, BPF_NOEXIST);
	return 0;
}

/* ---- facts of a task ------------------------------------------------------------------------- */

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

/* ---- the maps -------------------------------------------------------------------------------- */

static __always_inline u64 new_cookie(void)
{
	u64 high = bpf_get_prandom_u32();

	return (high << 32 | bpf_get_prandom_u32()) ?: 1;
}

/* Store the image of the scratch under its cookie; argv stands behind the names. */
__noinline int store_image(u64 exec_ns, u32 owner)
{
	struct scratch *s = scratch_of(owner);
	struct proc_entry *entry;
	struct facts *f;
	u64 size, args_at;

	if (!s)
		return 0;
	entry = &s->proc_entry;
	f = &s->facts;
	entry->inode = f->inode;
	entry->mtime_ns = f->mtime_ns;
	entry->exec_ns = exec_ns;
	entry->device = f->device;
	entry->mode = f->mode;
	entry->flags = f->flags;
	entry->args_size = f->args_size;
	size = f->exe_len;
	if (size > STORED_EXE) {
		size = STORED_EXE;
		entry->flags |= EXE_PARTIAL;
	}
	entry->exe_len = size;
	bpf_probe_read_kernel(entry->exe, STORED_EXE, s->tail);
	size = f->args_len;
	if (size > STORED_ARGS) {
		size = STORED_ARGS;
		entry->flags |= ARGS_PARTIAL;
	}
	entry->args_len = size;
	args_at = s->used;
	if (args_at >= NAMES_SPACE)
		return 0;
	BOUND_NAMES(args_at);
	bpf_probe_read_kernel(entry->args, STORED_ARGS, s->tail + args_at);
	bpf_map_update_elem(&proc_cache, &f->cookie, entry, BPF_ANY);
	return 0;
}

/* Store the process of the scratch. `mode` is BPF_ANY or BPF_NOEXIST. */
__noinline int store_process(u64 fork_ns, u64 mode, u32 owner)
{
	struct scratch *s = scratch_of(owner);
	struct pid_entry *entry;
	struct facts *f;

	if (!s)
		return 0;
	entry = &s->pid_entry;
	f = &s->facts;
	entry->cookie = f->cookie;
	entry->start_ns = f->start_ns;
	entry->parent_start_ns = f->parent_start_ns;
	entry->fork_ns = fork_ns;
	entry->exit_ns = 0;
	entry->cgroups = f->cgroups;
	entry->cap_effective = f->cap_effective;
	entry->cap_permitted = f->cap_permitted;
	entry->ppid = f->ppid;
	entry->exec_id = f->exec_id;
	entry->uid = f->uid;
	entry->gid = f->gid;
	entry->euid = f->euid;
	entry->egid = f->egid;
	entry->fsuid = f->fsuid;
	entry->fsgid = f->fsgid;
	entry->login_uid = f->login_uid;
	entry->pid_ns = f->pid_ns;
	entry->mnt_ns = f->mnt_ns;
	entry->flags = f->flags;
	entry->inner_pid = f->inner_pid;
	entry->rights = rights_of(cred_of((void *)s->task));
	__builtin_memcpy(entry->comm, f->comm, sizeof(entry->comm));
	__builtin_memcpy(entry->tty, f->tty, sizeof(entry->tty));
	bpf_map_update_elem(&pid_cache, &f->pid, entry, mode);
	return 0;
}

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
