"""Packets: data and data_end, and helpers that move them."""

from buildgen.verifier.rejections.row import Row

_CHECK = "if (data + sizeof(*eth) > data_end)\n\treturn XDP_PASS;"

MOVED = Row(
    "",
    "{helper}() may move the packet, so data, data_end and all pointers made of them from before it are no "
    "longer valid",
    "load data and data_end again after {helper}(), and compare them again before the access",
    "bpf_skb_store_bytes(skb, 0, &z, 2, 0);\nreturn eth->h_proto;",
    "bpf_skb_store_bytes(skb, 0, &z, 2, 0);\neth = (void *)(long)skb->data;\n"
    "if ((void *)(eth + 1) > (void *)(long)skb->data_end)\n\treturn 0;",
)
"""For a packet pointer that is a plain number to the verifier now: known by the trace, not by the words."""

ROWS = (
    Row(
        r"invalid access to packet, off=(?P<off>-?\d+) size=(?P<len>\d+), "
        r"R(?P<reg>\d+)\(.*?r=(?P<range>\d+)\)",
        "the packet is read at bytes {off} to {last}, and it was made sure only that it has {range}: no "
        "comparison with data_end covers this access on this path",
        "compare with data_end before the access: if ((void *)(header + 1) > data_end) return; do it for "
        "each header",
        "if (ip->protocol == 17)",
        "if ((void *)(ip + 1) > data_end)\n\treturn XDP_PASS;\nif (ip->protocol == 17)",
    ),
    Row(
        r"invalid access to packet|R\d+ offset is outside of the packet",
        "the packet is read beyond what was compared with data_end",
        "compare with data_end before the access: if ((void *)(header + 1) > data_end) return",
        "eth->h_proto",
        _CHECK,
    ),
    Row(
        r"helper access to the packet is not allowed",
        "this helper, {helper}, does not take a pointer into the packet in programs of this type",
        "copy the bytes to the stack first, e.g. __builtin_memcpy() of a constant size, and pass the copy",
        "bpf_ringbuf_output(&rb, data, 14, 0);",
        "char head[14];\n__builtin_memcpy(head, data, sizeof(head));\nbpf_ringbuf_output(&rb, head, "
        "sizeof(head), 0);",
    ),
    Row(
        r"cannot write into packet|does not allow writes to packet data",
        "programs of this type may read the packet, not write to it",
        "use a helper that stores into the packet (bpf_skb_store_bytes()), or a program type that may write "
        "(tc, xdp)",
    ),
    Row(
        r"at the time of BPF_LD_ABS\|IND R6 != pointer to skb|BPF_LD_\[ABS\|IND\]",
        "the old packet instructions (load_byte(), BPF_LD_ABS) are not allowed here",
        "read the packet with bpf_skb_load_bytes()",
    ),
)
