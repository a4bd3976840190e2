"""Asks a SQLite database that was read into memory: no lock is taken and no file is made beside it.

The file belongs to a runtime, or to a user who may have written anything into it: a query may read what it
names and nothing else (no view's function, no recursion), and ends after so many steps.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

_HEADER = b"SQLite format 3\0"
_JOURNAL_MODES = slice(18, 20)
_ROLLBACK = b"\1\1"
_STEPS = 1000
_ROUNDS = 1000
_VALUE_LIMIT = 1 << 20

Value = bytes | int | float | None
"""Text comes as bytes: it need not be UTF-8."""


class SqliteError(ValueError):
    """The database cannot be understood, or does more than it should."""


def sqlite_rows(data: bytes, query: str, parameters: Sequence[str]) -> list[tuple[Value, ...]]:
    """Return the rows of a query on the database whose file holds `data`. Raises SqliteError.

    What a write-ahead log beside the file holds is not seen.
    """
    if not data.startswith(_HEADER):
        raise SqliteError("is not a SQLite database")
    in_memory = bytearray(data)
    in_memory[_JOURNAL_MODES] = _ROLLBACK  # a database in memory has no write-ahead log
    connection = sqlite3.connect(":memory:")
    try:
        connection.deserialize(bytes(in_memory))
        _fence_in(connection)
        return connection.execute(query, parameters).fetchall()
    except (sqlite3.Error, MemoryError, OverflowError, UnicodeDecodeError) as error:
        raise SqliteError(f"not understood: {error}") from None
    finally:
        connection.close()


def _fence_in(connection: sqlite3.Connection) -> None:
    connection.text_factory = bytes
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _VALUE_LIMIT)
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA cell_size_check = ON")
    allowed = (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ)
    connection.set_authorizer(
        lambda action, *_: sqlite3.SQLITE_OK if action in allowed else sqlite3.SQLITE_DENY
    )
    rounds = iter(range(_ROUNDS))
    connection.set_progress_handler(lambda: next(rounds, None) is None, _STEPS)
