"""podman's SQLite database, in the shape that podman 4.8 to 5 gives it; no such podman ran here."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.containers import ContainerNames
from core.containers.sqlite import SqliteError, sqlite_rows
from core.containers.state_files import StateFiles
from core.model.entities import ContainerContext
from core.system.host import Host

A = "1b060cc81653a5c4a1d5bb6b1ea0e8b9f3b1d2c3e4f5061728394a5b6c7d8e9f"
B = "f0dcdc9c4a1e179084fff86098037e6486b864c6ad2e5afa74be5145280d833b"
POD = "9d1f5e6c0b7a48392817f6e5d4c3b2a19081726354453627180f1e2d3c4b5a69"
STORAGE = "var/lib/containers/storage"

# The tables that matter here, with the columns and constraints of podman's libpod/sqlite_state_internal.go.
SCHEMA = """
    CREATE TABLE IDNamespace(ID TEXT PRIMARY KEY NOT NULL);
    CREATE TABLE ContainerState(
        ID TEXT PRIMARY KEY NOT NULL, State INTEGER NOT NULL, ExitCode INTEGER, JSON TEXT NOT NULL,
        FOREIGN KEY (ID) REFERENCES ContainerConfig(ID) DEFERRABLE INITIALLY DEFERRED,
        CHECK (ExitCode BETWEEN -1 AND 255)
    );
    CREATE TABLE ContainerConfig(
        ID TEXT PRIMARY KEY NOT NULL, Name TEXT UNIQUE NOT NULL, PodID TEXT, JSON TEXT NOT NULL,
        FOREIGN KEY (ID) REFERENCES IDNamespace(ID) DEFERRABLE INITIALLY DEFERRED,
        FOREIGN KEY (ID) REFERENCES ContainerState(ID) DEFERRABLE INITIALLY DEFERRED,
        FOREIGN KEY (PodID) REFERENCES PodConfig(ID)
    );
    CREATE TABLE PodConfig(
        ID TEXT PRIMARY KEY NOT NULL, Name TEXT UNIQUE NOT NULL, JSON TEXT NOT NULL,
        FOREIGN KEY (ID) REFERENCES IDNamespace(ID) DEFERRABLE INITIALLY DEFERRED
    );
"""


class Storage:
    """podman's storage below a host root: two containers, one of them in the pod `shop`."""

    def __init__(self, root: Path, database: str = "db.sql") -> None:
        self.root = root
        self.database = root / STORAGE / database
        self.database.parent.mkdir(parents=True)
        folder = root / STORAGE / "overlay-containers"
        folder.mkdir()
        records = [{"id": one, "names": [name]} for one, name in ((A, "web"), (B, "alone"))]
        (folder / "containers.json").write_text(json.dumps(records))
        connection = sqlite3.connect(self.database)
        connection.executescript(SCHEMA)
        self._add(connection, A, "web", POD, {"team": "shop"})
        self._add(connection, B, "alone", None, None)
        connection.execute("INSERT INTO PodConfig VALUES (?, 'shop', '{}')", (POD,))
        connection.commit()
        connection.close()

    @staticmethod
    def _add(
        connection: sqlite3.Connection, one: str, name: str, pod: str | None, labels: dict[str, str] | None
    ) -> None:
        config = json.dumps({"id": one, "name": name, "labels": labels, "lockID": 3})
        connection.execute("INSERT INTO ContainerConfig VALUES (?, ?, ?, ?)", (one, name, pod, config))
        connection.execute("INSERT INTO ContainerState VALUES (?, 3, 0, '{}')", (one,))

    def names(self) -> ContainerNames:
        return ContainerNames(Host(self.root))

    def context(self, container: str = A) -> ContainerContext:
        return self.names().container_of(f"/machine.slice/libpod-{container}.scope".encode())


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(tmp_path)


@pytest.mark.parametrize("database", ["db.sql", "libpod/db.sql"])
def test_pod_and_labels(tmp_path: Path, database: str) -> None:
    storage = Storage(tmp_path, database)
    context = storage.context()
    assert (context.name, context.pod, context.pod_uid, context.reason) == ("web", "shop", POD, None)
    assert dict(context.labels) == {"team": "shop"}
    alone = storage.context(B)
    assert (alone.name, alone.pod, alone.pod_uid, alone.reason, alone.labels) == (
        "alone",
        None,
        None,
        None,
        (),
    )


