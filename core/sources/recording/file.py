"""The file of a recording: messages in a compressed stream.

A recording is a zstd stream of messages, each a msgpack map after its length (u32, big-endian). The first is
`Head`; each has its time (ns since the recorded host's boot). Old recordings have the same format in gzip.
A truncated file (a full disk, a crash) is read up to its last whole message.

A file may come from anybody: the size of each message and of all together is bounded before decoding, and
the records are checked (core/sources/recording/check.py).
"""

from __future__ import annotations

import gzip
import os
import re
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, BinaryIO, cast

import msgspec

from core.model.entities import ContainerContext, ProcessEntry, Tiers, Usage
from core.model.events import Event, Sample, SnapshotRecord
from core.sources.feed import HostFacts
from core.sources.recording.check import (
    MAX_RECORDS,
    MOST_RECORDS,
    Unfit,
    check_entry,
    check_event,
    check_sample,
    check_time,
    check_usage,
)
from core.sources.recording.compression import zstd
from core.system.files import create
from core.text.safe import safe_text

FORMAT = 1
MAX_BYTES = 256 * 1024 * 1024
"""A recording ends when its compressed file grows beyond this."""

MAX_UNPACKED = 512 * 1024 * 1024
"""The same before compression: a reader stops a little beyond it, however much a file unpacks to."""

_MAX_MESSAGE = 64 * 1024 * 1024
_MAX_SMALL = 1024 * 1024
"""Limit of messages without a list of processes: a container's labels are 8 kB, an argv is cut at 64 kB."""

_LARGE = frozenset((b"Snapshot", b"Events", b"Sweep", b"Pids"))
_KEPT = 16
"""How many records a message counts for if a replay keeps it to the end: names of users, containers."""

_GZIP = b"\x1f\x8b"
_WINDOW = 23
"""Largest accepted window, as a power of two: 8 MB, four times the window of our own files."""

_PACKED: dict[int, int] = {
    zstd.CompressionParameter.compression_level: 3,
    zstd.CompressionParameter.checksum_flag: 1,
}
_LENGTH = struct.Struct(">I")
_DAMAGE = (zstd.ZstdError, zlib.error, gzip.BadGzipFile)


_AT_MOST = msgspec.Meta(max_length=MOST_RECORDS)  # checked before the list is built
_TAG = re.compile(rb"[\x80-\x8f]\xa4type[\xa0-\xbf]([A-Z][a-z]+)")
"""How our encoder begins each message."""


class RecordingError(Exception):
    """A file is not a recording, or is of another version; one line that names the file."""


class Head(msgspec.Struct, frozen=True, tag=True):
    """The host and tiers recorded. `exact`: events were reported, not only detected by sweeps."""

    format: int
    ts_ns: int
    host: HostFacts
    tiers: Tiers
    exact: bool


class Snapshot(msgspec.Struct, frozen=True, tag=True):
    ts_ns: int
    found: Annotated[list[SnapshotRecord], _AT_MOST]


class Events(msgspec.Struct, frozen=True, tag=True):
    ts_ns: int
    events: Annotated[list[Event], _AT_MOST]


class Sweep(msgspec.Struct, frozen=True, tag=True):
    ts_ns: int
    samples: Annotated[list[Sample], _AT_MOST]


class Looked(msgspec.Struct, frozen=True, tag=True):
    """One process as read from /proc, because the kernel tier did not have it."""

    ts_ns: int
    entry: ProcessEntry
    usage: Usage


class Pids(msgspec.Struct, frozen=True, tag=True):
    """The pids that /proc listed, for processes that the task iterator does not show."""

    ts_ns: int
    pids: Annotated[list[int], _AT_MOST]


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
    """The recording ended normally."""

    ts_ns: int


Message = Head | Snapshot | Events | Sweep | Looked | Pids | Named | User | End


class Writer:
    """Writes one recording. Owned by one thread; `close` completes the file."""

    def __init__(self, path: Path) -> None:
        """Create the file, readable by its owner only. Raises OSError; an existing file is not replaced."""
        self._raw: BinaryIO = os.fdopen(create(path), "wb")  # closed by close()
        self._file = zstd.ZstdFile(self._raw, "w", options=_PACKED)
        self._encode = msgspec.msgpack.Encoder().encode
        self._full = False
        self._unpacked = self._records = 0

    def write(self, message: Message) -> None:
        """Write a whole message. One that `read` would reject is left out, and the file counts as full."""
        data = self._encode(message)
        if len(data) > _MAX_MESSAGE:
            self._unpacked = MAX_UNPACKED
            return
        self._unpacked += len(data)
        self._records += _records_in(message)
        self._file.write(_LENGTH.pack(len(data)) + data)

    def flush(self) -> None:
        """Make everything written so far readable, in case this program dies."""
        self._file.flush(zstd.ZstdFile.FLUSH_BLOCK)  # type: ignore[arg-type]  # its stub says int
        self._raw.flush()

    @property
    def full(self) -> bool:
        if not self._raw.closed:
            self._full = (
                self._raw.tell() >= MAX_BYTES
                or self._unpacked >= MAX_UNPACKED
                or self._records >= MAX_RECORDS
            )
        return self._full

    def close(self) -> None:
        self._file.close()
        self._raw.close()


