"""What is loaded on a host, as frozen records. Bytes come from whoever loaded it: not yet safe to show.

None is "cannot be told" or "not counted"; it is never 0. Ids are the kernel's, and are not used again soon.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Kind(StrEnum):
    """The four kinds of objects that have ids."""

    PROGRAM = "program"
    MAP = "map"
    LINK = "link"
    BTF = "btf"


class HoldKind(StrEnum):
    """How an object is kept loaded."""

    DESCRIPTOR = "descriptor"
    """A process has it open."""
    LINK = "link"
    """A link runs the program; what keeps the link says who keeps both."""
    PIN = "pin"
    """It has a name in a bpffs."""
    NETDEV = "netdev"
    """A network device runs it without a link: old XDP, tc filters."""
    NETNS = "netns"
    CGROUP = "cgroup"
    """A cgroup runs it without a link."""
    PERF_EVENT = "perf event"
    TAIL_CALL = "tail call"
    """It is in a slot of a prog_array."""
    STRUCT_OPS = "struct_ops"
    INNER_MAP = "inner map"
    """It is an element of a map of maps."""
    PROGRAM = "program"
    """A loaded program uses the map or the BTF."""
    MAP = "map"
    """A map is described by the BTF."""


class Program(msgspec.Struct, frozen=True):
    """One program. `name` is the whole name where its BTF has it, else the kernel's 15 bytes.

    `loaded_ns` is CLOCK_BOOTTIME. `run_ns`, `run_count`: None while nobody has ever counted. `misses`: runs
    that did not happen because the program was running on that CPU. `memory` is in bytes. `attach_to` is the
    function, tracepoint or iterator by name; b"" where the program does not say.
    """

    id: int
    type: str
    name: bytes
    tag: str
    loaded_ns: int
    uid: int
    gpl: bool
    run_ns: int | None
    run_count: int | None
    misses: int | None
    verified_insns: int | None
    xlated_bytes: int
    jited_bytes: int
    memory: int | None
    map_ids: tuple[int, ...]
    btf_id: int
    attach_to: bytes
    ours: bool = False


class Map(msgspec.Struct, frozen=True):
    """One map. `memory` is in bytes; before Linux 6.4 the kernel's estimate. `entries` None: not counted.

    `key_type`, `value_type` are type ids in the BTF object `btf_id`, 0 without one. `kernel_value_type` is
    one in the kernel's own BTF (struct_ops).
    """

    id: int
    type: str
    name: bytes
    key_size: int
    value_size: int
    max_entries: int
    flags: int
    extra: int
    memory: int | None
    frozen: bool | None
    btf_id: int
    key_type: int
    value_type: int
    kernel_value_type: int = 0
    owner_type: str = ""
    """The type of the programs that a prog_array takes, once it has one."""
    entries: int | None = None
    """Elements in it; of a ring buffer the bytes that wait to be read."""
    ours: bool = False


class Link(msgspec.Struct, frozen=True):
    """One link. `target` says in words what the program is attached to; `detached` when that is gone.

    `ifindex` is a device of the network namespace of whoever made the link; the kernel does not say which.
    """

    id: int
    type: str
    program_id: int
    attach: str
    target: bytes
    detached: bool = False
    ifindex: int = 0
    cgroup_id: int = 0
    netns: int = 0
    map_id: int = 0
    cookie: int = 0
    ours: bool = False


class BtfObject(msgspec.Struct, frozen=True):
    """One BTF object. `name` is the module's, or b"vmlinux", where the kernel made it; else b""."""

    id: int
    size: int
    name: bytes
    kernel: bool
    ours: bool = False


class Hold(msgspec.Struct, frozen=True):
    """One reason why an object stays loaded.

    `by` is the id of the link, map or program that holds it. `place` is a path, device, cgroup or slot;
    `namespace` is the inode of the mount or network namespace it is in.
    """

    object: Kind
    id: int
    kind: HoldKind
    pid: int = 0
    fds: tuple[int, ...] = ()
    comm: bytes = b""
    by: int = 0
    place: bytes = b""
    namespace: int = 0
    detail: bytes = b""


class Attachment(msgspec.Struct, frozen=True):
    """Where a program runs. `link_id` 0: attached without a link, it outlives whoever attached it."""

    program_id: int
    kind: str
    where: bytes
    namespace: int = 0
    link_id: int = 0
    detail: bytes = b""


class Refused(msgspec.Struct, frozen=True):
    """What could not be read: what, why, and the command or right that helps (empty: nothing does)."""

    what: str
    why: str
    fix: str = ""


class HostSnapshot(msgspec.Struct, frozen=True):
    """All that is loaded at one time (CLOCK_BOOTTIME). Each tuple is ordered by id."""

    taken_ns: int
    programs: tuple[Program, ...] = ()
    maps: tuple[Map, ...] = ()
    links: tuple[Link, ...] = ()
    btfs: tuple[BtfObject, ...] = ()
    holds: tuple[Hold, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    refused: tuple[Refused, ...] = ()
    counting: bool = False
    """True while run times are counted for us."""
