"""Where the engine's records come from: the loaded probe, or /proc alone."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import msgspec

from core.containers.names import ContainerNames
from core.model.entities import ContainerContext, LadderStep, ProcessEntry, Tiers, TierState, Usage
from core.model.events import Argv, Event, Lost, MapFill, Sample, SnapshotRecord
from core.probe import layout
from core.probe.loader import Probe, ProbeOptions
from core.probe.maps import KernelMaps, ProbeMaps
from core.probe.refusals import ProbeUnavailable
from core.sources.cmdlines import CmdlineReader, is_short
from core.sources.procfs import Procfs, ProcfsError, Stat, time_namespace_offset
from core.system.host import LOCAL, Host
from core.system.privileges import Capability, current_privileges
from core.system.users import Users
from core.text.safe import safe_text

_MOUNTS_LIMIT = 4 << 20


class HostFacts(msgspec.Struct, frozen=True):
    """Which host the records are of; safe to show."""

    hostname: str
    kernel: str
    arch: str


class ProcfsSource(Protocol):
    """What the engine asks of /proc: the real one, or what a recording remembers of it."""

    def pids(self) -> list[int]: ...

    def stat(self, pid: int) -> Stat: ...

    def entry(self, pid: int) -> tuple[ProcessEntry, Usage]: ...

    def ppid(self, pid: int) -> int: ...

    @property
    def unreadable(self) -> Mapping[int, str]:
        """The processes that are there and could not be read when last asked for, and why; bounded."""


class ContainerSource(Protocol):
    """Who names the container of a cgroup path; `refresh` returns the paths whose answer has changed."""

    def container_of(self, cgroup: bytes) -> ContainerContext: ...

    def refresh(self) -> set[bytes]: ...

    def forget_unused(self, used: Callable[[], set[bytes]]) -> None: ...


class Feed(Protocol):
    """What a session lives on. One thread calls it. `tiers` says what it can and cannot do, and why."""

    tiers: Tiers
    maps: KernelMaps | None
    exact: bool
    """True when fork, exec and exit are reported as they happen; else only sweeps notice them."""
    live: bool
    """False for a recording: there is nothing to compare the cache with."""
    host: HostFacts

    @property
    def sampled_ns(self) -> int:
        """Return when the latest sweep was made, by the boot clock."""

    @property
    def sweep_due(self) -> bool:
        """Return whether a sweep has to be taken before more events come: a recording has it among them."""

    @property
    def procfs(self) -> ProcfsSource: ...

    @property
    def names(self) -> ContainerSource: ...

    def user_name(self, uid: int) -> str:
        """Return the name of a user as the host knows it, safe to show; its number until that is known."""

    def settle_users(self, wait_s: float = 0.0) -> bool:
        """Wait for the names that were asked for, `wait_s` at most; return whether new ones have come."""

    def fileno(self) -> int:
        """Return a descriptor that polls readable when there are events, or -1."""

    def now_ns(self) -> int:
        """Return the boot clock of the host that is looked at."""

    def snapshot(self) -> list[SnapshotRecord]:
        """Return every process that the kernel tier sees; fills the maps. Empty on procfs."""

    def argvs(self, pids: Sequence[int]) -> dict[int, Argv]:
        """Return by pid the argv of processes that a snapshot brought in without; empty on procfs.

        Who reads it may be left behind: those that cannot be read soon are left out. Each call looks at
        all processes of the host once: ask for many at a time.
        """

    def events(self) -> list[Event]:
        """Return what has happened since the last call, oldest first."""

    def sweep(self) -> list[Sample]:
        """Return a sample of every process."""

    def map_fill(self) -> tuple[MapFill, ...]:
        """Return how full `pid_cache` and `proc_cache` are; empty where that cannot be known.

        The kernel walks both maps for it (some ms when they are full): ask every few seconds.
        """

    def close(self) -> None: ...


class HostSources:
    """What every feed of a real host has besides its records. One goes on to the next feed of a session."""

    def __init__(self, host: Host, *, ask_runtimes: bool = False) -> None:
        self.procfs = Procfs(host)
        self.cmdlines = CmdlineReader(host)
        self.names = ContainerNames(host, ask_runtimes=ask_runtimes)
        self.users = Users(host)
        self._clock_offset_ns = time_namespace_offset(LOCAL)  # of this program, whatever it looks at
        self.host = HostFacts(
            safe_text(host.hostname(), 64), safe_text(host.kernel_release(), 64), host.machine()
        )

    def now_ns(self) -> int:
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME) - self._clock_offset_ns


class _HostFeed:
    """A feed of a real host."""

    live = True
    sweep_due = False

    def __init__(self, sources: HostSources, tiers: Tiers) -> None:
        self.sampled_ns = 0
        self.tiers = tiers
        self.sources = sources
        self.procfs, self.names, self.host = sources.procfs, sources.names, sources.host
        self.user_name, self.settle_users = sources.users.name, sources.users.settle
        self.now_ns = sources.now_ns


class ProbeFeed(_HostFeed):
    """The kernel tier: events from the ring buffer, snapshots and sweeps from the task iterators."""

    def __init__(self, probe: Probe, sources: HostSources, tiers: Tiers) -> None:
        super().__init__(sources, tiers)
        self._probe = probe
        self._lost = 0
        self.maps: KernelMaps | None = ProbeMaps(probe)
        self.exact = probe.events_on

    def fileno(self) -> int:
        return self._probe.ring_fd()

    def snapshot(self) -> list[SnapshotRecord]:
        return [self._named(found) for found in self._probe.snapshot()]

    def argvs(self, pids: Sequence[int]) -> dict[int, Argv]:
        cmdlines = self.sources.cmdlines.read(pids)
        if not cmdlines:
            return {}
        # Asked afterwards: an image that is the same as before the reading is what was read.
        return {
            pid: Argv(start_ns, exec_id, cmdlines[pid], is_short(cmdlines[pid], size))
            for start_ns, pid, exec_id, size in self._probe.identities()
            if pid in cmdlines
        }

    def events(self) -> list[Event]:
        events = [layout.decode_event(record) for record in self._probe.consume()]
        if events or not self.exact:
            lost = self._probe.lost()
            if lost > self._lost:
                events.append(Lost(self.now_ns(), lost - self._lost))
                self._lost = lost
        return events

    def sweep(self) -> list[Sample]:
        self.sampled_ns = self.now_ns()
        if self._probe.has("sweep"):
            return self._probe.sweep()
        return procfs_sweep(self.procfs)

    def map_fill(self) -> tuple[MapFill, ...]:
        return self._probe.fill()

    def close(self) -> None:
        self._probe.close()

    def _named(self, found: SnapshotRecord) -> SnapshotRecord:
        """Give a kernel thread the name that /proc makes for it, as `ps` shows it.

        Only /proc knows what a kworker works for (`kworker/0:1-events`) and names longer than 15 bytes.
        """
        entry = found.entry
        if not entry.kthread:
            return found
        try:
            comm = self.procfs.stat(entry.pid).comm
        except ProcfsError:
            return found
        return SnapshotRecord(msgspec.structs.replace(entry, comm=comm), found.usage)


class ProcfsFeed(_HostFeed):
    """The lowest step of the ladder: nothing is reported, everything is noticed by sweeping /proc."""

    maps: KernelMaps | None = None
    exact = False

    def fileno(self) -> int:
        return -1

    def snapshot(self) -> list[SnapshotRecord]:
        return []

    def argvs(self, pids: Sequence[int]) -> dict[int, Argv]:
        return {}

    def events(self) -> list[Event]:
        return []

    def sweep(self) -> list[Sample]:
        self.sampled_ns = self.now_ns()
        return procfs_sweep(self.procfs)

    def map_fill(self) -> tuple[MapFill, ...]:
        return ()

    def close(self) -> None:
        pass


def procfs_sweep(procfs: Procfs) -> list[Sample]:
    """Sample every process of /proc; those that end meanwhile are left out."""
    samples = []
    for pid in procfs.pids():
        try:
            stat = procfs.stat(pid)
        except ProcfsError:
            continue
        samples.append(
            Sample(
                pid,
                stat.start_ns,
                0,
                stat.ppid,
                stat.comm,
                -1,
                stat.kthread,
                stat.usage,
                stat.stack_start,
            )
        )
    return samples


def open_feed(
    host: Host,
    *,
    probe: bool = True,
    need_maps: bool = False,
    options: ProbeOptions | None = None,
    ask_runtimes: bool = False,
    after: Feed | None = None,
) -> Feed:
    """Return the best feed that this host allows; it is the caller's to close.

    Never raises for what the host does not allow: the feed's `tiers` says it. With `need_maps` a probe
    that cannot be loaded raises ProbeUnavailable instead. With `ask_runtimes` the sockets of container
    runtimes may be asked for names. The feed `after` which this one goes on hands its sources over.
    """
    procfs_state, limited = _procfs_state(host)
    cache = TierState(True)
    if isinstance(after, ProbeFeed | ProcfsFeed):
        sources = after.sources
    else:
        sources = HostSources(host, ask_runtimes=ask_runtimes)
    try:
        if not probe:
            raise ProbeUnavailable("switched off (--no-probe)")
        loaded = Probe(host, options)
    except ProbeUnavailable as why:
        if need_maps:
            raise
        step = LadderStep.OWN_PROCESSES if limited else LadderStep.PROCFS
        tiers = Tiers(cache, TierState(False, str(why)), procfs_state, step)
        return ProcfsFeed(sources, tiers)
    step = LadderStep.EVENTS_AND_MAPS if loaded.events_on else LadderStep.ITERATOR_ONLY
    tiers = Tiers(cache, TierState(True, _shortcomings(loaded)), procfs_state, step)
    return ProbeFeed(loaded, sources, tiers)


def _shortcomings(loaded: Probe) -> str:
    """Return what a loaded probe cannot do here, and why; empty when it can do everything."""
    if not loaded.events_on:
        return f"no events: {loaded.missing['on_fork']}"
    return "; ".join(f"no {feature}: {why}" for feature, why in loaded.lost_features())


def _procfs_state(host: Host) -> tuple[TierState, bool]:
    """Return whether /proc answers, and whether it hides the processes of others."""
    try:
        mounts = host.read("/proc/self/mounts", _MOUNTS_LIMIT)
    except OSError as error:
        return TierState(False, f"{host.proc}: {error.strerror or error}"), True
    own = current_privileges()
    if own.has(Capability.SYS_PTRACE):
        return TierState(True), False
    way = own.way_to("CAP_SYS_PTRACE")
    options = _mount_options(mounts, os.fsencode(host.proc))
    group = options.get(b"gid", b"")
    if options.get(b"hidepid", b"0") not in (b"0", b"off") and (
        not group or int(group) not in (os.getegid(), *os.getgroups())
    ):
        return TierState(True, f"mounted with hidepid: other users' processes are hidden: {way}"), True
    return TierState(True, f"exe of other users' processes is hidden: {way}"), False


def _mount_options(mounts: bytes, where: bytes) -> dict[bytes, bytes]:
    """Return the options of the proc that is mounted at `where`: of the last, which hides earlier ones."""
    options: dict[bytes, bytes] = {}
    for line in mounts.splitlines():
        fields = line.split(b" ")
        if len(fields) > 3 and fields[1] == where and fields[2] == b"proc":
            pairs = (option.partition(b"=") for option in fields[3].split(b","))
            options = {name: value for name, _, value in pairs}
    return options