class Reader:
    """Reads one recording, message by message. Owns the file; `close` or the end of `with` closes it."""

    def __init__(self, path: Path) -> None:
        """Open a recording. Raises RecordingError, OSError."""
        self._shown = safe_text(str(path))
        self._file = _open(path)
        self._decode = msgspec.msgpack.Decoder(Message).decode
        self._started = False
        self._unpacked = self._records = self._latest_ns = 0

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()

    def next(self) -> Message | None:
        """Return the next message, `Head` first; None at the end or where the file is truncated.

        Raises RecordingError with one line that says what is wrong with the file, and OSError.
        """
        try:
            message = self._next()
        except EOFError:  # truncated in the middle of the compressed stream
            message = None
        except RecursionError:
            raise RecordingError(f"{self._shown}: not a recording, or damaged (nested too deeply)") from None
        except (*_DAMAGE, msgspec.MsgspecError, UnicodeDecodeError, Unfit) as error:
            problem = safe_text(str(error), 200)
            raise RecordingError(f"{self._shown}: not a recording, or damaged ({problem})") from None
        if message is None and not self._started:
            raise RecordingError(f"{self._shown}: not a recording, or an empty one")
        self._started = True
        return message

    def _next(self) -> Message | None:
        size = self._file.read(_LENGTH.size)
        if len(size) < _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack(size)
        if length > _MAX_MESSAGE:
            raise Unfit(f"a message of {length} bytes")
        self._unpacked += length
        if self._unpacked > MAX_UNPACKED + _MAX_MESSAGE:
            raise Unfit("it unpacks to more than a recording can hold")
        data = self._file.read(length)
        if len(data) < length:
            return None
        tag = _TAG.match(data)
        if tag is None:
            raise Unfit("a message without a type")
        if length > _MAX_SMALL and tag[1] not in _LARGE:
            raise Unfit(f"a message of type {tag[1].decode()} with {length} bytes")
        if not self._started:
            self._check_format(data)
        message = self._decode(data)
        self._check(message)
        if message.ts_ns < self._latest_ns:  # time never goes back: use the time of the message before it
            message = msgspec.structs.replace(message, ts_ns=self._latest_ns)
        self._latest_ns = message.ts_ns
        return message

    def _check_format(self, data: bytes) -> None:
        head = msgspec.msgpack.decode(data, type=_AnyHead)
        if head.type != Head.__name__:
            raise Unfit("it does not begin with a head")
        if head.format != FORMAT:
            age = "a newer" if head.format > FORMAT else "an older"
            raise RecordingError(
                f"{self._shown}: recorded by {age} ebpf-tui (format {head.format}, not {FORMAT})"
            )

    def _check(self, message: Message) -> None:
        if isinstance(message, Head) and self._started:
            raise Unfit("it has a second head")
        self._records += _records_in(message)
        if self._records > MAX_RECORDS + MOST_RECORDS:
            raise Unfit("it holds more records than a recording can")
        check_time(message.ts_ns)
        match message:
            case Snapshot():
                for record in message.found:
                    check_entry(record.entry)
                    check_usage(record.usage)
            case Events():
                for event in message.events:
                    check_event(event)
            case Sweep():
                for sample in message.samples:
                    check_sample(sample)
            case Looked():
                check_entry(message.entry)
                check_usage(message.usage)


class _AnyHead(msgspec.Struct):
    """The part of a head that has to stay the same in all formats."""

    type: str
    format: int


def _records_in(message: Message) -> int:
    """Return how many records a message counts for: 1, plus 1 for each record in it."""
    match message:
        case Snapshot():
            return 1 + len(message.found)
        case Events():
            return 1 + len(message.events)
        case Sweep():
            return 1 + len(message.samples)
        case Pids():
            return 1 + len(message.pids)
        case Named() | User() | Looked():
            return _KEPT
    return 1


def read(path: Path) -> Iterator[Message]:
    """Yield the messages of a recording, `Head` first. Raises RecordingError, OSError."""
    with Reader(path) as reader:
        while (message := reader.next()) is not None:
            yield message


def _open(path: Path) -> BinaryIO:
    """Open the stream of messages, compressed by either method. Raises OSError."""
    with open(path, "rb") as file:
        is_gzip = file.read(len(_GZIP)) == _GZIP
    if is_gzip:
        return cast("BinaryIO", gzip.open(path, "rb"))
    return cast(
        "BinaryIO", zstd.ZstdFile(path, "r", options={zstd.DecompressionParameter.window_log_max: _WINDOW})
    )
