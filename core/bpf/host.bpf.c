// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Iterators over what is loaded on the host: who has which object open, how full maps are, and the lists
 * themselves for a reader without CAP_SYS_ADMIN.
 *
 * Which file is a program, map, link, BTF object or perf event is told by the address of its table of file
 * operations. No kernel symbol is needed for these addresses: a first pass over the reader's own process
 * reports the addresses of descriptors whose kind the reader knows. Nothing here sleeps or follows an
 * address of user space.
 */
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
typedef u16 __be16;
typedef u32 __be32;
typedef u32 __wsum;
typedef _Bool bool;

enum bpf_map_type {
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_RINGBUF = 27,
};
enum bpf_prog_type {
	BPF_PROG_TYPE_UNSPEC,
};
enum bpf_link_type {
	BPF_LINK_TYPE_UNSPEC,
};

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct bpf_prog_aux {
	u32 id;
	u64 load_time;
	char name[16];
	u32 verified_insns;
};
struct bpf_prog {
	enum bpf_prog_type type;
	u32 len;
	u32 jited_len;
	u8 tag[8];
	struct bpf_prog_aux *aux;
};
struct bpf_map {
	enum bpf_map_type map_type;
	u32 key_size;
	u32 value_size;
	u32 max_entries;
	u32 map_flags;
	u32 id;
	char name[16];
};
struct bpf_ringbuf {
	unsigned long consumer_pos;
	unsigned long producer_pos;
};
struct bpf_ringbuf_map {
	struct bpf_map map;
	struct bpf_ringbuf *rb;
};
struct bpf_link {
	u32 id;
	enum bpf_link_type type;
	struct bpf_prog *prog;
};
struct btf {
	u32 id;
};
struct perf_event {
	struct bpf_prog *prog;
};
struct file_operations;
struct file {
	const struct file_operations *f_op;
	void *private_data;
};
struct task_struct {
	s32 tgid;
	struct task_struct *group_leader;
	char comm[16];
};
struct seq_file;
struct bpf_iter_meta {
	struct seq_file *seq;
};
struct bpf_iter__task_file {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
	u32 fd;
	struct file *file;
};
struct bpf_iter__bpf_map {
	struct bpf_iter_meta *meta;
	struct bpf_map *map;
};
struct bpf_iter__bpf_prog {
	struct bpf_iter_meta *meta;
	struct bpf_prog *prog;
};
struct bpf_iter__bpf_link {
	struct bpf_iter_meta *meta;
	struct bpf_link *link;
};

#pragma clang attribute pop

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* core/bpf/iterators.py decodes these; fields are aligned by hand. */
struct own_file {
	u64 operations;
	u32 fd;
	u32 unused;
};
enum object { NONE, PROGRAM, MAP, LINK, BTF_OBJECT, PERF_EVENT, OBJECTS };
struct holder {
	u32 tgid;
	u32 fd;
	u32 object;
	u32 id;
	char comm[16];
};
struct count {
	u32 id;
	u32 unused;
	s64 elements;
};
struct program_row {
	u32 id;
	u32 type;
	u32 xlated_insns;
	u32 jited_bytes;
	u64 loaded_ns;
	u32 verified_insns;
	u8 tag[8];
	char name[16];
	u32 unused;
};
struct map_row {
	u32 id, type, key_size, value_size, max_entries, flags;
	char name[16];
};
struct link_row {
	u32 id, type, program, unused;
};

