"""The file of a recording: messages in a compressed stream, readable as far as it goes.

A recording is zstd over messages, each a msgpack map behind its length (u32, big-endian). The first is
`Head`; the others say when they were made (ns since the recorded host's boot). Recordings of before that
are the same in gzip. A file that was cut off (a full disk, a crash) is read as far as it goes.

A file may come from anybody: how much one message holds and all of them together is bounded before it is
decoded, and what the records say is checked (core/sources/recording/check.py).
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
"""A recording that grows beyond this ends; in bytes of the compressed file."""

MAX_UNPACKED = 512 * 1024 * 1024
"""The same before compression: a reader gives up a little beyond it, whatever a file unpacks to."""

_MAX_MESSAGE = 64 * 1024 * 1024
_MAX_SMALL = 1024 * 1024
"""Messages that hold no list of processes: a container's labels are 8 kB, an argv is cut at 64 kB."""

_LARGE = frozenset((b"Snapshot", b"Events", b"Sweep", b"Pids"))
_KEPT = 16
"""Records that a message counts for when what it says is kept to the end: names of users, containers."""

_GZIP = b"\x1f\x8b"
_WINDOW = 23
"""8 MB, as a power of two: as far back as a file may refer, four times as far as ours do."""

_PACKED: dict[int, int] = {
    zstd.CompressionParameter.compression_level: 3,
    zstd.CompressionParameter.checksum_flag: 1,
}
_LENGTH = struct.Struct(">I")
_DAMAGE = (zstd.ZstdError, zlib.error, gzip.BadGzipFile)


_AT_MOST = msgspec.Meta(max_length=MOST_RECORDS)  # looked at before the list is made
_TAG = re.compile(rb"[\x80-\x8f]\xa4type[\xa0-\xbf]([A-Z][a-z]+)")
"""How our encoder begins each message."""


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
    found: Annotated[list[SnapshotRecord], _AT_MOST]


class Events(msgspec.Struct, frozen=True, tag=True):
    ts_ns: int
    events: Annotated[list[Event], _AT_MOST]


class Sweep(msgspec.Struct, frozen=True, tag=True):
    ts_ns: int
    samples: Annotated[list[Sample], _AT_MOST]


class Looked(msgspec.Struct, frozen=True, tag=True):
    """What /proc said of one process, because the kernel tier did not know it."""

    ts_ns: int
    entry: ProcessEntry
    usage: Usage


class Pids(msgspec.Struct, frozen=True, tag=True):
    """Which processes /proc showed, for those that the kernel tier does not show."""

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
    """The recording was ended on purpose."""

    ts_ns: int


Message = Head | Snapshot | Events | Sweep | Looked | Pids | Named | User | End


class Writer:
    """Writes one recording. Owned by one thread; `close` makes it whole."""

    def __init__(self, path: Path) -> None:
        """Create the file, readable by its owner only. Raises OSError; an existing file is not replaced."""
        self._raw: BinaryIO = os.fdopen(create(path), "wb")  # closed by close()
        self._file = zstd.ZstdFile(self._raw, "w", options=_PACKED)
        self._encode = msgspec.msgpack.Encoder().encode
        self._full = False
        self._unpacked = self._records = 0

    def write(self, message: Message) -> None:
        """Write a message, and all of it: what `read` would not take is left out and the file is full."""
        data = self._encode(message)
        if len(data) > _MAX_MESSAGE:
            self._unpacked = MAX_UNPACKED
            return
        self._unpacked += len(data)
        self._records += _records_in(message)
        self._file.write(_LENGTH.pack(len(data)) + data)

    def flush(self) -> None:
        """Make what was written so far readable, should this program die."""
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
    """Reads one recording, message by message. Owns the file; `close` or the end of `with` gives it back."""

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
        """Return the next message, `Head` first; None at the end, or where the file was cut off.

        Raises RecordingError: one line that says what is wrong with the file; OSError.
        """
        try:
            message = self._next()
        except EOFError:  # cut off in the middle of the compressed stream
            message = None
        except RecursionError:
            raise RecordingError(f"{self._shown}: not a recording, or damaged (nested too deeply)") from None
        except (*_DAMAGE, msgspec.MsgspecError, UnicodeDecodeError, Unfit) as error:
            words = safe_text(str(error), 200)
            raise RecordingError(f"{self._shown}: not a recording, or damaged ({words})") from None
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
            raise Unfit("a message without its kind")
        if length > _MAX_SMALL and tag[1] not in _LARGE:
            raise Unfit(f"a message of {length} bytes that says {tag[1].decode()}")
        if not self._started:
            self._check_format(data)
        message = self._decode(data)
        self._check(message)
        if message.ts_ns < self._latest_ns:  # time never goes back: it came after the one before it
            message = msgspec.structs.replace(message, ts_ns=self._latest_ns)
        self._latest_ns = message.ts_ns
        return message

    def _check_format(self, data: bytes) -> None:
        head = msgspec.msgpack.decode(data, type=_AnyHead)
        if head.type != Head.__name__:
            raise Unfit("it does not begin with its head")
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
                for found in message.found:
                    check_entry(found.entry)
                    check_usage(found.usage)
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
    """As much of a head as has to stay the same in all formats."""

    type: str
    format: int


def _records_in(message: Message) -> int:
    """Return how much of a recording's room a message takes: 1, and 1 for each record in it."""
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
    """Open the stream of messages, whichever way it is compressed. Raises OSError."""
    with open(path, "rb") as file:
        is_gzip = file.read(len(_GZIP)) == _GZIP
    if is_gzip:
        return cast("BinaryIO", gzip.open(path, "rb"))
    return cast(
        "BinaryIO", zstd.ZstdFile(path, "r", options={zstd.DecompressionParameter.window_log_max: _WINDOW})
    )
