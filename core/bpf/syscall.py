"""bpf(2) itself, for what reads the objects of the whole host.

Listing needs five commands whose structures only ever grow at their end, so it goes without libbpf (a host
that has none still lists its programs) and without one wrapper per structure. What has to be relocated for
the running kernel, our own iterators, is loaded with the libbpf of core.probe.

Every structure handed to the kernel is zeroed for each call: Linux 6.18 leaves fields of bpf_map_info as it
finds them when a map has no BTF.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Iterator
from contextlib import contextmanager

_NUMBERS = {"x86_64": 321, "i686": 357, "armv7l": 386, "s390x": 351, "ppc64le": 361}
_SYSCALL = _NUMBERS.get(platform.machine(), 280)  # arm64, riscv64, loongarch64 share one table

MAP_LOOKUP = 1
MAP_NEXT_KEY = 4
OBJ_GET = 7
PROG_NEXT_ID = 11
MAP_NEXT_ID = 12
PROG_BY_ID = 13
MAP_BY_ID = 14
INFO_BY_FD = 15
PROG_QUERY = 16
BTF_BY_ID = 19
TASK_FD_QUERY = 20
BTF_NEXT_ID = 23
LINK_BY_ID = 30
LINK_NEXT_ID = 31
ENABLE_STATS = 32

READ_ONLY = 1 << 3
"""BPF_F_RDONLY: of programs and maps; the kernel refuses it for links and BTF, which cannot be written."""

ENOTSUPP = 524
"""The kernel's own number for what an object cannot do; no errno table has it."""

_ATTR_SIZE = 144
_INFO_SIZE = {"program": 232, "map": 104, "link": 64, "btf": 32}

_BY_ID = {
    "program": (PROG_NEXT_ID, PROG_BY_ID),
    "map": (MAP_NEXT_ID, MAP_BY_ID),
    "link": (LINK_NEXT_ID, LINK_BY_ID),
    "btf": (BTF_NEXT_ID, BTF_BY_ID),
}
KINDS = tuple(_BY_ID)

_THREE = struct.Struct("=III")
_INFO = struct.Struct("=IIQ")

_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.syscall.restype = ctypes.c_long
_LIBC.syscall.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_uint]


def bpf(command: int, attributes: bytes | ctypes.Array[ctypes.c_char]) -> int:
    """Make one call. `attributes` is copied unless it is a ctypes buffer, which the kernel may answer in.

    Raises OSError with the kernel's number.
    """
    if isinstance(attributes, bytes):
        attributes = ctypes.create_string_buffer(attributes, _ATTR_SIZE)
    result: int = _LIBC.syscall(_SYSCALL, command, attributes, _ATTR_SIZE)
    if result < 0:
        number = ctypes.get_errno()
        text = "the object cannot do this" if number == ENOTSUPP else os.strerror(number)
        raise OSError(number, f"bpf(2), command {command}: {text}")
    return result


def ids(kind: str) -> Iterator[int]:
    """Yield the id of every object of a kind (`program`, `map`, `link`, `btf`), ascending.

    Raises PermissionError without CAP_SYS_ADMIN, OSError(EINVAL) on a kernel without the command.
    """
    command = _BY_ID[kind][0]
    attributes = ctypes.create_string_buffer(_ATTR_SIZE)
    now = 0
    while True:
        struct.pack_into("=III", attributes, 0, now, 0, 0)
        try:
            bpf(command, attributes)
        except FileNotFoundError:
            return
        (following,) = struct.unpack_from("=I", attributes, 4)
        if following <= now:  # never seen; it would be a circle
            return
        now = following
        yield now


def open_by_id(kind: str, number: int) -> int:
    """Open one object by its id, read-only; the caller closes it. Raises OSError (ENOENT: gone)."""
    return bpf(_BY_ID[kind][1], _THREE.pack(number, 0, READ_ONLY if kind == "map" else 0))


@contextmanager
def opened(kind: str, number: int) -> Iterator[int]:
    """Open one object by its id, read-only, for as long as the block runs. Raises OSError (ENOENT: gone)."""
    fd = open_by_id(kind, number)
    try:
        yield fd
    finally:
        os.close(fd)


def info(kind: str, fd: int, known: bytes = b"") -> bytearray:
    """Return the info structure of an object, zeros where this kernel's is shorter.

    `known` is what the caller fills in first: addresses and sizes of the caller's own buffers.
    """
    size = _INFO_SIZE[kind]
    answer = ctypes.create_string_buffer(known, size)
    bpf(INFO_BY_FD, _INFO.pack(fd, size, ctypes.addressof(answer)))
    return bytearray(answer.raw)


def run_counters(number: int) -> tuple[int, int, int] | None:
    """Return (runs, run ns, misses) of a program, None when it is gone. Raises OSError."""
    try:
        fd = open_by_id("program", number)
    except FileNotFoundError:
        return None
    try:
        run_ns, runs, misses = struct.unpack_from("=QQQ", info("program", fd), 192)
    finally:
        os.close(fd)
    return runs, run_ns, misses


