// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* What is kept of a process in pid_cache and proc_cache. */
#ifndef STORE_H
#define STORE_H

#include "facts.h"

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

#endif
