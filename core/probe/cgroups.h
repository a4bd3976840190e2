// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* The cgroups of a task, one in each hierarchy, and the key of all of them. */
#ifndef CGROUPS_H
#define CGROUPS_H

#include "paths.h"

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

#endif
