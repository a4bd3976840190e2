// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* A congestion control that no socket uses: programs that only a struct_ops map keeps loaded. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

struct sock;
struct tcp_congestion_ops {
	__u32 (*ssthresh)(struct sock *sk);
	void (*cong_avoid)(struct sock *sk, __u32 ack, __u32 acked);
	__u32 (*undo_cwnd)(struct sock *sk);
	char name[16];
};

SEC("struct_ops/threshold")
__u32 threshold(void *context)
{
	return 2;
}

SEC("struct_ops/avoid")
void avoid(void *context)
{
}

SEC("struct_ops/undo")
__u32 undo(void *context)
{
	return 2;
}

SEC(".struct_ops")
struct tcp_congestion_ops ebpf_tui_test = {
	.ssthresh = (void *)threshold,
	.cong_avoid = (void *)avoid,
	.undo_cwnd = (void *)undo,
	.name = "ebpf_tui_test",
};