def test_nothing_is_made_beside_the_database_and_no_lock_is_taken(storage: Storage) -> None:
    before = (sorted(os.listdir(storage.database.parent)), storage.database.stat().st_mtime_ns)
    writer = sqlite3.connect(storage.database, isolation_level=None)
    writer.execute("BEGIN EXCLUSIVE")  # as podman begins its transactions: who needs a lock has to wait
    try:
        assert storage.context().pod == "shop"
        assert (sorted(os.listdir(storage.database.parent)), storage.database.stat().st_mtime_ns) == before
    finally:
        writer.close()


def test_a_database_with_a_write_ahead_log_is_read_as_it_was_before(storage: Storage) -> None:
    writer = sqlite3.connect(storage.database)
    writer.execute("PRAGMA journal_mode = WAL")
    writer.execute("UPDATE PodConfig SET Name = 'later'")
    writer.commit()
    before = sorted(os.listdir(storage.database.parent))
    assert storage.context().pod == "shop"
    assert sorted(os.listdir(storage.database.parent)) == before
    writer.close()


def test_a_transaction_that_is_being_written_is_waited_for(storage: Storage) -> None:
    journal = storage.database.with_name("db.sql-journal")
    journal.write_bytes(b"x")
    names = storage.names()
    cgroup = f"/machine.slice/libpod-{A}.scope".encode()
    context = names.container_of(cgroup)
    assert (context.name, context.pod) == ("web", None)
    assert "db.sql: is being changed" in (context.reason or "")

    journal.unlink()
    while not names.refresh():
        pass
    assert (names.container_of(cgroup).pod, names.container_of(cgroup).reason) == ("shop", None)


