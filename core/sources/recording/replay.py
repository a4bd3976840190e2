"""A recording as a feed: it drives the same engine, tree and screens, and time passes as recorded."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from core.containers.container_id import LEVELS, container_of_cgroup
from core.containers.facts import shown_labels
from core.model.entities import ContainerContext, ProcessEntry, Tiers, TierState, Usage
from core.model.events import Argv, Event, Exec, Lost, MapFill, Sample, SnapshotRecord
from core.model.view import Position
from core.probe.maps import KernelMaps
from core.sources.procfs import ProcfsError, Stat
from core.sources.recording.check import MOST_RECORDS
from core.sources.recording.file import (
    End,
    Events,
    Head,
    Looked,
    Message,
    Named,
    Pids,
    Reader,
    RecordingError,
    Snapshot,
    Sweep,
    User,
    read,
)
from core.text.safe import safe_text

_ANSWERS = (Looked, Pids, Named, User)


class ReplayFeed:
    """Delivers what was recorded up to the replay's own time, which runs at `speed`.

    With `speed` 0 the whole recording is delivered at once. Nothing is read from this machine: facts that
    were not recorded are not known.
    """

    maps: KernelMaps | None = None
    live = False

    def __init__(
        self, path: Path, speed: float = 1.0, clock_ns: Callable[[], int] = time.monotonic_ns
    ) -> None:
        """Read the whole recording once, to check it and to find when it ends.

        Raises RecordingError, OSError. The replay reads it a second time: decoded, the whole recording could
        take some gigabytes.
        """
        for message in read(path):
            self._end_ns = message.ts_ns
        self._reader = Reader(path)
        head = self._reader.next()
        assert isinstance(head, Head)  # checked by the reader
        self._start_ns = self._from_ns = head.ts_ns
        self._next: Message | None = None
        self._look_ahead()
        self._speed = speed
        self._clock_ns = clock_ns
        self._began_ns = clock_ns()
        self._held_ns: int | None = None
        self.host = _safe(head.host)
        self.exact = head.exact
        self.tiers = _recorded_tiers(head.tiers)
        self._snapshot: list[SnapshotRecord] = []
        self._events: list[Event] = []
        self._samples: list[Sample] = []
        self.sampled_ns = 0
        self.sweep_due = False
        self._users: dict[int, str] = {}
        self.procfs = _RecordedProcfs()
        self.names = _RecordedNames()
        self._first_snapshot()

    @property
    def ended(self) -> bool:
        """Whether everything has been delivered."""
        return self._next is None

    def fileno(self) -> int:
        return -1

    def now_ns(self) -> int:
        """Return the recorded host's boot clock, in ns; it stops at the end of the recording.

        While a sweep is due, it stays at the time of that sweep.
        """
        return self.sampled_ns if self.sweep_due else self._clock()

    def _clock(self) -> int:
        """Return the boot clock that the replay should have reached by now."""
        if self._held_ns is not None:
            return self._held_ns
        if self._speed == 0:
            return self._end_ns
        passed = int((self._clock_ns() - self._began_ns) * self._speed)
        return min(self._from_ns + passed, self._end_ns)

    @property
    def position(self) -> Position:
        """The position in the recording."""
        return Position(self._clock() - self._start_ns, self._end_ns - self._start_ns, self._speed)

    def hold(self, on: bool) -> None:
        """Stop the recording's time, or resume it."""
        if on:
            self._held_ns = self._clock()
        elif self._held_ns is not None:
            self._go_on_from(self._held_ns)

    def skip(self, span_ns: int) -> None:
        """Skip forward by `span_ns`; a held replay stays held at the new time."""
        then = min(self._clock() + span_ns, self._end_ns)
        if self._held_ns is not None:
            self._held_ns = then
        else:
            self._go_on_from(then)

    def set_speed(self, speed: float) -> None:
        """Set the factor by which time runs from now on."""
        held, now = self._held_ns, self._clock()
        self._speed = speed
        self._go_on_from(now)
        self._held_ns = held

    def _go_on_from(self, then_ns: int) -> None:
        self._held_ns = None
        self._from_ns, self._began_ns = then_ns, self._clock_ns()

    def user_name(self, uid: int) -> str:
        return self._users.get(uid, str(uid))

    def settle_users(self, wait_s: float = 0.0) -> bool:
        """Return False: names come from the recording only."""
        return False

    def snapshot(self) -> list[SnapshotRecord]:
        self._advance()
        records, self._snapshot = self._snapshot, []
        return records

    def argvs(self, pids: Sequence[int]) -> dict[int, Argv]:
        return {}  # a recorded snapshot contains argv

    def events(self) -> list[Event]:
        self._advance()
        events, self._events = self._events, []
        return _with_one_loss(events)

    def sweep(self) -> list[Sample]:
        """Return the samples of the latest sweep; a repeated call returns the same samples."""
        self.sweep_due = False
        return self._samples

    def map_fill(self) -> tuple[MapFill, ...]:
        return ()

    def close(self) -> None:
        self._reader.close()

    def _look_ahead(self) -> None:
        try:
            self._next = self._reader.next()
        except (RecordingError, OSError, ValueError):  # the file has changed since, or is closed: end here
            self._next = None

    def _first_snapshot(self) -> None:
        """Take everything up to the first sweep, so that the tree is filled at once."""
        while self._next is not None and not isinstance(self._next, Sweep):
            self._take(self._next)
        self._take_one_with_its_answers()

    def _advance(self) -> None:
        """Take the messages up to now, but none after a sweep that still has to be applied.

        A sweep ends processes that it does not see: applied late, it would end processes born since.
        """
        now = self._clock()
        while not self.sweep_due and self._next is not None and self._next.ts_ns <= now:
            self._take_one_with_its_answers()

    def _take_one_with_its_answers(self) -> None:
        """Take a message and the answers recorded right after it: the engine needs them when applying it."""
        if self._next is not None:
            self._take(self._next)
        while isinstance(self._next, _ANSWERS):
            self._take(self._next)

    def _take(self, message: Message) -> None:
        self._look_ahead()
        match message:
            case Snapshot():
                # The latest replaces an earlier one: it was read after both losses.
                self._snapshot = [
                    SnapshotRecord(_safe(record.entry), _safe(record.usage)) for record in message.found
                ]
            case Events():
                for event in message.events:
                    self._take_event(event)
            case Sweep():
                self.sampled_ns, self.sweep_due = message.ts_ns, True
                self._samples = [
                    msgspec.structs.replace(sample, usage=_safe(sample.usage)) for sample in message.samples
                ]
            case Looked():
                self.procfs.learn(_safe(message.entry), _safe(message.usage))
            case Pids():
                self.procfs.shown = dict.fromkeys(message.pids)
            case Named():
                self.names.learn(message.cgroup, _safe_container(message.container))
            case User():
                self._users[message.uid] = safe_text(message.name, 64)
            case Head() | End():
                pass

    def _take_event(self, event: Event) -> None:
        if isinstance(event, Exec):
            event = msgspec.structs.replace(event, entry=_safe(event.entry))
        self._events.append(event)


