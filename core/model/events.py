"""What a feed delivers: events as they happened, and samples of running processes. All are frozen.

`ts_ns` is the time of an event, in ns since boot. A process is always identified by pid and start time.
gc=False: they cannot be part of a cycle, and the garbage collector need not walk a storm of them.
"""

from __future__ import annotations

import msgspec

from core.model.entities import Credentials, ProcessEntry, Usage


class Fork(msgspec.Struct, frozen=True, tag=True, gc=False):
    """A process was born. It runs its parent's image until it executes one of its own.

    `ppid` is the kernel's parent at birth (`real_parent->tgid`), `parent_inode` the inode of the
    executable that the child inherited, 0 when unknown; `creator` the process that called fork (not the
    parent with CLONE_PARENT). `cgroup` is empty when it is the creator's. Its id is unique only together
    with its hierarchy (0: cgroup v2).
    core/probe/layout.py makes it by position: keep the order of the fields in step with it.
    """

    ts_ns: int
    pid: int
    start_ns: int
    exec_id: int
    ppid: int
    parent_start_ns: int
    creator: int
    parent_inode: int
    comm: bytes
    credentials: Credentials
    cookie: int
    cgroup_id: int
    cgroup: bytes
    pid_ns: int
    mnt_ns: int
    tty: bytes
    kthread: bool = False
    inner_pid: int = 0
    cgroup_hierarchy: int = 0


class Exec(msgspec.Struct, frozen=True, tag=True, gc=False):
    """A process has a new image. `previous_inode` is the executable before, 0 when unknown."""

    ts_ns: int
    entry: ProcessEntry
    previous_inode: int = 0


class Exit(msgspec.Struct, frozen=True, tag=True, gc=False):
    """The last thread of a process has ended; it is a zombie until its parent has reaped it.

    `exit_code` is as wait(2) encodes it.
    """

    ts_ns: int
    pid: int
    start_ns: int
    exit_code: int


class Reaped(msgspec.Struct, frozen=True, tag=True, gc=False):
    """An ended process has left the process table; its pid may be used again."""

    ts_ns: int
    pid: int
    start_ns: int


class CgroupMove(msgspec.Struct, frozen=True, tag=True, gc=False):
    """A process was moved to another cgroup in the hierarchy that identifies containers.

    The id, 0 when it is not known, is unique only together with the hierarchy (0: cgroup v2). `cgroup` is
    empty when only /proc has it.
    """

    ts_ns: int
    pid: int
    start_ns: int
    cgroup_id: int
    cgroup: bytes
    hierarchy: int = 0


class Lost(msgspec.Struct, frozen=True, tag=True, gc=False):
    """The kernel could not deliver `count` events since the last such record."""

    ts_ns: int
    count: int


Event = Fork | Exec | Exit | Reaped | CgroupMove | Lost


class Sample(msgspec.Struct, frozen=True, gc=False):
    """One running process as a sweep sees it: just enough to detect any change of it."""

    pid: int
    start_ns: int
    exec_id: int
    ppid: int
    comm: bytes
    uid: int
    kthread: bool
    usage: Usage
    image_mark: int = 0
    """For sources without generations (procfs): a number that changes with each exec; 0 when not known."""
    new_rights: bool = False
    """Its credentials changed since the previous sweep; reported once."""


class SnapshotRecord(msgspec.Struct, frozen=True, gc=False):
    """One running process as the start-up snapshot sees it.

    Its argv may be empty and marked as cut: then it is still to be read (`Feed.argvs`), but separately when
    its memory map is `locked`, because reading it blocks.
    """

    entry: ProcessEntry
    usage: Usage
    locked: bool = False


class Argv(msgspec.Struct, frozen=True, gc=False):
    """The argv from /proc of one image of a process, with start time `start_ns` and generation `exec_id`.

    `cut` is True when only a part of it was read.
    """

    start_ns: int
    exec_id: int
    cmdline: bytes
    cut: bool


class MapFill(msgspec.Struct, frozen=True, gc=False):
    """How full one of the probe's maps is. A full map is normal: it drops its oldest entries."""

    name: str
    entries: int
    capacity: int
