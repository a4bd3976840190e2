"""Reads what runtimes keep on disk. All of it counts as hostile: a container's user may have written it."""

from __future__ import annotations

import os
import stat
import tomllib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import NamedTuple, TypeVar

import msgspec

from core.containers.bolt import BoltError, bolt_values
from core.containers.work import ENTRY, OPENED, StateError, Work
from core.system.host import DanglingPathError, Host
from core.text.safe import safe_text

_SIZE_LIMIT = 16 << 20
"""podman's containers.json holds every container of the host; nothing else comes near this."""

_LIST_LIMIT = 16_384

_VALUES_LIMIT = 1_000_000
"""Values of one JSON file: each takes some 50 bytes and more once it is decoded, and 3 in the file."""

_VALUE_WORK = 50

_ROOTS_WORK, _ROOTS_WORK_PER_S = 500_000_000, 20_000_000
"""Root's own state, which containers have a part in, may take 5 s, and then a fifth of the time."""

_PLACES_KEPT = 16_384
_ATTEMPTS = 4

T = TypeVar("T")


class OthersFileError(StateError):
    """A file that should be root's belongs to another user: only a child with his rights may read it.

    `bundle` is the folder of a bundle's config.json, "" for any other file.
    """

    def __init__(self, path: str, uid: int) -> None:
        super().__init__(path, f"belongs to user {uid}, not to root")
        self.uid = uid
        self.bundle = path.removesuffix("/config.json") if path.endswith("/config.json") else ""


class Stamp(NamedTuple):
    """Changes when a file is written or replaced."""

    inode: int
    mtime_ns: int
    size: int


