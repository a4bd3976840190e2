"""Who has an object open: our own iterator over descriptors, or else a walk over /proc/PID/fd."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator

from core.bpf import iterators, syscall
from core.bpf.iterators import HolderRow, HostIterators
from core.bpf.records import Attachment, Hold, HoldKind, Kind, Refused
from core.system.host import Host

_INITIAL_PID_NAMESPACE = 4026531836  # include/linux/proc_ns.h, PROC_PID_INIT_INO

_KINDS = {
    iterators.PROGRAM: Kind.PROGRAM,
    iterators.MAP: Kind.MAP,
    iterators.LINK: Kind.LINK,
    iterators.BTF: Kind.BTF,
    iterators.PERF_EVENT: Kind.PROGRAM,
}
_FDINFO = {
    "anon_inode:bpf-prog": (iterators.PROGRAM, b"prog_id"),
    "anon_inode:bpf-map": (iterators.MAP, b"map_id"),
    "anon_inode:bpf_link": (iterators.LINK, b"link_id"),
    "anon_inode:btf": (iterators.BTF, b"btf_id"),
}


def pids_are_the_kernels(host: Host) -> bool:
    """True when the pids that the kernel reports are those of the host's /proc."""
    try:
        return os.stat(host.proc / "self/ns/pid").st_ino == _INITIAL_PID_NAMESPACE
    except OSError:
        return False


def descriptors(host: Host, own: HostIterators | None, refused: list[Refused]) -> list[HolderRow]:
    """Return every descriptor of a program, map, link, BTF object or perf event with a program.

    The walk over /proc finds no perf events' programs unless it may ask for them, and nothing of
    processes that it may not look into: those are one row of `refused`.
    """
    if own is not None and own.has("holders") and own.has("own_files") and pids_are_the_kernels(host):
        return own.holders()
    return list(_walk(host, refused))


def holds_of(rows: list[HolderRow]) -> list[Hold]:
    """Return one hold for each process and object."""
    grouped: dict[tuple[int, int, int], list[HolderRow]] = {}
    for row in rows:
        grouped.setdefault((row.object, row.id, row.pid), []).append(row)
    return [
        Hold(
            _KINDS[object_],
            number,
            HoldKind.PERF_EVENT if object_ == iterators.PERF_EVENT else HoldKind.DESCRIPTOR,
            pid=pid,
            fds=tuple(row.fd for row in same),
            comm=same[0].comm,
        )
        for (object_, number, pid), same in grouped.items()
        if object_ in _KINDS
    ]


def perf_attachments(rows: list[HolderRow]) -> list[Attachment]:
    """Return where the programs of perf descriptors run: tracepoint, kprobe or uprobe by name."""
    found = []
    for row in rows:
        if row.object == iterators.PERF_EVENT:
            kind, place = "perf event", b"sampling"
            with contextlib.suppress(OSError):
                _, kind, place = syscall.perf_target(row.pid, row.fd)
            found.append(Attachment(row.id, kind, place))
    return sorted(set(found), key=lambda found: (found.program_id, found.where))


def _walk(host: Host, refused: list[Refused]) -> Iterator[HolderRow]:
    hidden = 0
    for name in os.listdir(host.proc):
        if not name.isdecimal():
            continue
        try:
            fds = os.listdir(host.proc / name / "fd")
        except OSError as error:
            hidden += error.errno in (errno.EACCES, errno.EPERM)
            continue
        comm = b""
        for fd in fds:
            row = _look(host, name, fd)
            if row is not None:
                comm = comm or _read(host, name, "comm").rstrip(b"\n")
                yield row._replace(comm=comm)
    if hidden:
        refused.append(
            Refused(f"the descriptors of {hidden} processes", "/proc does not show them", "CAP_SYS_PTRACE")
        )


def _look(host: Host, pid: str, fd: str) -> HolderRow | None:
    try:
        target = os.readlink(host.proc / pid / "fd" / fd)
    except OSError:
        return None
    if target == "anon_inode:[perf_event]":
        with contextlib.suppress(OSError):
            program, _, _ = syscall.perf_target(int(pid), int(fd))
            return HolderRow(int(pid), int(fd), iterators.PERF_EVENT, program, b"") if program else None
        return None
    if target not in _FDINFO:
        return None
    kind, field = _FDINFO[target]
    for line in _read(host, pid, f"fdinfo/{fd}").split(b"\n"):
        key, _, value = line.partition(b":\t")
        if key == field and value.isdigit():
            return HolderRow(int(pid), int(fd), kind, int(value), b"")
    return None


def _read(host: Host, pid: str, name: str) -> bytes:
    try:
        with open(host.proc / pid / name, "rb", buffering=0) as file:
            return file.read(4096)
    except OSError:
        return b""
