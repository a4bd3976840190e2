"""What a link is attached to, in words, from bpf_link_info (include/uapi/linux/bpf.h)."""

from __future__ import annotations

import ctypes
import struct

from msgspec.structs import replace

from core.bpf import names, syscall
from core.bpf.records import Link
from core.bpf.types import TypeNames

_NAME_ROOM = 4096
_U32 = struct.Struct("=I")

_PERF = {1: "uprobe", 2: "uretprobe", 3: "kprobe", 4: "kretprobe", 5: "tracepoint", 6: "event"}
_NAMED_AT = {"raw_tracepoint": (16, 24), "iter": (16, 24), "uprobe_multi": (16, 48)}
"""Where the address and the length of a name's buffer go."""

_FAMILIES = {2: "ipv4", 3: "arp", 5: "netdev", 7: "bridge", 10: "ipv6"}
_HOOKS = ("prerouting", "input", "forward", "output", "postrouting")
_SOFTWARE = (  # noqa: SIM905
    "cpu-clock task-clock page-faults context-switches cpu-migrations minor-faults major-faults "
    "alignment-faults emulation-faults dummy bpf-output cgroup-switches"
).split()
_HARDWARE = (  # noqa: SIM905
    "cpu-cycles instructions cache-references cache-misses branch-instructions branch-misses "
    "bus-cycles stalled-cycles-frontend stalled-cycles-backend ref-cpu-cycles"
).split()


def read_link(number: int, fd: int, types: TypeNames) -> Link:
    """Read one link; a type that we do not know has no target. Raises OSError."""
    raw = syscall.info("link", fd)
    kind, _, program = struct.unpack_from("=III", raw)
    link = Link(id=number, type=names.link_type(kind), program_id=program, attach="", target=b"")
    if link.type in _NAMED_AT:
        raw, name = _named(fd, *_NAMED_AT[link.type])
    elif link.type == "perf_event":
        return _perf_event(link, fd, raw)
    else:
        name = b""
    reader = _READERS.get(link.type)
    return reader(link, raw, name, types) if reader else link


def _named(fd: int, address_at: int, size_at: int, first: bytes = b"") -> tuple[bytearray, bytes]:
    """Return the info once more, with the name that the kernel writes to a buffer of ours."""
    room = ctypes.create_string_buffer(_NAME_ROOM)
    asked = bytearray(first.ljust(64, b"\0"))
    struct.pack_into("=Q", asked, address_at, ctypes.addressof(room))
    _U32.pack_into(asked, size_at, _NAME_ROOM)
    return syscall.info("link", fd, bytes(asked)), room.value


def _raw_tracepoint(link: Link, raw: bytearray, name: bytes, types: TypeNames) -> Link:
    return replace(link, target=name, cookie=struct.unpack_from("=Q", raw, 32)[0])


def _tracing(link: Link, raw: bytearray, name: bytes, types: TypeNames) -> Link:
    attach, object_id, type_id = struct.unpack_from("=III", raw, 16)
    target = types.attach_target(object_id, type_id)
    cookie = struct.unpack_from("=Q", raw, 32)[0]
    return replace(link, attach=names.attach_type(attach), target=target, cookie=cookie)


def _cgroup(link: Link, raw: bytearray, name: bytes, types: TypeNames) -> Link:
    cgroup, attach = struct.unpack_from("=QI", raw, 16)
    target = b"cgroup %d" % cgroup if cgroup else b"a cgroup that was removed"
    return replace(
        link, attach=names.attach_type(attach), target=target, cgroup_id=cgroup, detached=not cgroup
    )


def _iter(link: Link, raw: bytearray, name: bytes, types: TypeNames) -> Link:
    (map_id,) = _U32.unpack_from(raw, 28)
    if b"bpf_map_elem" in name or b"storage_map" in name:
        return replace(link, target=b"%s of map %d" % (name, map_id), map_id=map_id)
    (cgroup,) = struct.unpack_from("=Q", raw, 32)
    tid, pid = struct.unpack_from("=II", raw, 32)
    detail = b""
    if name.startswith(b"cgroup") and cgroup:
        detail = b" from cgroup %d" % cgroup
    elif name.startswith(b"task") and (tid or pid):
        detail = b" of thread %d" % tid if tid else b" of process %d" % pid
    return replace(link, target=name + detail)