class StateFiles:
    """Files of one host, by the paths the host knows them by. Links are followed inside its root only.

    A path that does not exist is None everywhere here; what exists and cannot be used is a StateError, as is
    all that exceeds the budget of `work`. `avoid` holds files that are not read, and why. `reading` is called
    with each file before it is read.
    """

    def __init__(self, host: Host, work: Work | None = None) -> None:
        self.host = host
        self.work = work or Work(_ROOTS_WORK, _ROOTS_WORK_PER_S)
        self.avoid: dict[str, str] = {}
        self.reading: Callable[[str], None] = lambda path: None
        self._places: dict[str, str] = {}
        self._database: tuple[str, Stamp | None, bytes] | None = None

    def read(self, path: str, owner: int | None = None, limit: int = _SIZE_LIMIT) -> bytes | None:
        """Return a regular file's content. With `owner` the file must belong to that user.

        No more is read than the file says it has: what is in /proc says nothing, and to read some of it
        takes something away (kmsg).
        """
        with self._open(path, owner) as descriptor:
            if descriptor is None:
                return None
            size = os.fstat(descriptor).st_size
            if size > limit:
                raise StateError(path, f"{size} bytes is more than the {limit} that are read")
            self.work.spend(size // 16, path)
            with open(descriptor, "rb", closefd=False) as file:
                return file.read(size)

    def read_bolt(
        self, path: str, bucket: Sequence[bytes], owner: int | None = None
    ) -> dict[bytes, bytes] | None:
        """Return a bucket of a bolt database; None when there is no such file or bucket in it."""
        with self._open(path, owner) as descriptor:
            if descriptor is None:
                return None
            try:
                return bolt_values(partial(os.pread, descriptor), bucket, self._spend_for(path))
            except BoltError as error:
                raise StateError(path, str(error)) from None

    def read_sqlite(
        self,
        path: str,
        tables: Sequence[str],
        query: str,
        parameters: Sequence[str],
        owner: int | None = None,
    ) -> list[tuple[bytes | int | float | None, ...]] | None:
        """Return the rows of a query on `tables` of a SQLite database; None when there is no such file.

        While a transaction is written to the file its old pages are in a journal beside it: a read counts
        only if there was none before and none afterwards, and the file is the same. Raises StateError.
        """
        for _ in range(_ATTEMPTS):
            before = self.stamp(path)
            busy = self.stamp(f"{path}-journal")
            data = self._database_of(path, before, owner)
            if data is None:
                return None
            if busy or self.stamp(f"{path}-journal") or self.stamp(path) != before:
                self.forget_database()
                continue
            try:
                # Importing sqlite3 takes 10 ms; most hosts have no such file, some Pythons no such module.
                from core.containers.sqlite import SqliteError, sqlite_rows  # noqa: PLC0415
            except ImportError:
                raise StateError(path, "is a SQLite database, which this Python cannot read") from None
            try:
                return sqlite_rows(data, tables, query, parameters, self._spend_for(path))
            except SqliteError as error:
                raise StateError(path, safe_text(str(error), 200)) from None
        raise StateError(path, "is being changed")

    def _database_of(self, path: str, stamp: Stamp | None, owner: int | None) -> bytes | None:
        """Return the content of a database, read once for all questions until `forget_database`."""
        if self._database is None or self._database[:2] != (path, stamp):
            data = self.read(path, owner)
            if data is None:
                return None
            self._database = (path, stamp, data)
        return self._database[2]

    def forget_database(self) -> None:
        """Free the database that is kept for the next question about it."""
        self._database = None

    def _spend_for(self, path: str) -> Callable[[int], None]:
        return lambda units: self.work.spend(units, path)

    @contextmanager
    def _open(self, path: str, owner: int | None) -> Iterator[int | None]:
        """Give the descriptor of a regular file, None when there is no such path. Raises StateError.

        It is looked at before it is opened, and what was looked at is opened: a user can put a link to a
        device there, and a watchdog bites who opens it; a FIFO would stop the collector.
        """
        if path in self.avoid:
            raise StateError(path, self.avoid[path])
        self.work.spend(OPENED, path)
        self.reading(path)
        with ExitStack() as open_ones:
            try:
                # Below another root every link has been followed: one that is there now came in between.
                flags = os.O_PATH | os.O_CLOEXEC | (0 if self.host.is_local else os.O_NOFOLLOW)
                seen = os.open(self._resolve(path), flags)
                open_ones.callback(os.close, seen)
                self._check(path, os.fstat(seen), owner)
                descriptor = os.open(f"/proc/self/fd/{seen}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
                open_ones.callback(os.close, descriptor)
            except (FileNotFoundError, NotADirectoryError, DanglingPathError):
                yield None
                return
            except (OSError, ValueError) as error:
                raise StateError(path, _why(error)) from None
            try:
                yield descriptor
            except OSError as error:
                raise StateError(path, _why(error)) from None

    @staticmethod
    def _check(path: str, status: os.stat_result, owner: int | None) -> None:
        if not stat.S_ISREG(status.st_mode):
            raise StateError(path, "is not a regular file")
        if owner is None and status.st_uid not in (0, os.geteuid()):
            raise OthersFileError(path, status.st_uid)
        if owner is not None and status.st_uid != owner:
            raise StateError(path, f"belongs to user {status.st_uid}, not to {owner}")

    def read_json(
        self, path: str, shape: type[T], owner: int | None = None, limit: int = _SIZE_LIMIT
    ) -> T | None:
        """Return a JSON file as `shape`; fields that the shape does not name are not looked at."""
        data = self.read(path, owner, limit)
        if data is None:
            return None
        values = data.count(b",") + data.count(b"[") + data.count(b"{")
        if values > _VALUES_LIMIT:
            raise StateError(path, f"holds more than the {_VALUES_LIMIT} values that are read")
        self.work.spend(len(data) // 4 + values * _VALUE_WORK, path)
        try:
            return msgspec.json.decode(data, type=shape)
        except (ValueError, RecursionError) as error:
            raise StateError(path, f"not understood: {safe_text(str(error), 200)}") from None

    def read_toml(self, path: str) -> dict[str, object]:
        """Return a TOML file, {} when it is not there."""
        data = self.read(path)
        try:
            return tomllib.loads((data or b"").decode())
        except (ValueError, RecursionError) as error:
            raise StateError(path, f"not understood: {safe_text(str(error), 200)}") from None

    def _resolve(self, path: str) -> str:
        """Return where a file is for us. Raises OSError, ValueError.

        On this host the kernel follows the links. Below another root it would follow absolute ones out
        of it, so they are followed by hand, which costs 10 us for each component.
        """
        if self.host.is_local:
            return path
        if len(self._places) > _PLACES_KEPT:
            self._places.clear()
        place = self._places[path] = str(self.host.realpath(path))
        return place

    def place(self, path: str) -> str | None:
        """Return where `path` is for us, None when it does not exist or cannot be looked at."""
        try:
            place = self._resolve(path)
            os.lstat(place)
        except (OSError, ValueError):
            return None
        return place

    def stamp(self, path: str) -> Stamp | None:
        """Return what tells two states of a file or folder apart, None when it cannot be looked at.

        Links on the way to a file that was read before are taken as they were then.
        """
        try:
            status = os.stat(self._places.get(path) or self._resolve(path))
        except (OSError, ValueError):
            return None
        return Stamp(status.st_ino, status.st_mtime_ns, status.st_size)

    def folders(self, path: str, limit: int = _LIST_LIMIT) -> Iterator[tuple[str, Stamp]]:
        """Yield the folders in a folder (no links) with their stamps; only `limit` entries are looked at."""
        try:
            with os.scandir(self._resolve(path)) as entries:
                for number, entry in enumerate(entries):
                    if number >= limit:
                        return
                    self.work.spend(ENTRY, path)
                    if entry.is_dir(follow_symlinks=False) and (stamp := _stamp_of(entry)):
                        yield entry.name, stamp
        except (FileNotFoundError, NotADirectoryError, DanglingPathError):
            return
        except (OSError, ValueError) as error:
            raise StateError(path, _why(error)) from None


def _stamp_of(folder: os.DirEntry[str]) -> Stamp | None:
    """Return the stamp of a folder, None when it is gone or is not ours to look at: the others still are."""
    try:
        status = folder.stat(follow_symlinks=False)
    except OSError:
        return None
    # ctime, too, tells a folder that was made again under the old name and inode.
    return Stamp(status.st_ino, status.st_ctime_ns, status.st_size)


def is_file_name(name: str) -> bool:
    """True when `name` can be one component of a path: an id from outside must not climb out of a folder."""
    return name not in ("", ".", "..") and "/" not in name and "\0" not in name


def _why(error: OSError | ValueError) -> str:
    if isinstance(error, PermissionError):
        return "not permitted (run as root to see container names)"
    return safe_text(error.strerror or str(error) if isinstance(error, OSError) else str(error), 200)
