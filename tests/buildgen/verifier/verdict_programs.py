"""Programs that the verifier refuses, each with the words, cause, fix, line and trace that belong to it."""

from __future__ import annotations

from dataclasses import dataclass

PRELUDE = """
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <bpf/bpf_helpers.h>
struct page { char text[256]; };
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __type(key, __u32); __type(value, struct page);
         __uint(max_entries, 1); } pages SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_HASH); __type(key, __u64); __type(value, __u64);
         __uint(max_entries, 8); } counts SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 4096); } ring SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_PROG_ARRAY); __type(key, __u32); __type(value, __u32);
         __uint(max_entries, 2); } jumps SEC(".maps");
struct locked { struct bpf_spin_lock lock; __u64 n; };
struct { __uint(type, BPF_MAP_TYPE_HASH); __type(key, __u32); __type(value, struct locked);
         __uint(max_entries, 8); } locks SEC(".maps");
const volatile __u32 limit = 5;
"""
LICENCE = 'char LICENSE[] SEC("license") = "GPL";\n'


@dataclass(frozen=True)
class Case:
    """`at` is in the source line, `cause` and `fix` in the explanation.

    Each pair of `trace` is (what is on the source line, what is said of it), in this order.
    """

    body: str
    at: str
    cause: str
    fix: str
    trace: tuple[tuple[str, str], ...] = ()


