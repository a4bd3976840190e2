"""Recordings: what a feed delivered, in a file, to be looked at again on any machine.

A recording is gzip over messages, each a msgpack map behind its length (u32, big-endian). The first is
`Head`; the others say when they were made (ns since the recorded host's boot). What may be secret in
argv is scrubbed before it is written; environments are never recorded. A file that was cut off (a full
disk, a crash) is read as far as it goes.
"""

from __future__ import annotations

import gzip
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec

from core.feed import ContainerSource, Feed, HostFacts
from core.model import ContainerContext, ProcessEntry, Tiers, Usage
from core.procfs import Stat
from core.records import Event, Exec, Found, MapFill, Sample
from core.scrub import scrub_args
from core.text import safe_text

FORMAT = 1
MAX_BYTES = 256 * 1024 * 1024
"""A recording that grows beyond this ends; in bytes of the compressed file."""

MAX_UNPACKED = 512 * 1024 * 1024
"""The same before compression: a reader gives up a little beyond it, whatever a file unpacks to."""

_MAX_MESSAGE = 64 * 1024 * 1024
_LENGTH = struct.Struct(">I")


class RecordingError(Exception):
    """A file is no recording, or of another version; one line that names it."""


class Head(msgspec.Struct, frozen=True, tag=True):
    """What the recording is of. `exact`: events were reported, not only noticed by sweeps."""

    format: int
    ts_ns: int
    host: HostFacts
    tiers: Tiers
    exact: bool


class Snapshot(msgspec.Struct, frozen=True, tag=True):
    ts_ns: int
    found: list[Found]


class Events(msgspec.Struct, frozen=True, tag=True):
    ts_ns: int
    events: list[Event]


class Sweep(msgspec.Struct, frozen=True, tag=True):
    ts_ns: int
    samples: list[Sample]


class Looked(msgspec.Struct, frozen=True, tag=True):
    """What /proc said of one process, because the kernel tier did not know it."""

    ts_ns: int
    entry: ProcessEntry
    usage: Usage


class Pids(msgspec.Struct, frozen=True, tag=True):
    """Which processes /proc showed, for those that the kernel tier does not show."""

    ts_ns: int
    pids: list[int]


class Named(msgspec.Struct, frozen=True, tag=True):
    """The container of a cgroup path, from then on."""

    ts_ns: int
    cgroup: bytes
    container: ContainerContext


class User(msgspec.Struct, frozen=True, tag=True):
    ts_ns: int
    uid: int
    name: str


class End(msgspec.Struct, frozen=True, tag=True):
    """The recording was ended on purpose."""

    ts_ns: int


Message = Head | Snapshot | Events | Sweep | Looked | Pids | Named | User | End


class Writer:
    """Writes one recording. Owned by one thread; `close` makes it whole."""

    def __init__(self, path: Path) -> None:
        """Create the file, readable by its owner only. Raises OSError; an existing file is not replaced."""
        self._raw: BinaryIO = open(path, "xb", opener=_private)  # noqa: SIM115 - closed by close()
        self._file = gzip.GzipFile(fileobj=self._raw, mode="wb", compresslevel=5, mtime=0)
        self._encode = msgspec.msgpack.Encoder().encode
        self._full = False
        self._unpacked = 0

    def write(self, message: Message) -> None:
        data = self._encode(message)
        self._unpacked += len(data)
        self._file.write(_LENGTH.pack(len(data)) + data)

    def flush(self) -> None:
        """Make what was written so far readable, should this program die."""
        self._file.flush(zlib.Z_SYNC_FLUSH)
        self._raw.flush()

    @property
    def full(self) -> bool:
        if not self._raw.closed:
            self._full = self._raw.tell() >= MAX_BYTES or self._unpacked >= MAX_UNPACKED
        return self._full

    def close(self) -> None:
        self._file.close()
        self._raw.close()


