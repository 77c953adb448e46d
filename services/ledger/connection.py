"""The writer's own database connection: the one place where the engines differ in how many rows go in at once.

It holds the lease (`lease`): every transaction checks the epoch. Whoever waits for it learns of the holder's death by
a lock: on PostgreSQL an advisory lock of the holder's session, on SQLite a lock on a file beside the database.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from time import monotonic
from typing import Any, Final, Protocol, TypeAlias, cast

import psycopg
from sqlalchemy import Dialect, Engine, Table
from sqlalchemy.dialects import postgresql

from services.database import BUSY_S_MAX, is_sqlite, translated
from services.ledger import lease
from services.ledger.lease import LEASE_MS_MAX, RENEW_S, AnotherWriter, KeepWaiting, Lease, LeaseLost
from services.ledger.lock_file import LockFile

Rows: TypeAlias = Sequence[tuple[Any, ...]]

_POSTGRESQL: Final[Dialect] = postgresql.dialect()  # type: ignore[no-untyped-call]
_LOCK: Final = 0x5350_4152_4B53_0001
LOCK_WAIT_MS: Final = 500
"""How long a session waits for the holder's lock before it looks whether the lease has run out."""
_FILE_WAIT_S: Final = 0.1


class WriterConnection(Protocol):
    """Statements in autocommit, or in one `transaction`. Everything raises DatabaseUnavailable if that is the cause."""

    def take_lease(self, holder: str, keep_waiting: KeepWaiting) -> Lease:
        """Become the writer, under the name `holder`; raises AnotherWriter once `keep_waiting` says to give up."""
        ...

    def keep_lease(self) -> None:
        """Renew the lease if nothing was committed for a while. Raises LeaseLost."""
        ...

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit at the end, or nothing of it. Raises LeaseLost if the lease is another's now."""
        ...

    def insert(self, table: Table, rows: Rows) -> None:
        """Add rows, each in the order of the table's columns."""
        ...

    def upsert(self, table: Table, rows: Rows) -> None:
        """Add rows or put them in the place of those with the same primary key; no key twice."""
        ...

    def delete(self, table: Table, keys: Sequence[Any]) -> None:
        """Remove rows by their primary key of one column."""
        ...

    def select(self, statement: str, keys: Sequence[Any]) -> list[tuple[Any, ...]]:
        """The rows of a statement that ends in `= {key}`, for each of `keys`."""
        ...

    def all(self, statement: str) -> list[tuple[Any, ...]]:
        """The rows of a statement without parameters."""
        ...

    def close(self) -> None:
        """Give up the lease and the connection."""
        ...


def connect(engine: Engine, *, upserted: Sequence[Table]) -> WriterConnection:
    """Connect; only the tables `upserted` may be. Raises DatabaseUnavailable."""
    return SqliteConnection(engine) if is_sqlite(engine) else PostgresConnection(engine, upserted)


# --- SQLite ----------------------------------------------------------------------------------------------------------


