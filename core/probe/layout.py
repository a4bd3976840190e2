"""The record layouts of core/probe/record.h, and the records made of them.

tests/core/probe/test_layout.py compares these with the object's own BTF.
"""

from __future__ import annotations

from functools import lru_cache
from struct import Struct
from struct import error as StructError

from core.model import Credentials, ProcessEntry, Usage
from core.records import CgroupMove, Event, Exec, Exit, Fork, Found, Reaped

FORK, EXEC, EXIT, REAPED, CGROUP, FOUND = 1, 2, 3, 4, 5, 6
KTHREAD, EXE_UNLINKED, EXE_PARTIAL, ARGS_PARTIAL, CGROUP_PARTIAL, ZOMBIE, NEW_RIGHTS = 1, 2, 4, 8, 16, 32, 64

LAYOUT = 4
"""LAYOUT of record.h."""

FACTS = Struct("=II12Q24I16s16s")
ENDING = Struct("=IIQQ80xI64xI")
"""Of the facts only what an exit and a reaping need: kind, flags, ts, start, pid, exit code."""
_unpack_facts, _unpack_ending = FACTS.unpack_from, ENDING.unpack_from  # for every event
PID_ENTRY = Struct("=8Q14I16s16s")
PROC_ENTRY = Struct("=3Q6I512s512s")
CGROUP_ENTRY = Struct("=II512s")

STORED_EXE = STORED_ARGS = STORED_CGROUP = 512
"""Bytes of names and argv that the maps keep; longer ones are marked and completed from /proc."""

NO_LOGIN = 0xFFFFFFFF
PAGE = 4096

_STATES = "RSDTtXZPI"  # fs/proc/array.c, task_state_array
_SHOWN_AS_D = 0x9000  # TASK_FROZEN, as in a paused container of cgroup v1, and TASK_RTLOCK_WAIT
_IDLE = 0x402  # TASK_IDLE: TASK_UNINTERRUPTIBLE | TASK_NOLOAD


@lru_cache(maxsize=4096)  # the same few programs and cgroups again and again
def path_of(names: bytes) -> bytes:
    """Return the path whose names, leaf first and each ending in NUL, the kernel sent."""
    if not names:
        return b""
    parts = names[:-1].split(b"\0")
    parts.reverse()
    return b"/" + b"/".join(parts)


def names_of(path: bytes) -> bytes:
    """The opposite of `path_of`, for what is pushed to the maps."""
    parts = [part for part in path.split(b"/") if part]
    return b"".join(part + b"\0" for part in reversed(parts))


def exe_of(names: bytes, flags: int) -> bytes:
    """Return the executable as readlink /proc/PID/exe shows it."""
    path = path_of(names)
    return path + b" (deleted)" if path and flags & EXE_UNLINKED else path


def cgroup_of(names: bytes, flags: int) -> bytes:
    """Return the path of a cgroup; empty when only its end was sent: then /proc knows it."""
    return b"" if flags & CGROUP_PARTIAL else path_of(names) or b"/"


EXE_CUT = "the executable's path is longer than what the kernel tier tells"
"""The `problem` of an entry whose `exe` is only the end of a path."""


def state_letter(state: int) -> str:
    """Return the letter of /proc/PID/stat for `__state | exit_state`."""
    if state & _IDLE == _IDLE:
        return "I"
    if state & _SHOWN_AS_D:
        return "D"
    return _STATES[(state & 0x7F).bit_length()]


@lru_cache(maxsize=256)
def tty_name(name: bytes) -> bytes:
    """Return a kernel terminal name as `ps` shows it: `pts0` is pts/0."""
    name = name.rstrip(b"\0")
    return b"pts/" + name[3:] if name.startswith(b"pts") and name[3:].isdigit() else name


def text(field: bytes) -> bytes:
    """Return a NUL-padded field without what follows the first NUL."""
    return field.partition(b"\0")[0]


