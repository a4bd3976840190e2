"""Queries a SQLite database that was read into memory: it takes no lock and creates no file beside it.

The file belongs to a runtime, or to a user who may have written anything into it. So only plain tables are
queried: SQLite resolves nested views by recursion, and 20,000 of them crash the process. A query may read the
columns it names and nothing else (no function of a generated column), and its steps are counted.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Sequence

_HEADER = b"SQLite format 3\0"
_JOURNAL_MODES = slice(18, 20)
_ROLLBACK = b"\1\1"
_STEPS = 1000
_ROUNDS = 1000
_STEP_WORK = 4
"""Units of work (work.py) for a step of SQLite's virtual machine."""

_LIMITS = {
    sqlite3.SQLITE_LIMIT_LENGTH: 1 << 20,
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: 1 << 16,
    sqlite3.SQLITE_LIMIT_COLUMN: 100,
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 50,
    sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 2,
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
    sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH: 1,
    sqlite3.SQLITE_LIMIT_WORKER_THREADS: 0,
}
_OBJECTS = 200
"""Limit of tables and indexes of one database; podman's has about 20."""

_PLAIN = re.compile(rb"CREATE TABLE [A-Za-z_\"'`\[]", re.IGNORECASE)
_COMPUTED = re.compile(rb"\bAS\b|\bGENERATED\b", re.IGNORECASE)

Value = bytes | int | float | None
"""Text is returned as bytes, because it may not be UTF-8."""


class SqliteError(ValueError):
    """The database cannot be understood, or does more than it should."""


def sqlite_rows(
    data: bytes,
    tables: Sequence[str],
    query: str,
    parameters: Sequence[str],
    spend: Callable[[int], None] = lambda units: None,
) -> list[tuple[Value, ...]]:
    """Return the rows of a query on a database, given as the content `data` of its file.

    The query may read `tables` only. Changes that are still in a write-ahead log beside the file are not
    seen. `spend` is called with the units of work before the work is done. Raises SqliteError, and what
    `spend` raises.
    """
    if not data.startswith(_HEADER):
        raise SqliteError("is not a SQLite database")
    in_memory = bytearray(data)
    in_memory[_JOURNAL_MODES] = _ROLLBACK  # a database in memory has no write-ahead log
    connection = sqlite3.connect(":memory:")
    meter = _Meter(spend)
    try:
        connection.deserialize(bytes(in_memory))
        _fence_in(connection, meter)
        _check_tables(connection, tables)
        allowed = {*tables}
        connection.set_authorizer(lambda *what: _judge(allowed, *what))
        return connection.execute(query, parameters).fetchall()
    except (sqlite3.Error, MemoryError, OverflowError, UnicodeDecodeError) as error:
        if meter.exceeded:
            raise meter.exceeded from None
        raise SqliteError(f"not understood: {error}") from None
    finally:
        connection.close()


class _Meter:
    """Ends a query after a limit of steps, or when the budget for all files is used up."""

    def __init__(self, spend: Callable[[int], None]) -> None:
        self._spend = spend
        self._rounds = 0
        self.exceeded: Exception | None = None

    def __call__(self) -> bool:
        self._rounds += 1
        try:
            self._spend(_STEPS * _STEP_WORK)
        except Exception as error:  # it cannot cross SQLite's C code: raised again after the query
            self.exceeded = error
        return self.exceeded is not None or self._rounds >= _ROUNDS


def _fence_in(connection: sqlite3.Connection, meter: _Meter) -> None:
    connection.text_factory = bytes
    for what, limit in _LIMITS.items():
        connection.setlimit(what, limit)
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA cell_size_check = ON")
    connection.execute("PRAGMA query_only = ON")
    connection.set_progress_handler(meter, _STEPS)
    connection.set_authorizer(lambda *what: _judge({"sqlite_master"}, *what))


def _judge(tables: set[str], action: int, first: str | None, *others: str | None) -> int:
    """Allow a query to read columns of these tables directly: `others` ends with the view or trigger."""
    if action == sqlite3.SQLITE_SELECT:
        return sqlite3.SQLITE_OK
    reads = action == sqlite3.SQLITE_READ and first in tables and others[-1] is None
    return sqlite3.SQLITE_OK if reads else sqlite3.SQLITE_DENY


def _check_tables(connection: sqlite3.Connection, tables: Sequence[str]) -> None:
    """Raise SqliteError unless the database has only tables and indexes, and `tables` are plain ones."""
    query = f"SELECT type, name, rootpage, sql FROM sqlite_master LIMIT {_OBJECTS + 1}"
    objects = connection.execute(query).fetchall()
    if len(objects) > _OBJECTS:
        raise SqliteError(f"has more than {_OBJECTS} tables and indexes")
    if any(kind not in (b"table", b"index") for kind, *_ in objects):
        raise SqliteError("has a view or trigger: only plain tables are read")
    plain = {
        name
        for kind, name, root, sql in objects
        if kind == b"table" and isinstance(root, int) and root > 0 and isinstance(sql, bytes)
        if _PLAIN.match(sql) and not _COMPUTED.search(sql)
    }
    missing = [table for table in tables if table.encode() not in plain]
    if missing:
        raise SqliteError(f"has no plain table {missing[0]}")