CASES = {
    "null": Case(
        """SEC("tc") int null(struct __sk_buff *skb) {
    __u64 key = skb->mark;
    __u64 *n = bpf_map_lookup_elem(&counts, &key);
    *n = 1;
    return 0;
}""",
        "*n = 1;",
        "returns NULL",
        "check the result",
        (("bpf_map_lookup_elem(&counts", "returns NULL"), ("*n = 1;", "used here")),
    ),
    "index": Case(
        """SEC("tc") int index(struct __sk_buff *skb) {
    __u32 zero = 0;
    __u32 slot = skb->mark;
    struct page *p = bpf_map_lookup_elem(&pages, &zero);
    if (!p)
        return 0;
    return p->text[slot];
}""",
        "return p->text[slot];",
        "no upper limit",
        "check the index",
        (("slot = skb->mark", "up to 4,294,967,295"), ("p->text[slot]", "added to a pointer")),
    ),
    "other_register": Case(
        """SEC("tc") int other_register(struct __sk_buff *skb) {
    __u32 zero = 0;
    struct page *p = bpf_map_lookup_elem(&pages, &zero);
    if (!p)
        return 0;
    __u64 n = skb->mark;
    __u64 copy = n;
    asm volatile("%0 |= 0" : "+r"(copy));
    if (copy > 255)
        return 0;
    return p->text[n];
}""",
        "return p->text[n];",
        "no upper limit",
        "check the index",
        (("n = skb->mark", "is read here"), ("if (copy > 255)", "a copy"), ("p->text[n]", "added")),
    ),
    "negative": Case(
        """SEC("tracepoint/syscalls/sys_exit_read") int negative(long *ctx) {
    __u32 zero = 0;
    long size = ctx[2];
    struct page *p = bpf_map_lookup_elem(&pages, &zero);
    if (!p || size > 256)
        return 0;
    return bpf_probe_read_user(p->text, size, (void *)0x1000);
}""",
        "bpf_probe_read_user(",
        "can be negative",
        "unsigned",
        (("size = ctx[2]", "may be anything"), ("size > 256", "may still be negative")),
    ),
    "packet_moved": Case(
        """SEC("tc") int packet_moved(struct __sk_buff *skb) {
    void *data = (void *)(long)skb->data;
    void *end = (void *)(long)skb->data_end;
    struct ethhdr *eth = data;
    if (data + sizeof(*eth) > end)
        return 0;
    bpf_skb_change_type(skb, 0);
    bpf_skb_pull_data(skb, 64);
    return eth->h_proto;
}""",
        "return eth->h_proto;",
        "bpf_skb_pull_data() may move the packet",
        "load data and data_end again",
        (("bpf_skb_pull_data(skb", "may move the packet"), ("eth->h_proto", "used here")),
    ),
    "packet_short": Case(
        """SEC("xdp") int packet_short(struct xdp_md *ctx) {
    char *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
    if (data + 14 > end)
        return XDP_PASS;
    return data[20];
}""",
        "return data[20];",
        "it was made sure only that it has 14",
        "compare with data_end",
    ),
    "not_released": Case(
        """SEC("tc") int not_released(struct __sk_buff *skb) {
    __u64 *record = bpf_ringbuf_reserve(&ring, 8, 0);
    if (!record)
        return 0;
    if (skb->mark == 3)
        return 1;
    bpf_ringbuf_submit(record, 0);
    return 0;
}""",
        "bpf_ringbuf_reserve(&ring",
        "bpf_ringbuf_reserve() returned is still held",
        "bpf_ringbuf_discard()",
        (("bpf_ringbuf_reserve", "reserved"), ("skb->mark == 3", "does not release")),
    ),
    "small_key": Case(
        """SEC("tc") int small_key(struct __sk_buff *skb) {
    __u32 key = skb->mark;
    return bpf_map_lookup_elem(&counts, &key) != 0;
}""",
        "bpf_map_lookup_elem(&counts",
        "smaller than what is read",
        "keys and values must have the size",
    ),
    "wrong_map": Case(
        """SEC("tc") int wrong_map(struct __sk_buff *skb) {
    __u32 key = 1, value = 2;
    return bpf_map_update_elem(&jumps, &key, &value, 0);
}""",
        "bpf_map_update_elem(&jumps",
        "does not work on a map of type prog_array",
        "use a map",
    ),
    "no_prog_array": Case(
        """SEC("tc") int no_prog_array(struct __sk_buff *skb) {
    bpf_tail_call(skb, &counts, 1);
    return 0;
}""",
        "bpf_tail_call(skb",
        "BPF_MAP_TYPE_PROG_ARRAY",
        "pass a prog_array",
    ),
    "wrong_helper": Case(
        """SEC("xdp") int wrong_helper(struct xdp_md *ctx) {
    char head[4];
    return bpf_skb_load_bytes(ctx, 0, head, 4);
}""",
        "bpf_skb_load_bytes(ctx",
        "type xdp may not call bpf_skb_load_bytes()",
        "use a helper that this type has",
    ),
    "call_under_lock": Case(
        """SEC("tc") int call_under_lock(struct __sk_buff *skb) {
    __u32 key = 1;
    struct locked *one = bpf_map_lookup_elem(&locks, &key);
    if (!one)
        return 0;
    bpf_spin_lock(&one->lock);
    one->n = bpf_ktime_get_ns();
    bpf_spin_unlock(&one->lock);
    return 0;
}""",
        "bpf_ktime_get_ns()",
        "nothing may be called",
        "call bpf_ktime_get_ns() before the lock",
    ),
    "context_field": Case(
        """SEC("socket") int context_field(struct __sk_buff *skb) {
    return skb->data_end - skb->data;
}""",
        "skb->data_end",
        "type socket_filter may not access __sk_buff.data",
        "bpf_skb_load_bytes()",
    ),
    "return_value": Case(
        """SEC("cgroup_skb/egress") int return_value(struct __sk_buff *skb) {
    return skb->len > 1500 ? -1 : 1;
}""",
        "? -1 : 1",
        "can return -1",
        "return one of the values",
    ),
    "read_only": Case(
        """SEC("tc") int read_only(struct __sk_buff *skb) {
    *(volatile __u32 *)&limit = skb->len;
    return 0;
}""",
        "&limit = skb->len",
        "read-only",
        "not const",
    ),
    "kernel_pointer": Case(
        """SEC("raw_tp/sched_process_exec") int kernel_pointer(void *ctx) {
    long *task = (void *)bpf_get_current_task();
    return task[3];
}""",
        "return task[3];",
        "a plain number is used as an address",
        "bpf_probe_read_kernel()",
        (("bpf_get_current_task()", "returned it"),),
    ),
    "global_function": Case(
        """struct pair { __u32 a, b; };
__noinline int fill(struct pair *p) {
    p->a = 1;
    return 0;
}
SEC("tc") int global_function(struct __sk_buff *skb) {
    struct pair p = {};
    fill(&p);
    return p.a;
}""",
        "p->a = 1;",
        "a global function gets",
        "make the function static",
    ),
    "uninitialised": Case(
        """SEC("tc") int uninitialised(struct __sk_buff *skb) {
    int never;
    asm volatile("%0 = r8" : "=r"(never));
    return never;
}""",
        "asm volatile",
        "not set on this path",
        "give it a value",
    ),
    "stack": Case(
        """static __noinline int inner(struct __sk_buff *skb, int n) {
    volatile char text[300] = {};
    text[n & 255] = skb->mark;
    return text[(n + 1) & 255];
}
SEC("tc") int stack(struct __sk_buff *skb) {
    volatile char text[300] = {};
    text[skb->mark & 255] = 1;
    return inner(skb, text[3]) + text[17];
}""",
        "int stack(",
        "share 512 bytes",
        "per-CPU array",
    ),
}


def source(name: str) -> str:
    return f"{PRELUDE}{CASES[name].body}\n{LICENCE}"
