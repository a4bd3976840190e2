"""Members of a value against our own facts: agrees, differs, not set, cannot be told.

A member is known by its last name; one name can have several right answers (a parent is the present one or
the creator, a start the start of the process or of its image), and only when none of them fits it differs.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum

import msgspec

from core.bpf.process_facts import ProcessFacts
from core.bpf.values import Value

_TICK_NS = 10_000_000
_DEEPEST = 8
_SMALLEST_ID = 65_536


class Verdict(StrEnum):
    AGREES = "agrees"
    DIFFERS = "differs"
    UNSET = "unset"
    UNKNOWN = "unknown"


class Compared(msgspec.Struct, frozen=True):
    """One member: its path (`inner.comm`), the fact it is about, both values, and what follows."""

    member: bytes
    fact: str
    theirs: int | bytes
    ours: tuple[int | bytes, ...]
    verdict: Verdict
    why: str = ""


_NAMES: dict[str, tuple[str, ...]] = {
    "pid": ("pid", "tgid", "host_pid", "host_tgid", "tid", "host_tid", "leader_pid"),
    "inner pid": ("ns_pid", "nspid", "inner_pid", "pid_in_ns", "nstgid", "ns_tgid"),
    "parent": ("ppid", "parent", "parent_pid", "host_ppid", "ptgid", "creator"),
    "comm": ("comm", "task_comm", "leader_comm"),
    "uid": ("uid", "euid", "fsuid", "suid", "ruid"),
    "gid": ("gid", "egid", "fsgid", "sgid", "rgid"),
    "cgroup": ("cgroup", "cgroup_id", "cgrpid", "cgid", "cgroup_ino", "cgroup_inode"),
    "mount namespace": ("mnt_ns", "mntns", "mnt_id", "mnt_inum", "mntns_id", "mnt_ns_id"),
    "pid namespace": ("pid_ns", "pidns", "pid_inum", "pid_ns_id", "pidns_id"),
    "network namespace": ("net_ns", "netns", "net_inum", "net_ns_id", "netns_id"),
    "start": ("start_ns", "start_time", "start_boottime", "leader_start_time", "ktime", "fork_ns"),
    "inode": ("exe_inode", "inode", "ino"),
    "executable": ("exe", "path", "filename", "binary", "exe_path"),
}
_FACT_OF = {name.encode(): fact for fact, names in _NAMES.items() for name in names}


def compare(value: Value, facts: ProcessFacts) -> list[Compared]:
    """Compare every member of a value that has a name we know, in the value's order."""
    return [_compared(path, fact, theirs, facts) for path, fact, theirs in _members(value, b"", 0)]


def _members(value: Value, path: bytes, depth: int) -> Iterator[tuple[bytes, str, int | bytes]]:
    if depth > _DEEPEST or not isinstance(value, dict):
        return
    for name, member in value.items():
        place = path + b"." + name if path else name
        fact = _FACT_OF.get(name.lower())
        if fact and isinstance(member, (int, bytes)) and not isinstance(member, bool):
            yield place, fact, member
        else:
            inner = "parent" if name.lower() in _PARENTS and isinstance(member, dict) else ""
            for deeper, found, theirs in _members(member, place, depth + 1):
                yield deeper, "parent" if inner and found == "pid" else found, theirs


_PARENTS = frozenset((b"pkey", b"parent", b"pexec"))


def _compared(path: bytes, fact: str, theirs: int | bytes, facts: ProcessFacts) -> Compared:
    right = _right(fact, facts)
    if not theirs:
        return Compared(path, fact, theirs, right, Verdict.UNSET)
    if fact == "start" and isinstance(theirs, int):
        return _start(path, theirs, right, facts)
    verdict, why = Verdict.DIFFERS, ""
    if not right or type(theirs) is not type(right[0]):
        verdict, why = Verdict.UNKNOWN, "it cannot be compared"
    elif theirs in right:
        verdict = Verdict.AGREES
    elif fact == "cgroup" and isinstance(theirs, int) and theirs < _SMALLEST_ID:
        verdict, why = Verdict.UNKNOWN, "too small a number for a cgroup id"
    elif fact == "parent":
        why = "not the parent of now; it may be the one that created the process"
    return Compared(path, fact, theirs, right, verdict, why)


def _start(path: bytes, theirs: int, right: tuple[int | bytes, ...], facts: ProcessFacts) -> Compared:
    for ours, clock in ((facts.start_ns, "CLOCK_BOOTTIME"), (facts.monotonic_ns, "CLOCK_MONOTONIC")):
        if abs(theirs - ours) <= _TICK_NS:
            return Compared(path, "start", theirs, right, Verdict.AGREES, clock)
    if theirs > facts.start_ns:
        return Compared(path, "start", theirs, right, Verdict.UNKNOWN, "it may be the time of its exec")
    return Compared(path, "start", theirs, right, Verdict.DIFFERS, "before the process was started")


def _right(fact: str, facts: ProcessFacts) -> tuple[int | bytes, ...]:
    """Return the right answers, the one to show first."""
    namespaces = facts.namespaces
    answers: dict[str, tuple[int | bytes, ...]] = {
        "pid": (facts.pid, *facts.tids, *facts.inner_pids),
        "inner pid": tuple(reversed(facts.inner_pids)),
        "parent": (facts.ppid,),
        "comm": (facts.comm,),
        "uid": facts.uids,
        "gid": facts.gids,
        "cgroup": (*facts.cgroup_ids, *(number & 0xFFFFFFFF for number in facts.cgroup_ids)),
        "mount namespace": tuple(filter(None, (namespaces.get("mnt"),))),
        "pid namespace": tuple(filter(None, (namespaces.get("pid"),))),
        "network namespace": tuple(filter(None, (namespaces.get("net"),))),
        "start": (facts.start_ns,),
        "inode": (facts.exe_inode,) if facts.exe_inode else (),
        "executable": (facts.exe,) if facts.exe else (),
    }
    return tuple(dict.fromkeys(answers[fact]))
