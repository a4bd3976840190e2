/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The few kernel types the probe reads, by hand: only the fields it uses, in any order, because
 * CO-RE finds each field in the running kernel's BTF by its name. A type with ___suffix is another
 * version of the kernel's type of that name; the probe asks which one it has.
 */
#ifndef KERNEL_TYPES_H
#define KERNEL_TYPES_H

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef int s32;
typedef long long s64;
typedef u16 __u16;
typedef u32 __u32;
typedef u64 __u64;
typedef s32 __s32;
typedef s64 __s64;
typedef u8 __u8;
typedef _Bool bool;
#define true 1
#define false 0
typedef u16 __be16;
typedef u32 __be32;
typedef u32 __wsum;

enum bpf_map_type {
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_LRU_HASH = 9,
	BPF_MAP_TYPE_RINGBUF = 27,
};

enum { BPF_ANY = 0, BPF_NOEXIST = 1 };

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

typedef struct {
	u32 val;
} kuid_t;
typedef struct {
	u32 val;
} kgid_t;

/* Two u32 before 6.3, one u64 since: eight bytes either way. */
typedef struct {
	u64 val;
} kernel_cap_t;

struct cred {
	kuid_t uid, euid, fsuid;
	kgid_t gid, egid, fsgid;
	kernel_cap_t cap_effective, cap_permitted;
};

struct qstr {
	const unsigned char *name;
};
struct hlist_bl_node {
	struct hlist_bl_node **pprev;
};
struct super_block {
	u32 s_dev;
};
struct timespec64 {
	s64 tv_sec;
	long tv_nsec;
};
struct inode {
	unsigned long i_ino;
	u16 i_mode;
	struct super_block *i_sb;
	struct timespec64 i_mtime; /* up to 6.6 */
};
struct inode___6_7 {
	struct timespec64 __i_mtime;
};
struct inode___6_11 {
	s64 i_mtime_sec;
	u32 i_mtime_nsec;
};
struct dentry {
	struct hlist_bl_node d_hash;
	struct dentry *d_parent;
	struct qstr d_name;
	struct inode *d_inode;
};
struct vfsmount {
	struct dentry *mnt_root;
};
struct mount {
	struct mount *mnt_parent;
	struct dentry *mnt_mountpoint;
	struct vfsmount mnt;
};
struct path {
	struct vfsmount *mnt;
	struct dentry *dentry;
};
struct file {
	struct path f_path;
	struct inode *f_inode;
};

struct percpu_counter {
	s64 count;
};
typedef struct {
	s64 counter;
} atomic_long_t;
struct rw_semaphore {
	atomic_long_t count;
};
struct mm_struct {
	unsigned long arg_start, arg_end;
	struct file *exe_file;
	struct rw_semaphore mmap_lock;
	struct percpu_counter rss_stat[4]; /* since 6.2 */
};
struct mm_rss_stat {
	atomic_long_t count[4];
};
struct mm_struct___6_1 {
	struct mm_rss_stat rss_stat;
};

typedef struct {
	int counter;
} atomic_t;
struct tty_struct {
	char name[64];
};
struct signal_struct {
	atomic_t live;
	int nr_threads;
	int group_exit_code;
	u32 flags;
	u64 sum_sched_runtime;
	struct tty_struct *tty;
};

struct ns_common {
	u32 inum;
};
struct pid_namespace {
	struct ns_common ns;
};
struct upid {
	int nr;
	struct pid_namespace *ns;
};
struct pid {
	u32 level;
	struct upid numbers[1];
};
struct mnt_namespace {
	struct ns_common ns;
};
struct nsproxy {
	struct mnt_namespace *mnt_ns;
};

struct kernfs_node {
	struct kernfs_node *parent; /* up to 6.14 */
	const char *name;
	u64 id;
};
struct kernfs_node___6_15 {
	struct kernfs_node *__parent;
};
struct cgroup_root {
	u32 subsys_mask;
	int hierarchy_id;
};
struct cgroup {
	struct kernfs_node *kn;
	struct cgroup_root *root;
};
struct list_head {
	struct list_head *next;
};
struct cgrp_cset_link { /* one for each hierarchy */
	struct cgroup *cgrp;
	struct list_head cgrp_link;
};
struct css_set {
	struct list_head cgrp_links;
};

struct sched_entity {
	u64 sum_exec_runtime;
};
struct task_struct {
	u32 __state; /* since 5.14 */
	int exit_state;
	int exit_code;
	u32 flags;
	s32 pid, tgid;
	u32 self_exec_id;
	u64 start_boottime;
	struct task_struct *real_parent, *group_leader;
	struct mm_struct *mm;
	const struct cred *real_cred;
	struct signal_struct *signal;
	struct nsproxy *nsproxy;
	struct css_set *cgroups;
	struct pid *thread_pid;
	struct sched_entity se;
	kuid_t loginuid;
	char comm[16];
};
struct task_struct___5_13 {
	long state;
};

struct linux_binprm {
	const char *filename; /* as it was given to execve */
	const char *interp;   /* what is run for it */
};
struct seq_file;
struct bpf_iter_meta {
	struct seq_file *seq;
	u64 session_id;
	u64 seq_num;
};
struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
};
struct bpf_map;
struct bpf_iter__bpf_map_elem {
	struct bpf_iter_meta *meta;
	struct bpf_map *map;
	void *key; /* NULL: after the last one */
	void *value;
};

#pragma clang attribute pop

#endif
