"""Maps: what a program may do with them."""

from buildgen.verifier.rejections.row import Row

ROWS = (
    Row(
        r"Sleepable programs can only use",
        "sleepable programs cannot use maps of this type in this kernel",
        "use hash, array, ringbuf or local storage maps (newer kernels allow more)",
    ),
    Row(
        r"cannot update sockmap in this context|invalid arg_type for sockmap",
        "programs of this type may not change sockmaps",
        "update it in a sock_ops or tracing program, or from user space",
    ),
)

BROAD = (
    Row(
        r"bpf_struct_ops map cannot be used in prog|offload device mismatch|cannot use map|"
        r"fd \d+ is not pointing to valid bpf_map|"
        r"fd_idx without fd_array|trie map|map .*(?:not supported|cannot)|invalid map_ptr to access|"
        r"tracing progs cannot use map",
        "a program of this type cannot use this map",
        "use a map of another type",
    ),
)
"""Patterns that are tried after those of all themes."""
