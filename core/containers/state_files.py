"""Reads the state of runtimes on disk. All of it is untrusted: a container's user may have written it."""

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
"""Limit of a file in bytes. podman's containers.json has every container; other files are much smaller."""

_LIST_LIMIT = 16_384

_VALUES_LIMIT = 1_000_000
"""Limit of values in one JSON file: each takes 50 bytes or more when decoded, and 3 in the file."""

_VALUE_WORK = 50

_ROOTS_WORK, _ROOTS_WORK_PER_S = 500_000_000, 20_000_000
"""Budget for root's own state, some of which containers influence: 5 s, then a fifth of the time."""

_PLACES_KEPT = 16_384
_ATTEMPTS = 4

T = TypeVar("T")


class OthersFileError(StateError):
    """A file that should be root's belongs to another user: only a child with that user's rights may read it.

    `bundle` is the directory of a bundle's config.json, "" for any other file.
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
    """Files of one host, by the host's own paths. Links are followed only inside its root.

    A path that does not exist gives None; a file that exists but cannot be used raises StateError, as does
    work beyond the budget of `work`. `avoid` holds files that are not read, and why. `reading` is called
    with each path before it is read.
    """

    def __init__(self, host: Host, work: Work | None = None) -> None:
        self.host = host
        self.work = work or Work(_ROOTS_WORK, _ROOTS_WORK_PER_S)
        self.avoid: dict[str, str] = {}
        self.reading: Callable[[str], None] = lambda path: None
        self._places: dict[str, str] = {}
        self._database: tuple[str, Stamp | None, bytes] | None = None

    def read(self, path: str, owner: int | None = None, limit: int = _SIZE_LIMIT) -> bytes | None:
        """Return the content of a regular file. With `owner` the file must belong to that user.

        Only st_size bytes are read: files in /proc have size 0, and reading some consumes data (kmsg).
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
        """Return a bucket of a bolt database; None when there is no such file or bucket."""
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

        While a transaction writes to the file, its old pages are in a journal beside it. A read is valid
        only if there was no journal before and after it and the file is unchanged. Raises StateError.
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
                # Importing sqlite3 takes 10 ms; most hosts have no such file, some Pythons lack the module.
                from core.containers.sqlite import SqliteError, sqlite_rows  # noqa: PLC0415
            except ImportError:
                raise StateError(
                    path, "is a SQLite database, but this Python has no sqlite3 module"
                ) from None
            try:
                return sqlite_rows(data, tables, query, parameters, self._spend_for(path))
            except SqliteError as error:
                raise StateError(path, safe_text(str(error), 200)) from None
        raise StateError(path, "is being changed")

    def _database_of(self, path: str, stamp: Stamp | None, owner: int | None) -> bytes | None:
        """Return the content of a database, read once for all queries until `forget_database`."""
        if self._database is None or self._database[:2] != (path, stamp):
            data = self.read(path, owner)
            if data is None:
                return None
            self._database = (path, stamp, data)
        return self._database[2]

    def forget_database(self) -> None:
        """Free the content of the database that is kept for the next query."""
        self._database = None

    def _spend_for(self, path: str) -> Callable[[int], None]:
        return lambda units: self.work.spend(units, path)

    @contextmanager
    def _open(self, path: str, owner: int | None) -> Iterator[int | None]:
        """Yield a descriptor of a regular file, None when the path does not exist. Raises StateError.

        The type is checked first, and exactly the checked file is then opened: a user can put a link to a
        device there (opening a watchdog device arms it), and a FIFO would block the collector.
        """
        if path in self.avoid:
            raise StateError(path, self.avoid[path])
        self.work.spend(OPENED, path)
        self.reading(path)
        with ExitStack() as descriptors:
            try:
                # Below another root every link was resolved: a link there now was created meanwhile.
                flags = os.O_PATH | os.O_CLOEXEC | (0 if self.host.is_local else os.O_NOFOLLOW)
                seen = os.open(self._resolve(path), flags)
                descriptors.callback(os.close, seen)
                self._check(path, os.fstat(seen), owner)
                descriptor = os.open(f"/proc/self/fd/{seen}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
                descriptors.callback(os.close, descriptor)
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
        """Return a JSON file decoded as `shape`; other fields are ignored."""
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
        """Return a TOML file, {} when it does not exist."""
        data = self.read(path)
        try:
            return tomllib.loads((data or b"").decode())
        except (ValueError, RecursionError) as error:
            raise StateError(path, f"not understood: {safe_text(str(error), 200)}") from None

    def _resolve(self, path: str) -> str:
        """Return our path for a file. Raises OSError, ValueError.

        On this host the kernel follows links. Below another root it would follow absolute links out of that
        root, so they are followed by hand, which costs 10 us per component.
        """
        if self.host.is_local:
            return path
        if len(self._places) > _PLACES_KEPT:
            self._places.clear()
        place = self._places[path] = str(self.host.realpath(path))
        return place

    def place(self, path: str) -> str | None:
        """Return our path for `path`, None when it does not exist or cannot be accessed."""
        try:
            place = self._resolve(path)
            os.lstat(place)
        except (OSError, ValueError):
            return None
        return place

    def stamp(self, path: str) -> Stamp | None:
        """Return the stamp of a file or directory, None when it cannot be accessed.

        Links on the way to a file that was read before are not resolved again.
        """
        try:
            status = os.stat(self._places.get(path) or self._resolve(path))
        except (OSError, ValueError):
            return None
        return Stamp(status.st_ino, status.st_mtime_ns, status.st_size)

    def folders(self, path: str, limit: int = _LIST_LIMIT) -> Iterator[tuple[str, Stamp]]:
        """Yield the directories in a directory (no links) with their stamps; reads only `limit` entries."""
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
    """Return the stamp of a directory, None when it is gone or cannot be accessed."""
    try:
        status = folder.stat(follow_symlinks=False)
    except OSError:
        return None
    # ctime also differs for a directory that was recreated with the old name and inode.
    return Stamp(status.st_ino, status.st_ctime_ns, status.st_size)


def is_file_name(name: str) -> bool:
    """Return whether `name` is one path component: an id from outside must not leave its directory."""
    return name not in ("", ".", "..") and "/" not in name and "\0" not in name


def _why(error: OSError | ValueError) -> str:
    if isinstance(error, PermissionError):
        return "not permitted (run as root to see container names)"
    return safe_text(error.strerror or str(error) if isinstance(error, OSError) else str(error), 200)
