"""A recording as a feed: the same engine, tree and screens, with time passing as it was recorded."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec

from core.containers.container_id import LEVELS, container_of_cgroup
from core.containers.facts import shown_labels
from core.model import ContainerContext, ProcessEntry, Tiers, TierState, Usage
from core.probe.maps import KernelMaps
from core.procfs import ProcfsError, Stat
from core.recording_file import (
    End,
    Events,
    Head,
    Looked,
    Message,
    Named,
    Pids,
    RecordingError,
    Snapshot,
    Sweep,
    User,
    read,
)
from core.records import Event, Exec, Found, MapFill, Sample
from core.text import safe_text
from core.view import Position

_ANSWERS = (Looked, Pids, Named, User)


class ReplayFeed:
    """Delivers what was recorded up to the replay's own time, which runs at `speed`.

    With `speed` 0 the whole recording is delivered at once. Nothing of this machine is asked: what was
    not recorded is not known.
    """

    maps: KernelMaps | None = None
    live = False

    def __init__(
        self, path: Path, speed: float = 1.0, clock_ns: Callable[[], int] = time.monotonic_ns
    ) -> None:
        """Read the whole recording. Raises RecordingError, OSError."""
        messages = list(read(path))
        head = messages[0]
        assert isinstance(head, Head)  # read() has made sure
        self._messages = messages[1:]
        self._at = 0
        self._start_ns = self._from_ns = head.ts_ns
        self._end_ns = messages[-1].ts_ns if messages[1:] else head.ts_ns
        self._speed = speed
        self._clock_ns = clock_ns
        self._began_ns = clock_ns()
        self._held_ns: int | None = None
        self.host = _safe(head.host)
        self.exact = head.exact
        self.tiers = _recorded_tiers(head.tiers)
        self._snapshots: list[list[Found]] = []
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
        """True when everything has been delivered."""
        return self._at == len(self._messages)

    def fileno(self) -> int:
        return -1

    def now_ns(self) -> int:
        """Return the recorded host's boot clock; it stands still at the end of the recording.

        While a sweep has to be taken it stands where that was made.
        """
        return self.sampled_ns if self.sweep_due else self._clock()

    def _clock(self) -> int:
        """Return how far the replay is to go by now."""
        if self._held_ns is not None:
            return self._held_ns
        if self._speed == 0:
            return self._end_ns
        passed = int((self._clock_ns() - self._began_ns) * self._speed)
        return min(self._from_ns + passed, self._end_ns)

    @property
    def position(self) -> Position:
        """Where in the recording this is."""
        return Position(self._clock() - self._start_ns, self._end_ns - self._start_ns, self._speed)

    def hold(self, on: bool) -> None:
        """Stop the recording's time, or let it go on from there."""
        if on:
            self._held_ns = self._clock()
        elif self._held_ns is not None:
            self._go_on_from(self._held_ns)

    def skip(self, span_ns: int) -> None:
        """Go on so much later; held, it stays held there."""
        then = min(self._clock() + span_ns, self._end_ns)
        if self._held_ns is not None:
            self._held_ns = then
        else:
            self._go_on_from(then)

    def set_speed(self, speed: float) -> None:
        """Let time run so many times as fast from now on."""
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
        """Names are in the recording, or nowhere."""
        return False

    def snapshot(self) -> list[Found]:
        self._advance()
        if not self._snapshots:
            return []
        return self._snapshots.pop(0)

    def events(self) -> list[Event]:
        self._advance()
        events, self._events = self._events, []
        return events

    def sweep(self) -> list[Sample]:
        """Return the samples of the latest sweep; taken once more they are the same, as of the same time."""
        self.sweep_due = False
        return self._samples

    def map_fill(self) -> tuple[MapFill, ...]:
        return ()

    def close(self) -> None:
        pass

    def _first_snapshot(self) -> None:
        """Take everything up to the first sweep: the tree has to be there at once."""
        while self._at < len(self._messages) and not isinstance(self._messages[self._at], Sweep):
            self._take(self._messages[self._at])
        self._take_one_with_its_answers()

    def _advance(self) -> None:
        """Take what had happened by now, but nothing beyond a sweep that is still to be applied.

        A sweep ends what it does not see: applied later, it would end what was born since.
        """
        now = self._clock()
        while not self.sweep_due and not self.ended and self._messages[self._at].ts_ns <= now:
            self._take_one_with_its_answers()

    def _take_one_with_its_answers(self) -> None:
        """Take a message, and what was read because of it a moment later: it must not come too late."""
        if self._at < len(self._messages):
            self._take(self._messages[self._at])
        while self._at < len(self._messages) and isinstance(self._messages[self._at], _ANSWERS):
            self._take(self._messages[self._at])

    def _take(self, message: Message) -> None:
        self._at += 1
        match message:
            case Snapshot():
                found = [Found(_safe(one.entry), _safe(one.usage)) for one in message.found]
                self._snapshots.append(found)
            case Events():
                self._events += [
                    msgspec.structs.replace(event, entry=_safe(event.entry))
                    if isinstance(event, Exec)
                    else event
                    for event in message.events
                ]
            case Sweep():
                self.sampled_ns, self.sweep_due = message.ts_ns, True
                self._samples = [
                    msgspec.structs.replace(one, usage=_safe(one.usage)) for one in message.samples
                ]
            case Looked():
                self.procfs.entries[message.entry.pid] = (_safe(message.entry), _safe(message.usage))
            case Pids():
                self.procfs.shown = message.pids
            case Named():
                self.names.learn(message.cgroup, _safe_container(message.container))
            case User():
                self._users[message.uid] = safe_text(message.name, 64)
            case Head():
                raise RecordingError("a recording has one head")
            case End():
                pass