class SqliteConnection:
    """In the same process, so that a statement for each row costs little."""

    def __init__(self, engine: Engine) -> None:
        database = engine.url.database
        if not database:
            raise ValueError("the ledger needs a database that is a file")
        self._lock_path = Path(f"{database}.writer")
        self._lock: LockFile | None = None
        self._epoch = 0
        with translated():
            self._pooled = engine.raw_connection()
        self._connection = cast(sqlite3.Connection, self._pooled.driver_connection)

    def take_lease(self, holder: str, keep_waiting: KeepWaiting) -> Lease:
        while (lock := LockFile.take(self._lock_path, is_idle=self._is_idle)) is None:
            if not keep_waiting(_FILE_WAIT_S):
                raise AnotherWriter(f"another process writes to this ledger ({self._lock_path.name} is locked)")
        self._lock = lock
        with self._begun():
            execute, sql = self._connection.execute, lease.ON_SQLITE
            before = execute(sql.before).fetchone()
            execute(sql.take, (holder,))
            ((self._epoch,),) = execute(sql.note).fetchall()
        return Lease(self._epoch, *(before or (None, 0)))

    def _is_idle(self) -> bool:
        """Is nobody inside a transaction that writes?"""
        try:
            self._connection.execute("PRAGMA busy_timeout = 0")
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.execute("ROLLBACK")
        except sqlite3.OperationalError:
            return False
        finally:
            self._connection.execute(f"PRAGMA busy_timeout = {BUSY_S_MAX * 1_000}")
        return True

    def keep_lease(self) -> None:
        if self._lock is not None and self._lock.is_due():
            with translated():
                self._require_epoch()
            self._lock.touch()

    def _require_epoch(self) -> None:
        if self._connection.execute("SELECT epoch FROM lease").fetchone() != (self._epoch,):
            raise LeaseLost(f"epoch {self._epoch} has ended: another process writes to this ledger")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        with self._begun():
            # The transaction has the database for itself: what is read here stays so until it is committed.
            self._require_epoch()
            if self._lock is not None and self._lock.is_due():
                self._lock.touch()
            yield

    @contextmanager
    def _begun(self) -> Iterator[None]:
        with translated():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def insert(self, table: Table, rows: Rows) -> None:
        self._connection.executemany(_sqlite_insert(table), rows)

    def upsert(self, table: Table, rows: Rows) -> None:
        self._connection.executemany(f"{_sqlite_insert(table)} {_on_conflict(table)}", rows)

    def delete(self, table: Table, keys: Sequence[Any]) -> None:
        (key,) = table.primary_key.columns
        self._connection.executemany(f'DELETE FROM {table.name} WHERE "{key.name}" = ?', [(value,) for value in keys])

    def select(self, statement: str, keys: Sequence[Any]) -> list[tuple[Any, ...]]:
        with translated():
            execute, filled = self._connection.execute, statement.format(key="?")
            return [row for key in keys for row in execute(filled, (key,)).fetchall()]

    def all(self, statement: str) -> list[tuple[Any, ...]]:
        with translated():
            return self._connection.execute(statement).fetchall()

    def close(self) -> None:
        self._pooled.invalidate()
        if self._lock is not None:
            self._lock.close()


@cache
def _sqlite_insert(table: Table) -> str:
    places = ", ".join("?" for _ in table.columns)
    return f"INSERT INTO {table.name} ({_names(table)}) VALUES ({places})"


# --- PostgreSQL ------------------------------------------------------------------------------------------------------


