"""Which field of its context a program accesses at an offset, by include/uapi/linux/bpf.h: an ABI."""

from __future__ import annotations

_SKB = (
    (0, "len"), (4, "pkt_type"), (8, "mark"), (12, "queue_mapping"), (16, "protocol"), (20, "vlan_present"),
    (24, "vlan_tci"), (28, "vlan_proto"), (32, "priority"), (36, "ingress_ifindex"), (40, "ifindex"),
    (44, "tc_index"), (48, "cb"), (68, "hash"), (72, "tc_classid"), (76, "data"), (80, "data_end"),
    (84, "napi_id"), (88, "family"), (92, "remote_ip4"), (96, "local_ip4"), (100, "remote_ip6"),
    (116, "local_ip6"), (132, "remote_port"), (136, "local_port"), (140, "data_meta"), (144, "flow_keys"),
    (152, "tstamp"), (160, "wire_len"), (164, "gso_segs"), (168, "sk"), (176, "gso_size"),
    (180, "tstamp_type"), (184, "hwtstamp"), (192, ""),
)  # fmt: skip
_XDP = (
    (0, "data"), (4, "data_end"), (8, "data_meta"), (12, "ingress_ifindex"), (16, "rx_queue_index"),
    (20, "egress_ifindex"), (24, ""),
)  # fmt: skip
_SOCK_ADDR = (
    (0, "user_family"), (4, "user_ip4"), (8, "user_ip6"), (24, "user_port"), (28, "family"), (32, "type"),
    (36, "protocol"), (40, "msg_src_ip4"), (44, "msg_src_ip6"), (60, ""), (64, "sk"), (72, ""),
)  # fmt: skip
_SK_MSG = (
    (0, "data"), (8, "data_end"), (16, "family"), (20, "remote_ip4"), (24, "local_ip4"), (28, "remote_ip6"),
    (44, "local_ip6"), (60, "remote_port"), (64, "local_port"), (68, "size"), (72, "sk"), (80, ""),
)  # fmt: skip

_FIELDS = {"__sk_buff": _SKB, "xdp_md": _XDP, "bpf_sock_addr": _SOCK_ADDR, "sk_msg_md": _SK_MSG}
"""Struct -> (offset, field) in this order; a last one without a name is the end."""
_STRUCTS = {
    **dict.fromkeys(
        [
            *("socket_filter", "sched_cls", "sched_act", "cgroup_skb", "sk_skb", "flow_dissector"),
            *("lwt_in", "lwt_out", "lwt_xmit", "lwt_seg6local"),
        ],
        "__sk_buff",
    ),
    "xdp": "xdp_md",
    "cgroup_sock_addr": "bpf_sock_addr",
    "sk_msg": "sk_msg_md",
}


def context_field(program_type: str, offset: int) -> str:
    """Return `struct.field` at an offset of the context, empty where there is none or it is not known."""
    struct = _STRUCTS.get(program_type, "")
    name = ""
    for start, field in _FIELDS.get(struct, ()):
        if start > offset:
            return f"{struct}.{name}" if name and offset >= 0 else ""
        name = field
    return ""
