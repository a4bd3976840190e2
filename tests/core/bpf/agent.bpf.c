// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* A small agent of our own, one program and one map of many kinds: what the tests find on the host. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

struct image {
	__u32 pid;
	__u64 start_ns;
	char comm[16];
	__s32 nice : 5;
	__u32 level : 11;
	enum { IDLE, BUSY = 7 } state;
	struct {
		__u8 bytes[3];
		const void *where;
	} inner;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 100);
	__type(key, __u32);
	__type(value, struct image);
} images SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, __u64);
} recent SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u32);
} counters SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 8);
	__type(key, __u32);
	__type(value, __u64);
} percpu_counts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, __u64);
} of_tasks SEC(".maps");

struct inner_map {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} inner_map SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 3);
	__type(key, __u32);
	__array(values, struct inner_map);
} of_maps SEC(".maps") = { .values = { [1] = &inner_map } };

SEC("raw_tp") int tail_called(void *context);

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__array(values, int(void *));
} jumps SEC(".maps") = { .values = { [2] = (void *)&tail_called } };

__u32 threshold = 42;
const volatile __u64 started_at = 7;
__u64 seen;

SEC("raw_tp")
int tail_called(void *context)
{
	__u32 zero = 0, *count = bpf_map_lookup_elem(&counters, &zero);

	if (count)
		*count += 1;
	return 0;
}

SEC("raw_tp/sys_enter")
int on_sys_enter_with_a_name_longer_than_15(void *context)
{
	__u64 pid = bpf_get_current_pid_tgid() >> 32, *known = bpf_map_lookup_elem(&recent, &pid);

	__sync_fetch_and_add(&seen, 1);
	if (known)
		*known += started_at;
	bpf_tail_call(context, &jumps, 2);
	return 0;
}

SEC("tp_btf/sched_switch")
int on_switch(void *context)
{
	return 0;
}

SEC("iter/task")
int each_task(void *context)
{
	return 0;
}

SEC("xdp")
int pass_frames(struct xdp_md *context)
{
	return XDP_PASS;
}

SEC("tc")
int pass_packets(struct __sk_buff *skb)
{
	return 0;
}

SEC("cgroup_skb/egress")
int allow_egress(struct __sk_buff *skb)
{
	__u64 *room = bpf_ringbuf_reserve(&ring, 8, 0);

	if (room) {
		*room = skb->len;
		bpf_ringbuf_submit(room, 0);
	}
	return 1;
}

SEC("perf_event")
int sampled(void *context)
{
	return 0;
}