class PostgresConnection:
    """Over a network, so that the rows of a table go in together: by COPY, for an upsert through a temporary table.

    (Arrays of columns and `unnest` cost seven times the time on this side and twice that of the whole.)
    """

    def __init__(self, engine: Engine, upserted: Sequence[Table]) -> None:
        with translated():
            self._pooled = engine.raw_connection()
            self._connection = cast(psycopg.Connection[tuple[Any, ...]], self._pooled.driver_connection)
            try:
                self._connection.autocommit = True
                self._connection.execute(f"SET lock_timeout = '{BUSY_S_MAX}s'")
                for table in upserted:
                    made = f"CREATE TEMPORARY TABLE {_staging(table)} (LIKE {table.name}) ON COMMIT DELETE ROWS"
                    self._connection.execute(made)
            except BaseException:
                self.close()
                raise
        self._cursor = self._connection.cursor(binary=True)
        self._epoch = 0
        self._renewed_at = monotonic()

    def take_lease(self, holder: str, keep_waiting: KeepWaiting) -> Lease:
        sql = lease.ON_POSTGRESQL
        with translated():
            while not self._has_lock():
                self._end_a_silent_holder()
                if not keep_waiting(0):
                    raise AnotherWriter("another process writes to this ledger (its advisory lock is taken)")
            # The row is locked by a commit that is still under way; what it added is then seen by `note`.
            with self._connection.transaction():
                before = self._connection.execute(sql.before).fetchone()
                self._connection.execute(sql.take, [holder])
                ((self._epoch,),) = self._connection.execute(sql.note).fetchall()
        self._renewed_at = monotonic()
        return Lease(self._epoch, *(before or (None, 0)))

    def _has_lock(self) -> bool:
        """Wait a moment for the lock that a living session holds; it is free at once when that session ends."""
        self._connection.execute(f"SET lock_timeout = '{LOCK_WAIT_MS}ms'")
        try:
            self._connection.execute("SELECT pg_advisory_lock(%s)", [_LOCK])
        except psycopg.errors.LockNotAvailable:
            return False
        self._connection.execute(f"SET lock_timeout = '{BUSY_S_MAX}s'")
        return True

    def _end_a_silent_holder(self) -> None:
        """End the session whose lease has run out, unless it is the server that keeps it waiting."""
        aged = self._connection.execute(lease.ON_POSTGRESQL.age_ms).fetchone()
        # A renewal far in the future is silence too: the server's clock was set back.
        if aged is not None and abs(aged[0]) > LEASE_MS_MAX:
            self._connection.execute(_END_SILENT_HOLDER, [_LOCK >> 32, _LOCK & 0xFFFF_FFFF])

    def keep_lease(self) -> None:
        if monotonic() - self._renewed_at > RENEW_S:
            with translated():
                self._renew("")

    def _renew(self, before: str) -> None:
        """Check that the lease is ours, renew it, and in a transaction keep others from taking it to the end.

        One way to the server and back: the statement `before` travels along.
        """
        cursor = self._connection.execute(before + lease.ON_POSTGRESQL.renew.format(epoch=self._epoch))
        while cursor.nextset():
            pass
        if cursor.rowcount != 1:
            raise LeaseLost(f"epoch {self._epoch} has ended: another process writes to this ledger")
        self._renewed_at = monotonic()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        with translated():
            try:
                self._renew("BEGIN; ")
                yield
                self._cursor.execute("COMMIT")
            except BaseException:
                if not self._connection.broken:
                    self._connection.rollback()
                raise

    def insert(self, table: Table, rows: Rows) -> None:
        self._copy(table, table.name, rows)

    def upsert(self, table: Table, rows: Rows) -> None:
        self._copy(table, _staging(table), rows)
        self._cursor.execute(_staged_upsert(table))

    def _copy(self, table: Table, name: str, rows: Rows) -> None:
        with self._cursor.copy(f"COPY {name} ({_names(table)}) FROM STDIN (FORMAT BINARY)") as copy:
            copy.set_types(_types(table))
            for row in rows:
                copy.write_row(row)

    def delete(self, table: Table, keys: Sequence[Any]) -> None:
        (key,) = table.primary_key.columns
        self._cursor.execute(f'DELETE FROM {table.name} WHERE "{key.name}" = ANY(%s)', [list(keys)])

    def select(self, statement: str, keys: Sequence[Any]) -> list[tuple[Any, ...]]:
        with translated():
            return self._cursor.execute(statement.format(key="ANY(%s)"), [list(keys)]).fetchall()

    def all(self, statement: str) -> list[tuple[Any, ...]]:
        with translated():
            return self._cursor.execute(statement).fetchall()

    def close(self) -> None:
        # Never back to the pool: ending the session is what gives up the lease.
        self._pooled.invalidate()


# A session in which the server itself is at work (a slow disk) is not silent: ending it would help nobody.
_END_SILENT_HOLDER: Final = """
    SELECT pg_terminate_backend(pid) FROM pg_locks JOIN pg_stat_activity USING (pid)
    WHERE locktype = 'advisory' AND granted AND pg_locks.database = pg_stat_activity.datid
    AND datname = current_database() AND classid = %s::oid AND objid = %s::oid
    AND (state <> 'active' OR wait_event_type = 'Client')
"""


@cache
def _types(table: Table) -> list[str]:
    return [column.type.compile(_POSTGRESQL).partition(" ")[0].lower() for column in table.columns]


def _staging(table: Table) -> str:
    return f"new_{table.name}"


@cache
def _staged_upsert(table: Table) -> str:
    names = _names(table)
    return f"INSERT INTO {table.name} ({names}) SELECT {names} FROM {_staging(table)} {_on_conflict(table)}"


# --- both ------------------------------------------------------------------------------------------------------------


@cache
def _names(table: Table) -> str:
    return ", ".join(f'"{column.name}"' for column in table.columns)


@cache
def _on_conflict(table: Table) -> str:
    keys = ", ".join(f'"{column.name}"' for column in table.primary_key.columns)
    others = (column.name for column in table.columns if not column.primary_key)
    changes = ", ".join(f'"{name}" = excluded."{name}"' for name in others)
    return f"ON CONFLICT ({keys}) DO UPDATE SET {changes}"
