"""The engine's sources of records: the loaded probe, or /proc alone."""

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
    """The host that the records are from; texts are safe to show."""

    hostname: str
    kernel: str
    arch: str


class ProcfsSource(Protocol):
    """What the engine reads from /proc: from the real one, or from a recording."""

    def pids(self) -> list[int]: ...

    def stat(self, pid: int) -> Stat: ...

    def entry(self, pid: int) -> tuple[ProcessEntry, Usage]: ...

    def ppid(self, pid: int) -> int: ...

    @property
    def unreadable(self) -> Mapping[int, str]:
        """pid -> why the process could not be read at the last attempt although it exists; bounded."""


class ContainerSource(Protocol):
    """Names the container of a cgroup path; `refresh` returns the paths with a changed answer."""

    def container_of(self, cgroup: bytes) -> ContainerContext: ...

    def refresh(self) -> set[bytes]: ...

    def forget_unused(self, used: Callable[[], set[bytes]]) -> None: ...


class Feed(Protocol):
    """The records that an engine applies. One thread calls it. `tiers` reports what works, and why not."""

    tiers: Tiers
    maps: KernelMaps | None
    exact: bool
    """True when fork, exec and exit are reported as they happen; else only sweeps detect them."""
    live: bool
    """False for a recording: it has no /proc to compare the cache with."""
    host: HostFacts

    @property
    def sampled_ns(self) -> int:
        """The boot clock of the latest sweep."""

    @property
    def sweep_due(self) -> bool:
        """Whether a sweep must be taken before more events: a recording has its sweeps among the events."""

    @property
    def procfs(self) -> ProcfsSource: ...

    @property
    def names(self) -> ContainerSource: ...

    def user_name(self, uid: int) -> str:
        """Return the host's name of a user, safe to show; the uid as text until the name is known."""

    def settle_users(self, wait_s: float = 0.0) -> bool:
        """Wait for pending user names, `wait_s` at most; return whether new ones have arrived."""

    def fileno(self) -> int:
        """Return a descriptor that polls readable when there are events, or -1."""

    def now_ns(self) -> int:
        """Return the boot clock of the observed host, in ns."""

    def snapshot(self) -> list[SnapshotRecord]:
        """Return every process that the task iterator sees; fills the maps. Empty without a probe."""

    def argvs(self, pids: Sequence[int]) -> dict[int, Argv]:
        """Return the argv of processes that a snapshot lacks, by pid; empty without a probe.

        Processes are left out if their argv cannot be read in time. Each call walks all processes of the host
        once: ask for many at a time.
        """

    def events(self) -> list[Event]:
        """Return the events since the last call, oldest first."""

    def sweep(self) -> list[Sample]:
        """Return a sample of every process."""

    def map_fill(self) -> tuple[MapFill, ...]:
        """Return how full `pid_cache` and `proc_cache` are; empty when that cannot be determined.

        The kernel walks both maps for this (some ms when they are full): call it every few seconds.
        """

    def close(self) -> None: ...


class HostSources:
    """What a feed of a real host has besides its records. A session's next feed takes it over."""

    def __init__(self, host: Host, *, ask_runtimes: bool = False) -> None:
        self.procfs = Procfs(host)
        self.cmdlines = CmdlineReader(host)
        self.names = ContainerNames(host, ask_runtimes=ask_runtimes)
        self.users = Users(host)
        self._clock_offset_ns = time_namespace_offset(LOCAL)  # this program's, whichever host it observes
        self.host = HostFacts(
            safe_text(host.hostname(), 64), safe_text(host.kernel_release(), 64), host.machine()
        )

    def now_ns(self) -> int:
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME) - self._clock_offset_ns


class _HostFeed:
    """A feed from a real host."""

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
        return [self._named(record) for record in self._probe.snapshot()]

    def argvs(self, pids: Sequence[int]) -> dict[int, Argv]:
        cmdlines = self.sources.cmdlines.read(pids)
        if not cmdlines:
            return {}
        # Identities are read after argv: if the image is the same as before, argv is of that image.
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

    def _named(self, record: SnapshotRecord) -> SnapshotRecord:
        """Return the record of a kernel thread with the name that /proc makes for it, as `ps` shows it.

        Only /proc has a kworker's purpose (`kworker/0:1-events`) and names longer than 15 bytes.
        """
        entry = record.entry
        if not entry.kthread:
            return record
        try:
            comm = self.procfs.stat(entry.pid).comm
        except ProcfsError:
            return record
        return SnapshotRecord(msgspec.structs.replace(entry, comm=comm), record.usage)


class ProcfsFeed(_HostFeed):
    """The lowest step of the ladder: no events; sweeps of /proc detect every change."""

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
    """Sample every process of /proc; processes that end meanwhile are left out."""
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
    """Return the best feed that this host allows; the caller closes it.

    What the host does not allow is reported in the feed's `tiers`, not raised. With `need_maps` a probe that
    cannot be loaded raises ProbeUnavailable instead. With `ask_runtimes` the sockets of container runtimes
    may be asked for names. `after` is the session's current feed: the new one takes over its sources.
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
    """Return which features a loaded probe lacks on this host, and why; empty when it has all."""
    if not loaded.events_on:
        return f"no events: {loaded.missing['on_fork']}"
    return "; ".join(f"no {feature}: {why}" for feature, why in loaded.lost_features())


def _procfs_state(host: Host) -> tuple[TierState, bool]:
    """Return whether /proc answers, and whether it hides other users' processes."""
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
    """Return the options of the proc mounted at `where`: of the last mount, which hides earlier ones."""
    options: dict[bytes, bytes] = {}
    for line in mounts.splitlines():
        fields = line.split(b" ")
        if len(fields) > 3 and fields[1] == where and fields[2] == b"proc":
            pairs = (option.partition(b"=") for option in fields[3].split(b","))
            options = {name: value for name, _, value in pairs}
    return options
