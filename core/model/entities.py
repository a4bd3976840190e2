"""The records that layers pass to each other. All are frozen.

`bytes` fields come from the kernel and are unsafe to show; `str` fields went through `safe_text`.
Times ending in `_ns` are nanoseconds; `start_ns`, `fork_ns`, `exec_ns` and `ts_ns` count from boot
(CLOCK_BOOTTIME), as `task_struct.start_boottime` does. gc=False: none can be part of a cycle.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple

import msgspec

TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
"""The resolution of start times in /proc/PID/stat, in ns."""


def same_start(left_ns: int, right_ns: int) -> bool:
    """Return whether two start times may be of one process: equal, or equal at /proc's resolution.

    The kernel tier has ns, /proc only ticks (10 ms). A whole number of ticks came from /proc, and is compared
    in ticks.
    """
    if left_ns == right_ns:
        return True
    if left_ns % TICK_NS and right_ns % TICK_NS:
        return False
    return left_ns // TICK_NS == right_ns // TICK_NS


class Tier(StrEnum):
    """The tier that an answer came from."""

    CACHE = "cache"
    MAPS = "maps"
    PROCFS = "procfs"


class Origin(StrEnum):
    """How an entry first came into the cache."""

    EVENT = "event"
    SNAPSHOT = "snapshot"
    MAPS = "maps"
    PROCFS = "procfs"


class Outcome(StrEnum):
    """The result of one tier in one resolution."""

    HIT = "hit"
    MISS = "miss"
    SKIPPED = "skipped"
    ERROR = "error"


class ProcessKey(NamedTuple):
    """The identity of a process: never the pid alone, never a wall-clock time."""

    tgid: int
    start_ns: int


class Credentials(msgspec.Struct, frozen=True, gc=False):
    """Ids and capabilities of a process. `login_uid`: None without a recorded login (4294967295 in /proc)."""

    uid: int = 0
    gid: int = 0
    euid: int = 0
    egid: int = 0
    fsuid: int = 0
    fsgid: int = 0
    login_uid: int | None = None
    cap_effective: int = 0
    cap_permitted: int = 0


class ProcessEntry(msgspec.Struct, frozen=True, gc=False):
    """One image of one process: what it is from one exec (or its fork) to the next.

    `cmdline` is argv as in /proc/PID/cmdline: each argument followed by a NUL.
    `exe` is the path as from readlink /proc/PID/exe, empty when it is not known.
    `device` is the kernel's s_dev, or 0; compare inodes, not devices (overlay, procfs differ).
    `exec_id` is `task_struct.self_exec_id`, 0 when the source does not have it (procfs).
    `cgroup` is the path in the hierarchy that identifies containers, empty when not known; `cgroup_id` is the
    kernel's id of it, 0 when not known, unique only together with `cgroup_hierarchy` (0: cgroup v2).
    `script` is the file given to execve when `exe` is its interpreter; only events carry it.
    `inner_pid` is the pid in the process's own pid namespace, 0 when not known.
    `problem` says which facts could not be read and why, or is empty.
    core/probe/layout.py makes entries by position: keep the order of the fields in step with it.
    """

    pid: int
    start_ns: int
    exec_id: int = 0
    ppid: int = 0
    parent_start_ns: int = 0
    comm: bytes = b""
    exe: bytes = b""
    inode: int = 0
    device: int = 0
    mode: int = 0
    mtime_ns: int = 0
    cmdline: bytes = b""
    cmdline_truncated: bool = False
    credentials: Credentials = Credentials()
    tty: bytes = b""
    cgroup: bytes = b""
    cgroup_id: int = 0
    pid_ns: int = 0
    mnt_ns: int = 0
    fork_ns: int = 0
    exec_ns: int = 0
    cookie: int = 0
    kthread: bool = False
    problem: str = ""
    script: bytes = b""
    inner_pid: int = 0
    cgroup_hierarchy: int = 0

    @property
    def key(self) -> ProcessKey:
        # The same as ProcessKey(…) in half the time: every event reads it several times.
        return tuple.__new__(ProcessKey, (self.pid, self.start_ns))

    @property
    def args(self) -> tuple[bytes, ...]:
        """argv. Empty for kernel threads and for programs that wiped it."""
        if not self.cmdline:
            return ()
        return tuple(self.cmdline.removesuffix(b"\0").split(b"\0"))


class Usage(msgspec.Struct, frozen=True, gc=False):
    """The resource use of a process, sampled. `cpu_ns` is its CPU time since its start, of all threads.

    `cpu_percent` is the percentage of one core since the previous sample, None at the first sample.
    `state` is the letter of /proc/PID/stat.
    """

    cpu_ns: int = 0
    rss_bytes: int = 0
    state: str = "?"
    threads: int = 0
    cpu_percent: float | None = None


class ContainerContext(msgspec.Struct, frozen=True, gc=False):
    """The container (or unit) that a cgroup path belongs to.

    `id` is None for what is not a container. `runtime` is one of docker, containerd, cri-o, podman,
    ecs, garden, lxc, nspawn, unknown when there is an id; `systemd` for a unit without one; else None.
    `name`, `image`, `pod`, `namespace` come from the runtime's own state on disk; when it could not be
    read, `reason` says why. `pod_uid` is the uid of a Kubernetes pod or the id of a podman pod.
    `labels` are names and values of labels and OCI annotations, sorted by name: safe to show, without
    secrets, and limited in number and length so that they can be kept for every container.
    `paused`: the container's cgroup, or one above it, is frozen.
    `outer` is the container around a nested one; its `cgroup_path` ends at that container's own cgroup.
    `source` is the host's path of the file or database that name and image came from.
    """

    id: str | None = None
    runtime: str | None = None
    name: str | None = None
    image: str | None = None
    pod: str | None = None
    namespace: str | None = None
    pod_uid: str | None = None
    cgroup_path: bytes = b""
    reason: str | None = None
    outer: ContainerContext | None = None
    labels: tuple[tuple[str, str], ...] = ()
    paused: bool = False
    source: str | None = None

    def levels(self) -> Iterator[ContainerContext]:
        """Yield this container and the containers around it, innermost first."""
        level: ContainerContext | None = self
        while level is not None:
            yield level
            level = level.outer

    @property
    def parent_id(self) -> str | None:
        """The id of the container around a nested one."""
        return self.outer.id if self.outer else None

    @property
    def shown_name(self) -> str:
        """The name, else the first digits of the id."""
        return self.name or self.short_id

    @property
    def pod_name(self) -> str:
        """`namespace/pod`, as far as it is known."""
        return "/".join(part for part in (self.namespace, self.pod) if part)

    @property
    def short_id(self) -> str:
        """The first 12 characters, which is what people type."""
        return (self.id or "")[:12]


class TrailStep(msgspec.Struct, frozen=True, gc=False):
    """The answer of one tier, its reason, and its time."""

    tier: Tier
    outcome: Outcome
    reason: str
    ns: int = 0


class Resolution(msgspec.Struct, frozen=True, gc=False):
    """The answer to `resolve(pid)` with the trail of every tier asked, up to the hit."""

    pid: int
    source: Tier | None
    origin: Origin | None
    entry: ProcessEntry | None
    trail: tuple[TrailStep, ...]


class TierState(msgspec.Struct, frozen=True):
    """Whether a tier answers; if not, `reason` names the cause and the command that removes it."""

    on: bool
    reason: str = ""


class LadderStep(StrEnum):
    """How much the host allows, from most to least; the header shows it."""

    EVENTS_AND_MAPS = "events+maps"
    ITERATOR_ONLY = "iterator only"
    PROCFS = "procfs"
    OWN_PROCESSES = "procfs, own processes only"
    OPENING = "opening"  # not known yet: the probe is being loaded


class Tiers(msgspec.Struct, frozen=True):
    cache: TierState
    maps: TierState
    procfs: TierState
    step: LadderStep