def _netns(link: Link, raw: bytearray, name: bytes, types: TypeNames) -> Link:
    inode, attach = struct.unpack_from("=II", raw, 16)
    target = b"network namespace %d" % inode if inode else b"a network namespace that is gone"
    return replace(link, attach=names.attach_type(attach), target=target, netns=inode, detached=not inode)


def _device(link: Link, raw: bytearray, name: bytes, types: TypeNames) -> Link:
    ifindex, attach = struct.unpack_from("=II", raw, 16)
    target = b"device %d" % ifindex if ifindex else b"a device that was removed"
    word = "" if link.type == "xdp" else names.attach_type(attach)
    return replace(link, attach=word, target=target, ifindex=ifindex, detached=not ifindex)


def _of_map(link: Link, raw: bytearray, name: bytes, types: TypeNames) -> Link:
    map_id, attach = struct.unpack_from("=II", raw, 16)
    word = names.attach_type(attach) if link.type == "sockmap" else ""
    target = b"map %d" % map_id if map_id else b"a map that is gone"
    return replace(link, attach=word, target=target, map_id=map_id, detached=not map_id)


def _netfilter(link: Link, raw: bytearray, name: bytes, types: TypeNames) -> Link:
    family, hook, priority, _ = struct.unpack_from("=IIiI", raw, 16)
    hook_word = _HOOKS[hook] if hook < len(_HOOKS) else f"hook {hook}"
    text = f"{_FAMILIES.get(family, f'family {family}')} {hook_word}, priority {priority}"
    return replace(link, target=text.encode())


def _kprobe_multi(link: Link, raw: bytearray, name: bytes, types: TypeNames) -> Link:
    count, flags = struct.unpack_from("=II", raw, 24)
    return replace(link, attach="kretprobe" if flags & 1 else "kprobe", target=_counted(count, b"function"))


def _uprobe_multi(link: Link, raw: bytearray, name: bytes, types: TypeNames) -> Link:
    count, flags, pid = struct.unpack_from("=III", raw, 52)
    target = b"%s of %s" % (_counted(count, b"place"), name) if count else b"not told by this kernel"
    target += b", process %d" % pid if pid else b""
    return replace(link, attach="uretprobe" if flags & 1 else "uprobe", target=target)


def _counted(count: int, word: bytes) -> bytes:
    return b"%d %s%s" % (count, word, b"" if count == 1 else b"s") if count else b"not told by this kernel"


_READERS = {
    "raw_tracepoint": _raw_tracepoint,
    "tracing": _tracing,
    "cgroup": _cgroup,
    "iter": _iter,
    "netns": _netns,
    "xdp": _device,
    "tcx": _device,
    "netkit": _device,
    "struct_ops": _of_map,
    "sockmap": _of_map,
    "netfilter": _netfilter,
    "kprobe_multi": _kprobe_multi,
    "uprobe_multi": _uprobe_multi,
}


def _perf_event(link: Link, fd: int, raw: bytearray) -> Link:
    """A perf event: since Linux 6.6 the kernel says of which kind; before, it answers zeros."""
    (number,) = _U32.unpack_from(raw, 16)
    kind = _PERF.get(number, "")
    if not kind:
        return replace(link, target=b"not told by this kernel")
    if kind == "event":
        config, type_ = struct.unpack_from("=QI", raw, 24)
        return replace(link, attach=kind, target=_event(type_, config))
    raw, name = _named(fd, 24, 32, bytes(raw[:24]))
    if kind == "tracepoint":
        return replace(link, attach=kind, target=name, cookie=struct.unpack_from("=Q", raw, 40)[0])
    (offset,) = _U32.unpack_from(raw, 36)
    cookie_at = 40 if kind.startswith("u") else 56
    (cookie,) = struct.unpack_from("=Q", raw, cookie_at)
    return replace(link, attach=kind, target=name + (b"+0x%x" % offset if offset else b""), cookie=cookie)


def _event(type_: int, config: int) -> bytes:
    table = {0: _HARDWARE, 1: _SOFTWARE}.get(type_, [])
    if config < len(table):
        return table[config].encode()
    return b"event type %d, config 0x%x" % (type_, config)
