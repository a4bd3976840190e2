"""What libbpf makes of a section's name: the program type, and what the program attaches to.

The names of types are those of libbpf_bpf_prog_type_str and libbpf_bpf_map_type_str.
"""

from __future__ import annotations

_TARGETED = {
    "kprobe": "kprobe kretprobe kprobe.multi kretprobe.multi kprobe.session ksyscall kretsyscall "
              "uprobe uprobe.s uretprobe uretprobe.s uprobe.multi uprobe.multi.s "
              "uretprobe.multi uretprobe.multi.s uprobe.session uprobe.session.s usdt usdt.s",
    "tracepoint": "tracepoint tp",
    "raw_tracepoint": "raw_tracepoint raw_tp",
    "raw_tracepoint_writable": "raw_tracepoint.w raw_tp.w",
    "tracing": "tp_btf fentry fentry.s fexit fexit.s fmod_ret fmod_ret.s fsession fsession.s iter iter.s",
    "ext": "freplace",
    "lsm": "lsm lsm.s lsm_cgroup",
    "struct_ops": "struct_ops struct_ops.s",
}  # fmt: skip
"""Program type -> prefixes; `prefix` alone or `prefix/target`."""

_SOCK_ADDR = " ".join(
    f"cgroup/{call}{family}"
    for call in ("bind", "connect", "sendmsg", "recvmsg", "getpeername", "getsockname")
    for family in ("4", "6", "_unix")
    if (call, family) != ("bind", "_unix")
)
_EXACT = {
    "socket_filter": "socket",
    "sk_reuseport": "sk_reuseport sk_reuseport/migrate",
    "sched_cls": "tc classifier tc/ingress tc/egress tcx/ingress tcx/egress netkit/primary netkit/peer",
    "sched_act": "action",
    "syscall": "syscall",
    "xdp": "xdp xdp/devmap xdp/cpumap xdp.frags xdp.frags/devmap xdp.frags/cpumap",
    "perf_event": "perf_event",
    "lwt_in": "lwt_in",
    "lwt_out": "lwt_out",
    "lwt_xmit": "lwt_xmit",
    "lwt_seg6local": "lwt_seg6local",
    "sock_ops": "sockops",
    "sk_skb": "sk_skb sk_skb/stream_parser sk_skb/stream_verdict sk_skb/verdict",
    "sk_msg": "sk_msg",
    "lirc_mode2": "lirc_mode2",
    "flow_dissector": "flow_dissector",
    "cgroup_skb": "cgroup_skb/ingress cgroup_skb/egress cgroup/skb",
    "cgroup_sock": "cgroup/sock_create cgroup/sock_release cgroup/sock cgroup/post_bind4 cgroup/post_bind6",
    "cgroup_sock_addr": _SOCK_ADDR,
    "cgroup_sysctl": "cgroup/sysctl",
    "cgroup_sockopt": "cgroup/getsockopt cgroup/setsockopt",
    "cgroup_device": "cgroup/dev",
    "sk_lookup": "sk_lookup",
    "netfilter": "netfilter",
}
_TYPE_OF_PREFIX = {prefix: kind for kind, prefixes in _TARGETED.items() for prefix in prefixes.split()}
_TYPE_OF_NAME = {name: kind for kind, names in _EXACT.items() for name in names.split()}

MAP_TYPES = (
    "unspec", "hash", "array", "prog_array", "perf_event_array", "percpu_hash", "percpu_array",
    "stack_trace", "cgroup_array", "lru_hash", "lru_percpu_hash", "lpm_trie", "array_of_maps",
    "hash_of_maps", "devmap", "sockmap", "cpumap", "xskmap", "sockhash", "cgroup_storage",
    "reuseport_sockarray", "percpu_cgroup_storage", "queue", "stack", "sk_storage", "devmap_hash",
    "struct_ops", "ringbuf", "inode_storage", "task_storage", "bloom_filter", "user_ringbuf",
    "cgrp_storage", "arena", "insn_array",
)  # fmt: skip
"""By number (enum bpf_map_type)."""


def program_type(section: str) -> tuple[str, str | None]:
    """Return (type, attach target) of the programs in a section; (`unspec`, None) for a name of one's own."""
    prefix, slash, target = section.partition("/")
    if prefix in _TYPE_OF_PREFIX and (target or not slash):
        return _TYPE_OF_PREFIX[prefix], target or None
    return _TYPE_OF_NAME.get(section, "unspec"), None


def map_type(number: int) -> str:
    """Return libbpf's name of a map type."""
    return MAP_TYPES[number] if 0 <= number < len(MAP_TYPES) else f"type {number}"