/* Written by the reader before the second pass: the file operations of each kind of object. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, OBJECTS);
	__type(key, u32);
	__type(value, u64);
} operations SEC(".maps");

SEC("iter/task_file")
int own_files(struct bpf_iter__task_file *ctx)
{
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;
	struct own_file row = {};

	if (!task || !file || task->tgid != bpf_get_current_pid_tgid() >> 32)
		return 0;
	row.operations = (u64)file->f_op;
	row.fd = ctx->fd;
	bpf_seq_write(ctx->meta->seq, &row, sizeof(row));
	return 0;
}

static __always_inline u64 operations_of(u32 object)
{
	u64 *address = bpf_map_lookup_elem(&operations, &object);

	return address ? *address : 0;
}

SEC("iter/task_file")
int holders(struct bpf_iter__task_file *ctx)
{
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;
	struct holder row = {};
	u64 address;
	void *data;

	if (!task || !file)
		return 0;
	address = (u64)file->f_op;
	data = file->private_data;
	if (address == operations_of(PROGRAM)) {
		row.object = PROGRAM;
		row.id = BPF_CORE_READ((struct bpf_prog *)data, aux, id);
	} else if (address == operations_of(MAP)) {
		row.object = MAP;
		row.id = BPF_CORE_READ((struct bpf_map *)data, id);
	} else if (address == operations_of(LINK)) {
		row.object = LINK;
		row.id = BPF_CORE_READ((struct bpf_link *)data, id);
	} else if (address == operations_of(BTF_OBJECT)) {
		row.object = BTF_OBJECT;
		row.id = BPF_CORE_READ((struct btf *)data, id);
	} else if (address == operations_of(PERF_EVENT)) {
		row.object = PERF_EVENT;
		row.id = BPF_CORE_READ((struct perf_event *)data, prog, aux, id);
	} else {
		return 0;
	}
	if (!row.id)
		return 0;
	row.tgid = task->tgid;
	row.fd = ctx->fd;
	BPF_CORE_READ_STR_INTO(&row.comm, task, group_leader, comm);
	bpf_seq_write(ctx->meta->seq, &row, sizeof(row));
	return 0;
}

extern s64 bpf_map_sum_elem_count(const struct bpf_map *map) __ksym __weak;

/* Since Linux 6.6, for hash maps; others are answered with 0. */
SEC("iter/bpf_map")
int counts(struct bpf_iter__bpf_map *ctx)
{
	struct bpf_map *map = ctx->map;
	struct count row = {};

	if (!map)
		return 0;
	row.id = map->id;
	row.elements = bpf_map_sum_elem_count(map);
	bpf_seq_write(ctx->meta->seq, &row, sizeof(row));
	return 0;
}

/* Bytes in ring buffers that their readers have not taken. No descriptor is needed for that, so none that
 * could write (the kernel maps a ring into user space through no other). */
SEC("iter/bpf_map")
int rings(struct bpf_iter__bpf_map *ctx)
{
	struct bpf_map *map = ctx->map;
	struct count row = {};
	struct bpf_ringbuf *ring;

	if (!map || map->map_type != BPF_MAP_TYPE_RINGBUF)
		return 0;
	ring = BPF_CORE_READ((struct bpf_ringbuf_map *)map, rb);
	row.id = map->id;
	row.elements = BPF_CORE_READ(ring, producer_pos) - BPF_CORE_READ(ring, consumer_pos);
	bpf_seq_write(ctx->meta->seq, &row, sizeof(row));
	return 0;
}

SEC("iter/bpf_prog")
int list_programs(struct bpf_iter__bpf_prog *ctx)
{
	struct bpf_prog *prog = ctx->prog;
	struct program_row row = {};

	if (!prog)
		return 0;
	row.id = prog->aux->id;
	row.type = prog->type;
	row.xlated_insns = prog->len;
	row.jited_bytes = prog->jited_len;
	row.loaded_ns = prog->aux->load_time;
	if (bpf_core_field_exists(prog->aux->verified_insns))
		row.verified_insns = prog->aux->verified_insns;
	bpf_probe_read_kernel(row.tag, sizeof(row.tag), prog->tag);
	bpf_probe_read_kernel_str(row.name, sizeof(row.name), prog->aux->name);
	bpf_seq_write(ctx->meta->seq, &row, sizeof(row));
	return 0;
}

SEC("iter/bpf_map")
int list_maps(struct bpf_iter__bpf_map *ctx)
{
	struct bpf_map *map = ctx->map;
	struct map_row row = {};

	if (!map)
		return 0;
	row.id = map->id;
	row.type = map->map_type;
	row.key_size = map->key_size;
	row.value_size = map->value_size;
	row.max_entries = map->max_entries;
	row.flags = map->map_flags;
	bpf_probe_read_kernel_str(row.name, sizeof(row.name), map->name);
	bpf_seq_write(ctx->meta->seq, &row, sizeof(row));
	return 0;
}

SEC("iter/bpf_link")
int list_links(struct bpf_iter__bpf_link *ctx)
{
	struct bpf_link *link = ctx->link;
	struct link_row row = {};

	if (!link)
		return 0;
	row.id = link->id;
	row.type = link->type;
	row.program = BPF_CORE_READ(link, prog, aux, id);
	bpf_seq_write(ctx->meta->seq, &row, sizeof(row));
	return 0;
}
