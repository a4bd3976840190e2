"""/sys/kernel/kheaders.tar.xz, the headers embedded in a kernel with CONFIG_IKHEADERS.

It is unpacked into the user's own cache directory (mode 0700, owner checked) and never below /tmp, which
caused CVE-2024-2314 and CVE-2024-2313. Only directories and regular files below include/ and arch/ are
created, so a link or `..` in a hostile archive has no effect; Debian 12's Python has no tarfile filter for
that.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import lzma
import os
import shutil
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from buildgen.errors import KheadersError
from buildgen.headers.places import ARCHIVE
from buildgen.owner import acting_for, cache_directory, invoking_user, private_directory
from core.system.host import Host
from core.system.plain_file import read_start

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_BIGGEST_ARCHIVE = 64 * 1024 * 1024
_MOST_BYTES, _MOST_MEMBERS = 512 * 1024 * 1024, 100_000
"""Ten times the size of a kernel's headers."""
_MEMORY = 256 * 1024 * 1024
_TOPS = ("include", "arch")
_KEPT = 3
"""The number of kernels with headers in the cache."""


def unpacked(host: Host) -> Path:
    """Return the tree of the host's archive, unpacking it if it is not cached, which takes seconds.

    Raises KheadersError if the archive is unreadable, damaged, hostile or too big, or others can write to
    the cache.
    """
    source, owner = host.path(ARCHIVE), invoking_user()
    try:
        packed = read_start(source, _BIGGEST_ARCHIVE + 1)
        if len(packed) > _BIGGEST_ARCHIVE:
            raise KheadersError(f"{source} is bigger than {_BIGGEST_ARCHIVE} bytes")
        with acting_for(owner):
            cache = private_directory(cache_directory(owner) / "kheaders", owner)
            tree = cache / hashlib.sha256(packed).hexdigest()[:32]
            if not tree.is_dir():
                _unpack(packed, tree)
                _prune(cache, keep=tree)
    except (tarfile.TarError, lzma.LZMAError, EOFError, ValueError) as error:
        raise KheadersError(f"{source} is damaged ({error})") from error
    except OSError as error:
        raise KheadersError(f"{error.filename or source}: {error.strerror or error}") from error
    return tree


def _unpack(packed: bytes, tree: Path) -> None:
    """Unpack into a new directory next to `tree`, and rename it when it is complete."""
    new = Path(tempfile.mkdtemp(prefix="new-", dir=tree.parent))  # mode 0700
    try:
        reader = io.BufferedReader(_Unpacked(packed), 1 << 20)
        with tarfile.open(fileobj=reader, mode="r|") as archive:
            _extract(archive, new)
        with contextlib.suppress(OSError):  # another process was faster
            os.rename(new, tree)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _extract(archive: tarfile.TarFile, place: Path) -> None:
    for number, member in enumerate(archive):
        if number >= _MOST_MEMBERS:
            raise KheadersError(f"the archive has more than {_MOST_MEMBERS} members")
        parts = [part for part in member.name.split("/") if part not in ("", ".")]
        if not parts:
            continue
        if parts[0] not in _TOPS or ".." in parts or member.name.startswith("/"):
            raise KheadersError(
                f"the archive has {member.name!r}, which is not a kernel header; it is not used"
            )
        path = place.joinpath(*parts)
        if member.isdir():
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        elif member.isreg() and (content := archive.extractfile(member)) is not None:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            with content, os.fdopen(fd, "wb") as file:
                shutil.copyfileobj(content, file)


def _prune(cache: Path, keep: Path) -> None:
    """Delete the oldest trees, and the remains of killed runs."""
    others = sorted((p for p in cache.iterdir() if p != keep), key=lambda p: p.lstat().st_mtime, reverse=True)
    for old in others[_KEPT - 1 :]:
        shutil.rmtree(old, ignore_errors=True)


class _Unpacked(io.RawIOBase):
    """The content of an xz stream as a file, with limited memory and size: a small stream can be endless."""

    def __init__(self, packed: bytes) -> None:
        super().__init__()
        self._xz = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MEMORY)
        self._packed = packed
        self._given = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Fill `buffer` with the output of one decompression step; return its length, 0 at the end."""
        room = memoryview(buffer)
        data = b""
        while not data and not self._xz.eof:
            packed, self._packed = self._packed, b""
            if not packed and self._xz.needs_input:
                raise EOFError("it is truncated")
            data = self._xz.decompress(packed, max_length=len(room))
        self._given += len(data)
        if self._given > _MOST_BYTES:
            raise KheadersError(f"the archive unpacks to more than {_MOST_BYTES} bytes; it is not used")
        room[: len(data)] = data
        return len(data)