class _RecordedProcfs:
    """What /proc said while it was recorded; everything else it cannot tell any more."""

    def __init__(self) -> None:
        self.unreadable: dict[int, str] = {}
        self.entries: dict[int, tuple[ProcessEntry, Usage]] = {}
        self.shown: list[int] = []

    def entry(self, pid: int) -> tuple[ProcessEntry, Usage]:
        try:
            return self.entries[pid]
        except KeyError:
            raise ProcfsError(f"/proc/{pid} was not recorded") from None

    def pids(self) -> list[int]:
        return self.shown

    def stat(self, pid: int) -> Stat:
        if pid not in self.shown:
            raise ProcfsError(f"/proc/{pid} was not there any more")
        entry, usage = self.entry(pid)
        return Stat(
            pid, entry.comm, usage.state, entry.ppid, 0, entry.kthread, usage.cpu_ns, usage.threads,
            entry.start_ns, usage.rss_bytes,
        )  # fmt: skip

    def ppid(self, pid: int) -> int:
        raise ProcfsError(f"/proc/{pid} was not recorded")


class _RecordedNames:
    """The containers as they were named while it was recorded."""

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
        """What a recording tells once is not told again: all of it is kept."""


_Record = TypeVar("_Record", bound=msgspec.Struct)


def _safe(record: _Record) -> _Record:
    """Return a record whose texts are safe to show: a file from elsewhere can claim that any text is."""
    facts = {
        name: safe_text(value, 1024)
        for name in record.__struct_fields__
        if type(value := getattr(record, name)) is str
    }
    return msgspec.structs.replace(record, **facts)


def _safe_container(container: ContainerContext) -> ContainerContext:
    """Return a container, and the ones it is in, with safe texts; no more levels than there can be."""
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
    """Return the tiers as they were; none of them can be asked anew."""
    maps, procfs = _safe(tiers.maps), _safe(tiers.procfs)
    word = "a recording: it can be read, and nothing asked anew"
    return Tiers(
        cache=TierState(tiers.cache.on),
        maps=TierState(maps.on, maps.reason or (word if maps.on else "")),
        procfs=TierState(procfs.on, procfs.reason or word),
        step=safe_text(tiers.step, 64),
    )
