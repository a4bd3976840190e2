"""Recording: a feed that writes what another feed delivers to a file, for a replay on any machine.

Possible secrets in argv are removed before writing; environments are never recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec

from core.model.entities import ContainerContext, ProcessEntry, Usage
from core.model.events import Argv, Event, Exec, MapFill, Sample, SnapshotRecord
from core.sources.cmdlines import lacks_argv, with_argv
from core.sources.feed import ContainerSource, Feed
from core.sources.procfs import Stat
from core.sources.recording.check import MOST_RECORDS
from core.sources.recording.file import (
    FORMAT,
    End,
    Events,
    Head,
    Looked,
    Message,
    Named,
    Pids,
    Snapshot,
    Sweep,
    User,
    Writer,
)
from core.text.secrets import SCRUBBED, scrub_args


class RecordingFeed:
    """A feed that also writes what another feed delivers. Owns and closes both feed and writer."""

    def __init__(self, feed: Feed, writer: Writer) -> None:
        self._feed = feed
        self._writer = writer
        self.tiers, self.maps, self.exact, self.host = feed.tiers, feed.maps, feed.exact, feed.host
        self.procfs = _RecordingProcfs(self, feed)
        self.names = _RecordingNames(self, feed.names)
        self.live = feed.live
        self.recorded_events = 0
        self._users: dict[int, str] = {}
        self._closed = False
        self.write(Head(FORMAT, self.now_ns(), feed.host, feed.tiers, feed.exact))

    @property
    def full(self) -> bool:
        return self._writer.full

    def write(self, message: Message) -> None:
        if not self._closed and not self._writer.full:
            self._writer.write(message)

    def note_user(self, uid: int) -> None:
        """Record a user's name: the machine that replays does not know it."""
        name = self._feed.user_name(uid)
        if self._users.get(uid) != name:  # before a name service answers, the name is the uid
            self._users[uid] = name
            self.write(User(self.now_ns(), uid, name))

    @property
    def sampled_ns(self) -> int:
        return self._feed.sampled_ns

    @property
    def sweep_due(self) -> bool:
        return self._feed.sweep_due

    def fileno(self) -> int:
        return self._feed.fileno()

    def now_ns(self) -> int:
        return self._feed.now_ns()

    def user_name(self, uid: int) -> str:
        return self._feed.user_name(uid)

    def settle_users(self, wait_s: float = 0.0) -> bool:
        has_new_names = self._feed.settle_users(wait_s)
        if has_new_names:
            for uid in list(self._users):
                self.note_user(uid)
        return has_new_names

    def snapshot(self) -> list[SnapshotRecord]:
        records = self._feed.snapshot()
        argvs = self._feed.argvs([record.entry.pid for record in records if lacks_argv(record.entry)])
        records = [
            SnapshotRecord(with_argv(record.entry, argvs.get(record.entry.pid)), record.usage)
            for record in records
        ]
        kept = [SnapshotRecord(_scrubbed(record.entry), record.usage) for record in records[:MOST_RECORDS]]
        self.write(Snapshot(self.now_ns(), kept))
        return records

    def argvs(self, pids: Sequence[int]) -> dict[int, Argv]:
        return self._feed.argvs(pids)

    def events(self) -> list[Event]:
        events = self._feed.events()
        if events:
            self.recorded_events += len(events)
            kept: list[Event] = [
                msgspec.structs.replace(event, entry=_scrubbed(event.entry))
                if isinstance(event, Exec)
                else event
                for event in events
            ]
            for at in range(0, len(kept), MOST_RECORDS):
                self.write(Events(self.now_ns(), kept[at : at + MOST_RECORDS]))
        return events

    def sweep(self) -> list[Sample]:
        samples = self._feed.sweep()
        self.write(Sweep(self.sampled_ns, samples[:MOST_RECORDS]))
        self._writer.flush()
        return samples

    def map_fill(self) -> tuple[MapFill, ...]:
        return self._feed.map_fill()

    def close(self) -> None:
        if not self._closed:
            self.write(End(self.now_ns()))
            self._closed = True
            self._writer.close()
        self._feed.close()


class _RecordingProcfs:
    """The feed's /proc. Whole entries and lists of pids are recorded; other reads are too frequent."""

    def __init__(self, recording: RecordingFeed, feed: Feed) -> None:
        self._recording = recording
        self._procfs = feed.procfs

    def entry(self, pid: int) -> tuple[ProcessEntry, Usage]:
        entry, usage = self._procfs.entry(pid)
        self._recording.write(Looked(self._recording.now_ns(), _scrubbed(entry), usage))
        return entry, usage

    def pids(self) -> list[int]:
        pids = self._procfs.pids()
        self._recording.write(Pids(self._recording.now_ns(), pids[:MOST_RECORDS]))
        return pids

    def stat(self, pid: int) -> Stat:
        return self._procfs.stat(pid)

    def ppid(self, pid: int) -> int:
        return self._procfs.ppid(pid)

    @property
    def unreadable(self) -> Mapping[int, str]:
        return self._procfs.unreadable


class _RecordingNames:
    """The feed's container names; each new answer is recorded."""

    def __init__(self, recording: RecordingFeed, names: ContainerSource) -> None:
        self._recording = recording
        self._names = names
        self._recorded: dict[bytes, ContainerContext] = {}

    def container_of(self, cgroup: bytes) -> ContainerContext:
        container = self._names.container_of(cgroup)
        if container.id is not None and self._recorded.get(cgroup) != container:
            self._recorded[cgroup] = container
            self._recording.write(Named(self._recording.now_ns(), cgroup, container))
        return container

    def refresh(self) -> set[bytes]:
        return self._names.refresh()

    def forget_unused(self, used: Callable[[], set[bytes]]) -> None:
        self._names.forget_unused(used)


def _scrubbed(entry: ProcessEntry) -> ProcessEntry:
    """Return the entry with possible secrets in argv masked."""
    args = entry.args
    scrubbed = scrub_args(args)
    if scrubbed == args:
        return entry
    return msgspec.structs.replace(
        entry,
        cmdline=b"".join(arg + b"\0" for arg in scrubbed),
        cmdline_truncated=entry.cmdline_truncated or len(entry.cmdline) > SCRUBBED,
    )
