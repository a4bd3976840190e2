"""Entries and fork events of made-up processes."""

from __future__ import annotations

import msgspec

from core.model.entities import Credentials, ProcessEntry
from core.model.events import Fork


def entry(pid: int, start: int = 0, **facts: object) -> ProcessEntry:
    made = ProcessEntry(pid, start or pid * 1001, comm=b"c%d" % pid, inode=pid, exec_id=1)
    return msgspec.structs.replace(made, **facts)


def fork(pid: int, ppid: int, ts: int = 5, start: int = 0, **more: object) -> Fork:
    made = Fork(
        ts_ns=ts,
        pid=pid,
        start_ns=start or pid * 1001,
        exec_id=1,
        ppid=ppid,
        parent_start_ns=0,
        creator=ppid,
        parent_inode=0,
        comm=b"child",
        credentials=Credentials(),
        cookie=7,
        cgroup_id=1,
        cgroup=b"",
        pid_ns=0,
        mnt_ns=0,
        tty=b"",
    )
    return msgspec.structs.replace(made, **more)
