"""The file of a recording: messages in a compressed stream, readable as far as it goes.

A recording is zstd over messages, each a msgpack map behind its length (u32, big-endian). The first is
`Head`; the others say when they were made (ns since the recorded host's boot). Recordings of before that
are the same in gzip. A file that was cut off (a full disk, a crash) is read as far as it goes.
"""

from __future__ import annotations

import gzip
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

import msgspec

from core.compression import zstd
from core.feed import HostFacts
from core.files import create
from core.model import ContainerContext, ProcessEntry, Tiers, Usage
from core.records import Event, Found, Sample
from core.text import safe_text

FORMAT = 1
MAX_BYTES = 256 * 1024 * 1024
"""A recording that grows beyond this ends; in bytes of the compressed file."""

MAX_UNPACKED = 512 * 1024 * 1024
"""The same before compression: a reader gives up a little beyond it, whatever a file unpacks to."""

_MAX_MESSAGE = 64 * 1024 * 1024
_GZIP = b"\x1f\x8b"
_WINDOW = 23
"""8 MB, as a power of two: as far back as a file may refer, four times as far as ours do."""

_PACKED: dict[int, int] = {
    zstd.CompressionParameter.compression_level: 3,
    zstd.CompressionParameter.checksum_flag: 1,
}
_LENGTH = struct.Struct(">I")
_DAMAGE = (zstd.ZstdError, zlib.error, gzip.BadGzipFile)


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
        self._raw: BinaryIO = os.fdopen(create(path), "wb")  # closed by close()
        self._file = zstd.ZstdFile(self._raw, "w", options=_PACKED)
        self._encode = msgspec.msgpack.Encoder().encode
        self._full = False
        self._unpacked = 0

    def write(self, message: Message) -> None:
        data = self._encode(message)
        self._unpacked += len(data)
        self._file.write(_LENGTH.pack(len(data)) + data)

    def flush(self) -> None:
        """Make what was written so far readable, should this program die."""
        self._file.flush(zstd.ZstdFile.FLUSH_BLOCK)  # type: ignore[arg-type]  # its stub says int
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
    with _open(path) as file:
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
            except (*_DAMAGE, msgspec.MsgspecError, UnicodeDecodeError) as error:
                words = safe_text(str(error), 200)
                raise RecordingError(f"{shown}: not a recording, or damaged ({words})") from None
            if first and not (isinstance(message, Head) and message.format == FORMAT):
                raise RecordingError(f"{shown}: not a recording of format {FORMAT}")
            first = False
            yield message
    if first:
        raise RecordingError(f"{shown}: not a recording, or an empty one")


def _open(path: Path) -> BinaryIO:
    """Open the stream of messages, whichever way it is compressed. Raises OSError."""
    with open(path, "rb") as file:
        is_gzip = file.read(len(_GZIP)) == _GZIP
    if is_gzip:
        return cast("BinaryIO", gzip.open(path, "rb"))
    return cast(
        "BinaryIO", zstd.ZstdFile(path, "r", options={zstd.DecompressionParameter.window_log_max: _WINDOW})
    )