def decode_event(data: bytes) -> Event:
    """Make the event of one ring buffer record. Raises ValueError for what no probe of ours sent."""
    try:
        kind = data[0]  # the probe is little-endian; its kinds are small numbers
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
            names = data[FACTS.size : FACTS.size + facts[34]]
            return CgroupMove(facts[2], facts[14], facts[3], facts[6], cgroup_of(names, facts[1]))
    except (IndexError, StructError) as error:
        raise ValueError(f"record of {len(data)} bytes: {error}") from None
    raise ValueError(f"record of unknown kind {kind}")


def decode_found(data: bytes) -> list[Found]:
    """Make the records of a whole snapshot; a cut last record is left out."""
    found = []
    at = 0
    while at + FACTS.size <= len(data):
        facts = FACTS.unpack_from(data, at)
        end = at + FACTS.size + facts[33] + facts[34] + facts[35] + facts[36]
        if end > len(data):
            break
        entry = _entry(facts, data[at:end], exec_ns=facts[3])
        usage = Usage(facts[12], facts[13] * PAGE, state_letter(facts[30]), facts[29])
        found.append(Found(entry, usage))
        at = end
    return found


def credentials_of(ids: tuple[int, ...], effective: int, permitted: int) -> Credentials:
    """Return the credentials of uid to login_uid, as they stand one after the other in records and maps."""
    uid, gid, euid, egid, fsuid, fsgid, login = ids
    login_uid = None if login == NO_LOGIN else login
    return Credentials(uid, gid, euid, egid, fsuid, fsgid, login_uid, effective, permitted)


def is_cut(cmdline: bytes, size: int, flags: int) -> bool:
    """True when /proc has more of an argv of `size` bytes than was sent.

    Without the last NUL the program has written a title over its argv: only /proc knows its end.
    """
    return size > 0 and (bool(flags & ARGS_PARTIAL) or not cmdline.endswith(b"\0"))


def _fork(facts: tuple[int, ...], data: bytes) -> Fork:
    names = data[FACTS.size : FACTS.size + facts[34]]
    comm: bytes = facts[38]  # type: ignore[assignment]
    tty: bytes = facts[39]  # type: ignore[assignment]
    # By position, in the order of the record: names cost a third of the time of an event.
    return Fork(
        facts[2],
        facts[14],
        facts[3],
        facts[15],
        facts[16],
        facts[4],
        facts[17],
        facts[9],
        comm.partition(b"\0")[0],
        credentials_of(facts[18:25], facts[10], facts[11]),
        facts[5],
        facts[6],
        cgroup_of(names, facts[1]),
        facts[27],
        facts[28],
        tty_name(tty),
        bool(facts[1] & KTHREAD),
        facts[37],
    )


def _entry(facts: tuple[int, ...], data: bytes, exec_ns: int) -> ProcessEntry:
    flags, exe_len, cgroup_len, args_len = facts[1], facts[33], facts[34], facts[35]
    names = FACTS.size + exe_len
    script = names + cgroup_len
    args = script + facts[36]
    cmdline = data[args : args + args_len]
    comm: bytes = facts[38]  # type: ignore[assignment]
    tty: bytes = facts[39]  # type: ignore[assignment]
    return ProcessEntry(
        facts[14],
        facts[3],
        facts[15],
        facts[16],
        facts[4],
        comm.partition(b"\0")[0],
        exe_of(data[FACTS.size : names], flags),
        facts[7],
        facts[25],
        facts[26],
        facts[8],
        cmdline,
        is_cut(cmdline, facts[32], flags),
        credentials_of(facts[18:25], facts[10], facts[11]),
        tty_name(tty),
        cgroup_of(data[names:script], flags),
        facts[6],
        facts[27],
        facts[28],
        facts[3],
        exec_ns,
        facts[5],
        bool(flags & KTHREAD),
        EXE_CUT if flags & EXE_PARTIAL else "",
        data[script:args].removesuffix(b"\0"),
        facts[37],
    )
