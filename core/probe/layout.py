"""The record layouts of core/probe/record.h, and the conversion of records to events and entries.

tests/core/probe/test_layout.py compares these with the object's own BTF.
"""

from __future__ import annotations

from functools import lru_cache
from struct import Struct
from struct import error as StructError
from typing import Any, NamedTuple

from core.containers.cgroup_file import CgroupLine, chosen_line
from core.model.entities import Credentials, ProcessEntry, Usage
from core.model.events import CgroupMove, Event, Exec, Exit, Fork, Reaped, SnapshotRecord

FORK, EXEC, EXIT, REAPED, CGROUP, FOUND = 1, 2, 3, 4, 5, 6
KTHREAD, EXE_UNLINKED, EXE_PARTIAL, ARGS_PARTIAL, CGROUP_PARTIAL, ZOMBIE, NEW_RIGHTS = 1, 2, 4, 8, 16, 32, 64
ARGS_LOCKED = 128

LAYOUT = 5
"""LAYOUT of record.h."""

FACTS = Struct("=II8Q16s2Q4I28s13I32s")
"""Capabilities, ids, and comm with tty stay bytes here: few distinct values recur, so they are cached."""
ENDING = Struct("=IIQQ80xI64xI")
"""Only the facts for an exit and a reaping: kind, flags, ts, start, pid, exit code."""
_unpack_kind = Struct("=I").unpack_from
_unpack_facts, _unpack_ending, _HEAD = FACTS.unpack_from, ENDING.unpack_from, FACTS.size  # for every event
PID_ENTRY = Struct("=6Q16s2I28s5I32s")
CAPABILITIES = Struct("=2Q")
IDS = Struct("=7I")
NAMES = Struct("=16s16s")
PROC_ENTRY = Struct("=3Q6I512s512s")
CGROUP_SET = Struct("=I2048s")
PLACE = Struct("=QIHH")
IDENTITY = Struct("=QIII4x")

STORED_EXE = STORED_ARGS = 512
"""Bytes of names and argv that the maps keep; longer ones are marked and completed from /proc."""
STORED_CGROUPS = 2048
"""Bytes of the cgroups of a process that the maps keep, one cgroup per hierarchy."""

_CONTROLLERS_OF_KIND = (b"", b"name=", b"controllers")
"""A substitute for the second field of /proc/PID/cgroup, by `enum place_kind`."""

NO_LOGIN = 0xFFFFFFFF
PAGE = 4096

_STATES = "RSDTtXZPI"  # fs/proc/array.c, task_state_array
_SHOWN_AS_D = 0x9000  # TASK_FROZEN, as in a paused container of cgroup v1, and TASK_RTLOCK_WAIT
_IDLE = 0x402  # TASK_IDLE: TASK_UNINTERRUPTIBLE | TASK_NOLOAD


@lru_cache(maxsize=4096)  # few distinct programs and cgroups recur
def path_of(names: bytes) -> bytes:
    """Return the path from its names as the kernel sends them: leaf first, each ending in NUL."""
    if not names:
        return b""
    parts = names[:-1].split(b"\0")
    parts.reverse()
    return b"/" + b"/".join(parts)


def names_of(path: bytes) -> bytes:
    """Return the names of a path for the maps: the inverse of `path_of`."""
    parts = [part for part in path.split(b"/") if part]
    return b"".join(part + b"\0" for part in reversed(parts))


def exe_of(names: bytes, flags: int) -> bytes:
    """Return the executable's path in the form of readlink /proc/PID/exe."""
    path = path_of(names)
    return path + b" (deleted)" if path and flags & EXE_UNLINKED else path


class Cgroup(NamedTuple):
    """The cgroup that identifies the container. The id is unique only within its hierarchy."""

    path: bytes
    id: int
    hierarchy: int


UNKNOWN_CGROUP = Cgroup(b"", 0, 0)
"""A cgroup that has to be read from /proc."""


def cgroup_of(places: bytes, flags: int) -> Cgroup:
    """Return the cgroup that identifies the container, from the record's cgroups, one per hierarchy.

    UNKNOWN_CGROUP when a path was cut: then /proc has it.
    """
    return UNKNOWN_CGROUP if flags & CGROUP_PARTIAL else _cgroup_of(places)