def read(path: Path) -> Iterator[Message]:
    """Yield the messages of a recording, `Head` first. Raises RecordingError, OSError."""
    decoder = msgspec.msgpack.Decoder(Message)
    shown = safe_text(str(path))
    with gzip.open(path, "rb") as file:
        first = True
        unpacked = 0
        while True:
            try:
                size = file.read(_LENGTH.size)
                if len(size) < _LENGTH.size:
                    break
                (length,) = _LENGTH.unpack(size)
                if length > _MAX_MESSAGE:
                    raise RecordingError(f"{shown}: a message of {length} bytes; the file is damaged")
                unpacked += length
                if unpacked > MAX_UNPACKED + _MAX_MESSAGE:
                    raise RecordingError(f"{shown}: unpacks to more than a recording can hold")
                data = file.read(length)
                if len(data) < length:
                    break
                message = decoder.decode(data)
            except EOFError:  # cut off in the middle of the compressed stream
                break
            except (zlib.error, gzip.BadGzipFile, msgspec.MsgspecError, UnicodeDecodeError) as error:
                words = safe_text(str(error), 200)
                raise RecordingError(f"{shown}: not a recording, or damaged ({words})") from None
            if first and not (isinstance(message, Head) and message.format == FORMAT):
                raise RecordingError(f"{shown}: not a recording of format {FORMAT}")
            first = False
            yield message
    if first:
        raise RecordingError(f"{shown}: not a recording, or an empty one")


class RecordingFeed:
    """A feed that writes down what another one delivers. Owns and closes both feed and writer."""

    def __init__(self, feed: Feed, writer: Writer) -> None:
        self._feed = feed
        self._writer = writer
        self.tiers, self.maps, self.exact, self.host = feed.tiers, feed.maps, feed.exact, feed.host
        self.procfs = _RecordingProcfs(self, feed)
        self.names = _RecordingNames(self, feed.names)
        self.live = feed.live
        self.recorded_events = 0
        self._users: set[int] = set()
        self._closed = False
        self.write(Head(FORMAT, self.now_ns(), feed.host, feed.tiers, feed.exact))

    @property
    def full(self) -> bool:
        return self._writer.full

    def write(self, message: Message) -> None:
        if not self._closed and not self._writer.full:
            self._writer.write(message)

    def note_user(self, uid: int) -> None:
        """Keep a user's name: the machine that replays does not know it."""
        if uid not in self._users:
            self._users.add(uid)
            self.write(User(self.now_ns(), uid, self._feed.user_name(uid)))

    def fileno(self) -> int:
        return self._feed.fileno()

    def now_ns(self) -> int:
        return self._feed.now_ns()

    def user_name(self, uid: int) -> str:
        return self._feed.user_name(uid)

    def snapshot(self) -> list[Found]:
        found = self._feed.snapshot()
        kept = [Found(_scrubbed(record.entry), record.usage) for record in found]
        self.write(Snapshot(self.now_ns(), kept))
        return found

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
            self.write(Events(self.now_ns(), kept))
        return events

    def sweep(self) -> list[Sample]:
        samples = self._feed.sweep()
        self.write(Sweep(self.now_ns(), samples))
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
    """The feed's /proc; whole entries are written down, the rest is asked for too often."""

    def __init__(self, recording: RecordingFeed, feed: Feed) -> None:
        self._recording = recording
        self._procfs = feed.procfs

    def entry(self, pid: int) -> tuple[ProcessEntry, Usage]:
        entry, usage = self._procfs.entry(pid)
        self._recording.write(Looked(self._recording.now_ns(), _scrubbed(entry), usage))
        return entry, usage

    def pids(self) -> list[int]:
        pids = self._procfs.pids()
        self._recording.write(Pids(self._recording.now_ns(), pids))
        return pids

    def stat(self, pid: int) -> Stat:
        return self._procfs.stat(pid)

    def ppid(self, pid: int) -> int:
        return self._procfs.ppid(pid)

    def cmdline(self, pid: int) -> bytes:
        return self._procfs.cmdline(pid)

    def exe(self, pid: int) -> bytes:
        return self._procfs.exe(pid)


class _RecordingNames:
    """The feed's names; each answer is written down when it is new."""

    def __init__(self, recording: RecordingFeed, names: ContainerSource) -> None:
        self._recording = recording
        self._names = names
        self._told: dict[bytes, ContainerContext] = {}

    def container_of(self, cgroup: bytes) -> ContainerContext:
        container = self._names.container_of(cgroup)
        if container.id is not None and self._told.get(cgroup) != container:
            self._told[cgroup] = container
            self._recording.write(Named(self._recording.now_ns(), cgroup, container))
        return container

    def refresh(self) -> set[bytes]:
        return self._names.refresh()


def _scrubbed(entry: ProcessEntry) -> ProcessEntry:
    """Return the entry with what may be secret in argv replaced."""
    args = entry.args
    scrubbed = scrub_args(args)
    if scrubbed == args:
        return entry
    return msgspec.structs.replace(entry, cmdline=b"".join(arg + b"\0" for arg in scrubbed))


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
