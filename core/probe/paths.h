// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Names that are appended to a record, and the path of the executable. */
#ifndef PATHS_H
#define PATHS_H

#include "scratch.h"

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

#endif
