/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What the probe and the program say to each other. core/probe/layout.py holds the same layouts;
 * tests/core/probe/test_layout.py compares the two by the object's BTF.
 *
 * Every record starts with `struct facts`. Behind it follow, packed, `exe_len` bytes of path names
 * (leaf first, each ending in NUL), `cgroup_len` bytes of cgroups (a `struct place` and its names, for each
 * hierarchy), `script_len` bytes
 * of the path of a script, NUL included, and `args_len` bytes of argv as /proc/PID/cmdline has it.
 *
 * LAYOUT is counted up with every change here; the program refuses an object with another one.
 */
#ifndef RECORD_H
#define RECORD_H

#define LAYOUT 5

enum kind { FORK = 1, EXEC = 2, EXIT = 3, REAPED = 4, CGROUP = 5, FOUND = 6 };

enum flag {
	KTHREAD = 1,
	EXE_UNLINKED = 2,  /* the executable was deleted or never had a name */
	EXE_PARTIAL = 4,   /* the path is longer than what was sent */
	ARGS_PARTIAL = 8,  /* argv is longer than what was sent, or could not be read */
	CGROUP_PARTIAL = 16,
	ZOMBIE = 32,
	NEW_RIGHTS = 64, /* in a sweep: other credentials than at the last look */
	ARGS_LOCKED = 128, /* in a snapshot: whoever reads argv has to wait for the memory map */
};

struct facts {
	u32 kind;
	u32 flags;
	u64 ts_ns;
	u64 start_ns;
	u64 parent_start_ns;
	u64 cookie;
	u64 cgroups; /* key of cgroup_sets */
	u64 inode;
	u64 mtime_ns;
	u64 previous_inode;
	u64 cap_effective;
	u64 cap_permitted;
	u64 cpu_ns;
	u64 rss_pages;
	u32 pid;
	u32 exec_id;
	u32 ppid;
	u32 creator;
	u32 uid;
	u32 gid;
	u32 euid;
	u32 egid;
	u32 fsuid;
	u32 fsgid;
	u32 login_uid;
	u32 device;
	u32 mode;
	u32 pid_ns;
	u32 mnt_ns;
	u32 threads;
	u32 state;
	u32 exit_code;
	u32 args_size; /* of the whole argv, sent or not */
	u32 exe_len;
	u32 cgroup_len;
	u32 args_len;
	u32 script_len;
	u32 inner_pid; /* in the process's own pid namespace */
	char comm[16];
	char tty[16];
};

/* One thread of a running process, as a sweep sees it. */
struct sample {
	u64 start_ns;
	u64 cpu_ns; /* of this thread; of ended threads too in the first thread's record */
	u64 rss_pages;
	u32 pid;
	u32 leads; /* 1 for the first thread, whose record has the rest */
	u32 ppid;
	u32 exec_id;
	u32 uid;
	u32 flags;
	u32 state;
	u32 threads;
	char comm[16];
};

/* pid_cache: what belongs to the process. */
struct pid_entry {
	u64 cookie;
	u64 start_ns;
	u64 parent_start_ns;
	u64 fork_ns;
	u64 exit_ns;
	u64 cgroups; /* key of cgroup_sets */
	u64 cap_effective;
	u64 cap_permitted;
	u32 ppid;
	u32 exec_id;
	u32 uid;
	u32 gid;
	u32 euid;
	u32 egid;
	u32 fsuid;
	u32 fsgid;
	u32 login_uid;
	u32 pid_ns;
	u32 mnt_ns;
	u32 flags;
	u32 inner_pid;
	u32 rights; /* changes with the credentials */
	char comm[16];
	char tty[16];
};

#define STORED_EXE 512
#define STORED_ARGS 512
#define STORED_CGROUPS 2048

/* proc_cache: what belongs to the image. A child shares its parent's until it executes its own. */
struct proc_entry {
	u64 inode;
	u64 mtime_ns;
	u64 exec_ns;
	u32 device;
	u32 mode;
	u32 flags;
	u32 args_size;
	u32 exe_len;
	u32 args_len;
	char exe[STORED_EXE];
	char args[STORED_ARGS];
};

/* One cgroup of a task. Its id is unique in its hierarchy only. `len` bytes of names follow, leaf first. */
enum place_kind { OF_V2 = 0, OF_NAME = 1, OF_CONTROLLERS = 2 };

struct place {
	u64 id;
	u32 hierarchy; /* as in /proc/PID/cgroup: 0 is cgroup v2 */
	u16 kind;
	u16 len;
};

/* cgroup_sets: the cgroups of a task, one of each hierarchy, as records have them. */
struct cgroup_set {
	u32 len;
	char places[STORED_CGROUPS];
};

/* One process in a run of `identify`: which image it runs. */
struct identity {
	u64 start_ns;
	u32 pid;
	u32 exec_id;
	u32 args_size;
	u32 unused;
};

#endif