def test_a_transaction_that_ends_while_the_file_is_read(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was read may be half of it: it is read again."""
    journal = storage.database.with_name("db.sql-journal")
    journal.write_bytes(b"x")
    reads = []
    read = StateFiles.read

    def ends_meanwhile(files: StateFiles, path: str, *more: Any) -> bytes | None:
        data = read(files, path, *more)
        if path.endswith("/db.sql"):
            journal.unlink(missing_ok=True)
            reads.append(path)
        return data

    monkeypatch.setattr(StateFiles, "read", ends_meanwhile)
    assert storage.context().pod == "shop"
    assert len(reads) == 2


def _junk(data: bytearray) -> None:
    data[100:] = os.urandom(len(data) - 100)


def _replace(change: Callable[[bytearray], object]) -> Callable[[Path], object]:
    def apply(file: Path) -> None:
        data = bytearray(file.read_bytes())
        change(data)
        file.write_bytes(data)

    return apply


def _make_fifo(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def _sql(script: str) -> Callable[[Path], object]:
    def apply(file: Path) -> None:
        connection = sqlite3.connect(file)
        connection.executescript(f"DROP TABLE PodConfig; DROP TABLE ContainerConfig; {script}")
        connection.close()

    return apply


ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_replace(lambda data: data.clear()), "not a SQLite database"),
        (_replace(lambda data: data.__setitem__(slice(0, 6), b"SQLYTE")), "not a SQLite database"),
        (_replace(lambda data: data.__delitem__(slice(100, None))), "not understood"),
        (_replace(_junk), "not understood"),
        (_sql(""), "no plain table ContainerConfig"),
        (
            _sql(
                f"CREATE VIEW ContainerConfig AS SELECT '{A}' ID, ({ENDLESS}) PodID, 1 JSON;"
                "CREATE TABLE PodConfig(ID, Name);"
            ),
            "has a view or trigger",
        ),
        (
            _sql(
                f"CREATE VIEW ContainerConfig AS SELECT '{A}' ID, 1 PodID, hex(zeroblob(900000000)) JSON;"
                "CREATE TABLE PodConfig(ID, Name);"
            ),
            "has a view or trigger",
        ),
        (
            _sql(
                "CREATE TABLE t(i); INSERT INTO t VALUES (1), (2), (3), (4), (5), (6), (7), (8), (9), (0);"
                f"CREATE VIEW ContainerConfig AS SELECT '{A}' ID, 1 PodID, 1 JSON "
                "FROM t a, t b, t c, t d, t e, t f, t g, t h, t i WHERE a.i + b.i + c.i + d.i = i.i + 99;"
                "CREATE TABLE PodConfig(ID, Name);"
            ),
            "has a view or trigger",
        ),
        (
            _sql(
                "CREATE TABLE ContainerConfig(ID, Name, PodID, JSON); CREATE TABLE PodConfig(ID, Name, JSON);"
                f"INSERT INTO ContainerConfig VALUES ('{A}', 1, 2, '[]');"
            ),
            "labels of the container are not understood",
        ),
        (lambda file: os.truncate(file, 1 << 30), "more than"),
        (_make_fifo, "not a regular file"),
    ],
)  # fmt: skip
def test_a_database_that_is_not_what_it_should_be(
    storage: Storage, change: Callable[[Path], object], reason: str
) -> None:
    change(storage.database)
    context = storage.context()
    assert (context.id, context.name, context.pod) == (A, "web", None)
    assert reason in (context.reason or "")
    assert str(storage.root) not in (context.reason or "")


def test_values_of_another_kind(storage: Storage) -> None:
    connection = sqlite3.connect(storage.database)
    connection.execute(
        "UPDATE ContainerConfig SET PodID = ?, JSON = ?", (b"\xff\x1b[2J", b'{"labels": null}')
    )
    connection.commit()
    connection.close()
    context = storage.context()
    assert (context.pod, context.reason, context.labels) == ("\\xff\\x1b[2J", None, ())


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.integers(16, 40_000), st.binary(min_size=1, max_size=40)), min_size=1, max_size=8)
)
def test_any_damage_ends_in_rows_or_an_error(storage: Storage, damage: list[tuple[int, bytes]]) -> None:
    data = bytearray(storage.database.read_bytes())
    for at, junk in damage:
        data[at % len(data) : at % len(data) + len(junk)] = junk
    with contextlib.suppress(SqliteError):
        sqlite_rows(
            bytes(data), ["ContainerConfig"], "SELECT ID, JSON, PodID FROM ContainerConfig WHERE ID = ?", (A,)
        )


# --- what a query may do, whatever the database holds ------------------------------------------

PLAIN = "CREATE TABLE t(a, b); INSERT INTO t VALUES (1, 2), (3, 4);"


def _database(script: str) -> bytes:
    connection = sqlite3.connect(":memory:")
    connection.executescript(script)
    try:
        return connection.serialize()
    finally:
        connection.close()


def test_rows_of_plain_tables() -> None:
    data = _database(f"{PLAIN} CREATE TABLE u(a); CREATE INDEX i ON t(b);")
    assert sqlite_rows(data, ["t"], "SELECT b FROM t WHERE a = ?", ("3",)) == []
    assert sqlite_rows(data, ["t"], "SELECT b FROM t ORDER BY b", ()) == [(2,), (4,)]
    assert sqlite_rows(data, ["t", "u"], "SELECT b FROM t LEFT JOIN u ON t.a = u.a", ()) == [(2,), (4,)]


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ("CREATE VIEW v AS SELECT 1", "view or trigger"),
        ("CREATE TRIGGER g AFTER INSERT ON t BEGIN DELETE FROM t; END", "view or trigger"),
        ("DROP TABLE t; CREATE VIEW t AS SELECT 1 a, 2 b", "view or trigger"),
        ("DROP TABLE t; CREATE VIRTUAL TABLE t USING fts5(a, b)", "no plain table t"),
        ("DROP TABLE t; CREATE TABLE t(a, b GENERATED ALWAYS AS (hex(a)))", "no plain table t"),
        ("DROP TABLE t; CREATE TABLE t(a, b AS (hex(a)))", "no plain table t"),
        ("DROP TABLE t", "no plain table t"),
        ("ALTER TABLE t RENAME TO other", "no plain table t"),
        (";".join(f"CREATE TABLE t{number}(a)" for number in range(200)), "more than 200 tables"),
        ("CREATE TABLE w(" + ",".join(f"c{number}" for number in range(101)) + ")", "not understood"),
    ],
)
def test_only_databases_of_plain_tables_are_asked(more: str, reason: str) -> None:
    with pytest.raises(SqliteError, match=reason):
        sqlite_rows(_database(f"{PLAIN} {more};"), ["t"], "SELECT a FROM t", ())


@pytest.mark.parametrize(
    "query",
    [
        "SELECT a FROM other",
        "SELECT t.b FROM t, other",
        "SELECT name FROM sqlite_master",
        "SELECT hex(a) FROM t",
        "SELECT randomblob(1000000) FROM t",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n",
        "INSERT INTO t VALUES (5, 6)",
        "DELETE FROM t",
        "CREATE TABLE x(a)",
        "CREATE TEMP VIEW x AS SELECT a FROM t",
        "PRAGMA writable_schema = ON",
        "ATTACH ':memory:' AS x",
    ],
)
def test_a_query_reads_its_tables_and_does_nothing_else(query: str) -> None:
    data = _database(f"{PLAIN} CREATE TABLE other(a);")
    with pytest.raises(SqliteError, match=r"not authorized|prohibited"):
        sqlite_rows(data, ["t"], query, ())


TEN = "CREATE TABLE t(a); INSERT INTO t VALUES (1), (2), (3), (4), (5), (6), (7), (8), (9), (0);"
BILLION = "SELECT 1 FROM t a, t b, t c, t d, t e, t f, t g, t h, t i WHERE a.a + b.a + c.a + d.a = i.a + 99"


def test_a_query_that_would_take_hours_is_ended() -> None:
    spent: list[int] = []
    with pytest.raises(SqliteError, match="interrupted"):
        sqlite_rows(_database(TEN), ["t"], BILLION, (), spent.append)
    assert len(spent) <= 1000


def test_the_steps_of_a_query_cost_work_and_end_with_it() -> None:
    spent = []

    class OutOfWorkError(Exception):
        pass

    def spend(units: int) -> None:
        spent.append(units)
        if sum(spent) > 100_000:
            raise OutOfWorkError

    with pytest.raises(OutOfWorkError):
        sqlite_rows(_database(TEN), ["t"], BILLION, (), spend)
    assert sum(spent) < 200_000
    assert min(spent) > 0


def test_a_schema_that_takes_hours_to_look_at_is_ended() -> None:
    """The list of tables is a table as well, and may be as long as the file."""
    connection = sqlite3.connect(":memory:")
    connection.executescript(f"{PLAIN} PRAGMA writable_schema = ON;")
    connection.executemany(
        "INSERT INTO sqlite_master VALUES ('view', ?, ?, 0, ?)",
        ((f"v{number}", f"v{number}", f"CREATE VIEW v{number} AS SELECT 1") for number in range(150_000)),
    )
    connection.commit()
    with pytest.raises(SqliteError, match=r"interrupted|not understood"):
        sqlite_rows(connection.serialize(), ["t"], "SELECT a FROM t", ())
    connection.close()


def test_a_value_that_is_too_long() -> None:
    data = _database("CREATE TABLE t(a); INSERT INTO t VALUES (zeroblob(2000000));")
    with pytest.raises(SqliteError, match="too big"):
        sqlite_rows(data, ["t"], "SELECT a FROM t", ())


def test_views_of_views_do_not_end_this_process() -> None:
    """SQLite follows them by recursion: with 20,000 the process has no stack left."""
    connection = sqlite3.connect(":memory:")
    connection.executescript("CREATE TABLE v0(a); PRAGMA writable_schema = ON;")
    connection.executemany(
        "INSERT INTO sqlite_master VALUES ('view', ?, ?, 0, ?)",
        ((f"v{n}", f"v{n}", f"CREATE VIEW v{n} AS SELECT a FROM v{n - 1}") for n in range(1, 20_001)),
    )
    connection.commit()
    with pytest.raises(SqliteError):
        sqlite_rows(connection.serialize(), ["v20000"], "SELECT a FROM v20000", ())
    connection.close()


def test_roots_database_is_read_once_for_many_containers(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = []
    read = StateFiles.read

    def note(files: StateFiles, path: str, *more: Any) -> bytes | None:
        reads.append(path)
        return read(files, path, *more)

    monkeypatch.setattr(StateFiles, "read", note)
    names = storage.names()
    for container in (A, B):
        names.container_of(f"/machine.slice/libpod-{container}.scope".encode())
    assert len([path for path in reads if path.endswith("db.sql")]) == 1