@lru_cache(maxsize=4096)  # few distinct sets of cgroups recur
def _cgroup_of(places: bytes) -> Cgroup:
    lines = lines_of(places)
    chosen = chosen_line(tuple(lines))
    return UNKNOWN_CGROUP if chosen is None else Cgroup(chosen.path, lines[chosen], chosen.hierarchy)


def lines_of(places: bytes) -> dict[CgroupLine, int]:
    """Return the lines of /proc/PID/cgroup for the cgroups in a record, each with the cgroup's id.

    Paths are those of the initial cgroup namespace. An incomplete record at the end is left out.
    """
    lines = {}
    at = 0
    while at + PLACE.size <= len(places):
        number, hierarchy, kind, size = PLACE.unpack_from(places, at)
        at += PLACE.size
        names = places[at : at + size]
        at += size
        if kind < len(_CONTROLLERS_OF_KIND):
            line = CgroupLine(hierarchy, _CONTROLLERS_OF_KIND[kind], path_of(names) or b"/")
            lines[line] = number
    return lines


EXE_CUT = "the executable's path is longer than the kernel tier reports"
"""The `problem` of an entry with only the end of a path in `exe`."""


def state_letter(state: int) -> str:
    """Return the letter of /proc/PID/stat for `__state | exit_state`."""
    if state & _IDLE == _IDLE:
        return "I"
    if state & _SHOWN_AS_D:
        return "D"
    return _STATES[(state & 0x7F).bit_length()]


def text(field: bytes) -> bytes:
    """Return a NUL-padded field up to its first NUL."""
    return field.partition(b"\0")[0]


@lru_cache(maxsize=4096)
def names_in(field: bytes) -> tuple[bytes, bytes]:
    """Return comm and terminal from the bytes with both; the terminal as in `ps`: `pts0` becomes pts/0."""
    comm, tty = NAMES.unpack(field)
    tty = tty.rstrip(b"\0")
    if tty.startswith(b"pts") and tty[3:].isdigit():
        tty = b"pts/" + tty[3:]
    return text(comm), tty


def decode_event(data: bytes) -> Event:
    """Return the event of one ring buffer record. Raises ValueError for an invalid record."""
    try:
        (kind,) = _unpack_kind(data)
        if kind == EXIT:
            _, _, ts_ns, start_ns, pid, exit_code = _unpack_ending(data)
            return Exit(ts_ns, pid, start_ns, exit_code)
        if kind == REAPED:
            _, _, ts_ns, start_ns, pid, _ = _unpack_ending(data)
            return Reaped(ts_ns, pid, start_ns)
        facts = _unpack_facts(data)
        if kind == FORK:
            return _fork(facts, data)
        if kind == EXEC:
            return Exec(facts[2], _entry(facts, data, facts[2]), facts[9])
        if kind == CGROUP:
            cgroup = cgroup_of(data[_HEAD : _HEAD + facts[27]], facts[1])
            return CgroupMove(facts[2], facts[13], facts[3], cgroup.id, cgroup.path, cgroup.hierarchy)
    except (IndexError, StructError) as error:
        raise ValueError(f"record of {len(data)} bytes: {error}") from None
    raise ValueError(f"record of unknown kind {kind}")


def decode_snapshot(data: bytes) -> list[SnapshotRecord]:
    """Return the records of a whole snapshot; an incomplete last record is left out."""
    records = []
    at = 0
    while at + _HEAD <= len(data):
        facts = _unpack_facts(data, at)
        end = at + _HEAD + facts[26] + facts[27] + facts[28] + facts[29]
        if end > len(data):
            break
        entry = _entry(facts, data[at:end], facts[3])
        usage = Usage(facts[11], facts[12] * PAGE, state_letter(facts[23]), facts[22])
        records.append(SnapshotRecord(entry, usage, facts[1] & ARGS_LOCKED != 0))
        at = end
    return records