def pinned(path: bytes) -> int:
    """Open what is pinned at a path, read-only where the kernel lets us; the caller closes it."""
    name = ctypes.create_string_buffer(path)
    try:
        return bpf(OBJ_GET, struct.pack("=QII", ctypes.addressof(name), 0, READ_ONLY))
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    return bpf(OBJ_GET, struct.pack("=QII", ctypes.addressof(name), 0, 0))  # a link


def look_up(fd: int, key: bytes, size: int) -> bytes | None:
    """Return the value of a key, `size` bytes of it, or None. Without flags: no lock of a value is taken.

    `size` is what the kernel writes: for per-CPU maps the value rounded up to 8, times the possible CPUs.
    """
    names = ctypes.create_string_buffer(key, max(1, len(key)))
    value = ctypes.create_string_buffer(max(1, size))
    call = struct.pack("=IIQQQ", fd, 0, ctypes.addressof(names), ctypes.addressof(value), 0)
    try:
        bpf(MAP_LOOKUP, call)
    except FileNotFoundError:
        return None
    return value.raw[:size]


def next_key(fd: int, key: bytes | None, size: int) -> bytes | None:
    """Return the key after `key` (None: the first one), None at the end."""
    before = ctypes.create_string_buffer(key, max(1, size)) if key is not None else None
    after = ctypes.create_string_buffer(max(1, size))
    address = ctypes.addressof(before) if before is not None else 0
    try:
        bpf(MAP_NEXT_KEY, struct.pack("=IIQQQ", fd, 0, address, ctypes.addressof(after), 0))
    except FileNotFoundError:
        return None
    return after.raw[:size]


def attached(target: int, attach_type: int, room: int = 64) -> tuple[int, ...]:
    """Return the ids of the programs attached at a cgroup or network namespace (a descriptor) or device.

    Raises OSError: EINVAL where the kernel does not know the attach type.
    """
    numbers = (ctypes.c_uint32 * room)()
    attributes = ctypes.create_string_buffer(_ATTR_SIZE)
    struct.pack_into("=IIIIQI", attributes, 0, target, attach_type, 0, 0, ctypes.addressof(numbers), room)
    try:
        bpf(PROG_QUERY, attributes)
    except OSError as error:
        if error.errno != errno.ENOSPC or room >= 4096:
            raise
        return attached(target, attach_type, 4096)
    (count,) = struct.unpack_from("=I", attributes, 24)
    return tuple(numbers[: min(count, room)])


def enable_stats() -> int:
    """Have the kernel count run times while the returned descriptor is open. CAP_SYS_ADMIN; Linux 5.8."""
    return bpf(ENABLE_STATS, struct.pack("=I", 0))


def perf_target(pid: int, fd: int) -> tuple[int, str, bytes]:
    """Return (program id, kind, function or file) of a perf descriptor of a process. Raises OSError.

    The kernel answers ENOTSUP for sampling events; `kind` is `tracepoint`, `kprobe`, `uprobe`…
    """
    room = ctypes.create_string_buffer(1024)
    attributes = ctypes.create_string_buffer(_ATTR_SIZE)
    struct.pack_into("=IIIIQ", attributes, 0, pid, fd, 0, len(room), ctypes.addressof(room))
    bpf(TASK_FD_QUERY, attributes)
    program, kind, offset = struct.unpack_from("=IIQ", attributes, 24)
    place = room.value + (b"+0x%x" % offset if offset else b"")
    return program, _TASK_FDS[kind] if kind < len(_TASK_FDS) else f"type {kind}", place


_TASK_FDS = ("raw_tracepoint", "tracepoint", "kprobe", "kretprobe", "uprobe", "uretprobe")

_PERF_EVENT_OPEN = {
    "x86_64": 298, "i686": 336, "armv7l": 364, "s390x": 331, "ppc64le": 319,
}.get(platform.machine(), 241)  # fmt: skip

_PERF_CALL = ctypes.CDLL(None, use_errno=True).syscall
_PERF_CALL.restype = ctypes.c_long
_PERF_CALL.argtypes = [ctypes.c_long, ctypes.c_void_p, *[ctypes.c_long] * 4]


def perf_event_open(attributes: bytes, pid: int, cpu: int) -> int:
    """Open a perf event; the caller closes it. Raises OSError."""
    buffer = ctypes.create_string_buffer(attributes, len(attributes))
    number: int = _PERF_CALL(_PERF_EVENT_OPEN, buffer, pid, cpu, -1, 8)  # PERF_FLAG_FD_CLOEXEC
    if number < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"perf_event_open: {os.strerror(code)}")
    return number


@contextmanager
def perf_event() -> Iterator[int]:
    """Open a perf event that never counts, of our own process; -1 where that is not allowed."""
    flags = 1 | 1 << 5 | 1 << 6  # disabled, without kernel and hypervisor
    attributes = struct.pack("=IIQQQQQ16x", 1, 64, 9, 0, 0, 0, flags)  # a software event: the dummy
    try:
        number = perf_event_open(attributes, 0, -1)
    except OSError:
        number = -1
    try:
        yield number
    finally:
        if number >= 0:
            os.close(number)