class _RecordedProcfs:
    """What was read from /proc during the recording; other reads raise ProcfsError."""

    def __init__(self) -> None:
        self.unreadable: dict[int, str] = {}
        self.entries: dict[int, tuple[ProcessEntry, Usage]] = {}
        self.shown: dict[int, None] = {}

    def learn(self, entry: ProcessEntry, usage: Usage) -> None:
        self.entries.pop(entry.pid, None)
        self.entries[entry.pid] = (entry, usage)
        if len(self.entries) > MOST_RECORDS:
            del self.entries[next(iter(self.entries))]

    def entry(self, pid: int) -> tuple[ProcessEntry, Usage]:
        try:
            return self.entries[pid]
        except KeyError:
            raise ProcfsError(f"/proc/{pid} was not recorded") from None

    def pids(self) -> list[int]:
        return list(self.shown)

    def stat(self, pid: int) -> Stat:
        if pid not in self.shown:
            raise ProcfsError(f"/proc/{pid} no longer existed")
        entry, usage = self.entry(pid)
        return Stat(
            pid, entry.comm, usage.state, entry.ppid, 0, entry.kthread, usage.cpu_ns, usage.threads,
            entry.start_ns, usage.rss_bytes,
        )  # fmt: skip

    def ppid(self, pid: int) -> int:
        raise ProcfsError(f"/proc/{pid} was not recorded")


class _RecordedNames:
    """The container names as recorded."""

    def __init__(self) -> None:
        self._containers: dict[bytes, ContainerContext] = {}
        self._changed: set[bytes] = set()

    def learn(self, cgroup: bytes, container: ContainerContext) -> None:
        self._containers[cgroup] = container
        self._changed.add(cgroup)

    def container_of(self, cgroup: bytes) -> ContainerContext:
        return self._containers.get(cgroup) or container_of_cgroup(cgroup)

    def refresh(self) -> set[bytes]:
        changed, self._changed = self._changed, set()
        return changed

    def forget_unused(self, used: Callable[[], set[bytes]]) -> None:
        """Keep everything: a recording has each answer only once."""


_Record = TypeVar("_Record", bound=msgspec.Struct)


def _safe(record: _Record) -> _Record:
    """Return a record with texts that are safe to show: those in a file from elsewhere may not be."""
    facts = {
        name: safe_text(value, 1024)
        for name in record.__struct_fields__
        if type(value := getattr(record, name)) is str
    }
    return msgspec.structs.replace(record, **facts)


def _with_one_loss(events: list[Event]) -> list[Event]:
    """Return the events with all losses merged into the last: each loss causes a resync of all processes."""
    losses = [at for at, event in enumerate(events) if type(event) is Lost]
    if len(losses) < 2:
        return events
    last = losses[-1]
    count = sum(event.count for event in events if isinstance(event, Lost))
    before = [event for event in events[:last] if type(event) is not Lost]
    return [*before, Lost(events[last].ts_ns, count), *events[last + 1 :]]


def _safe_container(container: ContainerContext) -> ContainerContext:
    """Return a container and those around it with safe texts; at most LEVELS levels, without repeated ids."""
    levels: list[ContainerContext] = []
    level: ContainerContext | None = container
    while level is not None and len(levels) < LEVELS:
        if level.id not in [inner.id for inner in levels]:
            labels, _ = shown_labels(dict(level.labels))
            levels.append(msgspec.structs.replace(_safe(level), labels=labels))
        level = level.outer
    outer = None
    for level in reversed(levels):
        outer = msgspec.structs.replace(level, outer=outer)
    assert outer is not None
    return outer


def _recorded_tiers(tiers: Tiers) -> Tiers:
    """Return the recorded tiers; none of them can be asked again."""
    maps, procfs = _safe(tiers.maps), _safe(tiers.procfs)
    reason = "this is a recording: nothing can be read from its host"
    return Tiers(
        cache=TierState(tiers.cache.on),
        maps=TierState(maps.on, maps.reason or (reason if maps.on else "")),
        procfs=TierState(procfs.on, procfs.reason or reason),
        step=tiers.step,
    )
