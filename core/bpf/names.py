"""What the kernel's numbers are called: bpftool's words, from include/uapi/linux/bpf.h.

Tables of our own, because libbpf 1.1 does not know newer types. A number that is not here is shown as itself.
"""

from __future__ import annotations

_PROGRAM = (  # noqa: SIM905
    "unspec socket_filter kprobe sched_cls sched_act tracepoint xdp perf_event cgroup_skb cgroup_sock "
    "lwt_in lwt_out lwt_xmit sock_ops sk_skb cgroup_device sk_msg raw_tracepoint cgroup_sock_addr "
    "lwt_seg6local lirc_mode2 sk_reuseport flow_dissector cgroup_sysctl raw_tracepoint_writable "
    "cgroup_sockopt tracing struct_ops ext lsm sk_lookup syscall netfilter"
).split()
_MAP = (  # noqa: SIM905
    "unspec hash array prog_array perf_event_array percpu_hash percpu_array stack_trace cgroup_array "
    "lru_hash lru_percpu_hash lpm_trie array_of_maps hash_of_maps devmap sockmap cpumap xskmap "
    "sockhash cgroup_storage reuseport_sockarray percpu_cgroup_storage queue stack sk_storage "
    "devmap_hash struct_ops ringbuf inode_storage task_storage bloom_filter user_ringbuf cgrp_storage "
    "arena insn_array"
).split()
_LINK = (  # noqa: SIM905
    "unspec raw_tracepoint tracing cgroup iter netns xdp perf_event kprobe_multi struct_ops netfilter "
    "tcx uprobe_multi netkit sockmap"
).split()
_ATTACH = (  # noqa: SIM905
    "cgroup_inet_ingress cgroup_inet_egress cgroup_inet_sock_create cgroup_sock_ops "
    "sk_skb_stream_parser sk_skb_stream_verdict cgroup_device sk_msg_verdict cgroup_inet4_bind "
    "cgroup_inet6_bind cgroup_inet4_connect cgroup_inet6_connect cgroup_inet4_post_bind "
    "cgroup_inet6_post_bind cgroup_udp4_sendmsg cgroup_udp6_sendmsg lirc_mode2 flow_dissector "
    "cgroup_sysctl cgroup_udp4_recvmsg cgroup_udp6_recvmsg cgroup_getsockopt cgroup_setsockopt "
    "trace_raw_tp trace_fentry trace_fexit modify_return lsm_mac trace_iter cgroup_inet4_getpeername "
    "cgroup_inet6_getpeername cgroup_inet4_getsockname cgroup_inet6_getsockname xdp_devmap "
    "cgroup_inet_sock_release xdp_cpumap sk_lookup xdp sk_skb_verdict sk_reuseport_select "
    "sk_reuseport_select_or_migrate perf_event trace_kprobe_multi lsm_cgroup struct_ops netfilter "
    "tcx_ingress tcx_egress trace_uprobe_multi cgroup_unix_connect cgroup_unix_sendmsg "
    "cgroup_unix_recvmsg cgroup_unix_getpeername cgroup_unix_getsockname netkit_primary netkit_peer "
    "trace_kprobe_session trace_uprobe_session"
).split()

CGROUP_ATTACH_TYPES = tuple(
    number for number, name in enumerate(_ATTACH) if name.startswith("cgroup_") or name == "lsm_cgroup"
)
TCX_ATTACH_TYPES = tuple(
    number for number, name in enumerate(_ATTACH) if name.startswith(("tcx_", "netkit_"))
)
NETNS_ATTACH_TYPES = tuple(_ATTACH.index(name) for name in ("flow_dissector", "sk_lookup"))

_FLAGS = (  # noqa: SIM905
    "no_prealloc no_common_lru numa_node rdonly wronly stack_build_id zero_seed rdonly_prog "
    "wronly_prog clone mmapable preserve_elems inner_map link - path_fd vtype_obj_fd token_fd "
    "segv_on_fault no_user_conv rb_overwrite"
).split()
"""BPF_F_…, of maps, by their bits."""


def program_type(number: int) -> str:
    return _named(_PROGRAM, number)


def map_type(number: int) -> str:
    return _named(_MAP, number)


def link_type(number: int) -> str:
    return _named(_LINK, number)


def attach_type(number: int) -> str:
    return _named(_ATTACH, number)


def map_flags(flags: int) -> tuple[str, ...]:
    """Return the words of a map's flags; a bit without one as `bit N`."""
    return tuple(
        _FLAGS[bit] if bit < len(_FLAGS) and _FLAGS[bit] != "-" else f"bit {bit}"
        for bit in range(32)
        if flags >> bit & 1
    )


def _named(table: list[str], number: int) -> str:
    return table[number] if number < len(table) else f"type {number}"