@lru_cache(maxsize=4096)
def credentials_of(ids: bytes, capabilities: bytes) -> Credentials:
    """Return credentials from the bytes from uid to login_uid, and the bytes of both capability sets."""
    uid, gid, euid, egid, fsuid, fsgid, login = IDS.unpack(ids)
    effective, permitted = CAPABILITIES.unpack(capabilities)
    login_uid = None if login == NO_LOGIN else login
    return Credentials(uid, gid, euid, egid, fsuid, fsgid, login_uid, effective, permitted)


def bytes_of(creds: Credentials) -> tuple[bytes, bytes]:
    """Return ids and capability sets as bytes for the maps: the inverse of `credentials_of`."""
    login = NO_LOGIN if creds.login_uid is None else creds.login_uid
    ids = IDS.pack(creds.uid, creds.gid, creds.euid, creds.egid, creds.fsuid, creds.fsgid, login)
    return ids, CAPABILITIES.pack(creds.cap_effective, creds.cap_permitted)


def entry_of_maps(pid: int, process: tuple[Any, ...], image: tuple[Any, ...], cgroup: Cgroup) -> ProcessEntry:
    """Return the entry for the values in pid_cache and proc_cache."""
    flags = image[5]
    cmdline = image[10][: image[8]]
    comm, tty = names_in(process[15])
    return ProcessEntry(
        pid,
        process[1],
        process[8],
        process[7],
        process[2],
        comm,
        exe_of(image[9][: image[7]], flags),
        image[0],
        image[3],
        image[4],
        image[1],
        cmdline,
        is_cut(cmdline, image[6], flags),
        credentials_of(process[9], process[6]),
        tty,
        cgroup.path,
        cgroup.id,
        process[10],
        process[11],
        process[3],
        image[2],
        process[0],
        False,
        EXE_CUT if flags & EXE_PARTIAL else "",
        b"",
        process[13],
        cgroup.hierarchy,
    )


def is_cut(cmdline: bytes, size: int, flags: int) -> bool:
    """Return whether /proc has more of an argv of `size` bytes than was sent.

    Without a final NUL the program has overwritten its argv with a title: only /proc has its end.
    """
    return size > 0 and (bool(flags & ARGS_PARTIAL) or not cmdline.endswith(b"\0"))


def _fork(facts: tuple[Any, ...], data: bytes) -> Fork:
    flags = facts[1]
    comm, tty = names_in(facts[31])
    cgroup = cgroup_of(data[_HEAD : _HEAD + facts[27]], flags)
    # By position, in the order of the record: keyword arguments would cost a third of an event's time.
    return Fork(
        facts[2],
        facts[13],
        facts[3],
        facts[14],
        facts[15],
        facts[4],
        facts[16],
        facts[9],
        comm,
        credentials_of(facts[17], facts[10]),
        facts[5],
        cgroup.id,
        cgroup.path,
        facts[20],
        facts[21],
        tty,
        flags & KTHREAD != 0,
        facts[30],
        cgroup.hierarchy,
    )


def _entry(facts: tuple[Any, ...], data: bytes, exec_ns: int) -> ProcessEntry:
    flags = facts[1]
    names = _HEAD + facts[26]
    script = names + facts[27]
    args = script + facts[29]
    cmdline = data[args : args + facts[28]]
    comm, tty = names_in(facts[31])
    cgroup = cgroup_of(data[names:script], flags)
    return ProcessEntry(
        facts[13],
        facts[3],
        facts[14],
        facts[15],
        facts[4],
        comm,
        exe_of(data[_HEAD:names], flags),
        facts[7],
        facts[18],
        facts[19],
        facts[8],
        cmdline,
        is_cut(cmdline, facts[25], flags),
        credentials_of(facts[17], facts[10]),
        tty,
        cgroup.path,
        cgroup.id,
        facts[20],
        facts[21],
        facts[3],
        exec_ns,
        facts[5],
        flags & KTHREAD != 0,
        EXE_CUT if flags & EXE_PARTIAL else "",
        data[script:args].removesuffix(b"\0"),
        facts[30],
        cgroup.hierarchy,
    )
