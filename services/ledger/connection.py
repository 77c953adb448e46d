"""The writer's own database connection: the one place where the engines differ in how many rows go in at once.

It holds the lease. On PostgreSQL the lease is an advisory lock of this very session, so a writer that lost its lease
has lost the connection that it would commit on; on SQLite it is a lock on a file beside the database.
"""

import fcntl
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import IO, Any, Final, Protocol, TypeAlias, cast

import psycopg
from sqlalchemy import Dialect, Engine, Table
from sqlalchemy.dialects import postgresql

from services.database import BUSY_S_MAX, is_sqlite, translated

Rows: TypeAlias = Sequence[tuple[Any, ...]]

_POSTGRESQL: Final[Dialect] = postgresql.dialect()  # type: ignore[no-untyped-call]
_LEASE: Final = 0x5350_4152_4B53_0001
# A writer killed a moment ago may still be finishing its last statement on the server.
_LEASE_S_MAX: Final = 3


class AnotherWriter(Exception):
    """Another process writes to this ledger."""


class WriterConnection(Protocol):
    """Statements in autocommit, or in one `transaction`. Everything raises DatabaseUnavailable if that is the cause."""

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit at the end, or nothing of it."""
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
    """Connect and take the lease; only the tables `upserted` may be. Raises AnotherWriter, DatabaseUnavailable."""
    return SqliteConnection(engine) if is_sqlite(engine) else PostgresConnection(engine, upserted)


# --- SQLite ----------------------------------------------------------------------------------------------------------


class SqliteConnection:
    """In the same process, so that a statement for each row costs little."""

    def __init__(self, engine: Engine) -> None:
        database = engine.url.database
        if not database:
            raise ValueError("the ledger needs a database that is a file")
        self._lease = _lock_file(Path(f"{database}.writer"))
        try:
            with translated():
                self._pooled = engine.raw_connection()
        except BaseException:
            self._lease.close()
            raise
        self._connection = cast(sqlite3.Connection, self._pooled.driver_connection)

    @contextmanager
    def transaction(self) -> Iterator[None]:
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
        self._lease.close()


@cache
def _sqlite_insert(table: Table) -> str:
    places = ", ".join("?" for _ in table.columns)
    return f"INSERT INTO {table.name} ({_names(table)}) VALUES ({places})"


def _lock_file(path: Path) -> IO[str]:
    """Open and lock a file; the kernel frees it whatever ends the process."""
    file = path.open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        raise AnotherWriter(f"another process writes to this ledger ({path.name} is locked)") from error
    file.write(f"{os.getpid()}\n")
    file.flush()
    return file


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
                self._take_lease()
                for table in upserted:
                    made = f"CREATE TEMPORARY TABLE {_staging(table)} (LIKE {table.name}) ON COMMIT DELETE ROWS"
                    self._connection.execute(made)
            except BaseException:
                self.close()
                raise
        self._cursor = self._connection.cursor(binary=True)

    def _take_lease(self) -> None:
        self._connection.execute(f"SET lock_timeout = '{_LEASE_S_MAX}s'")
        try:
            self._connection.execute("SELECT pg_advisory_lock(%s)", [_LEASE])
        except psycopg.errors.LockNotAvailable as error:
            raise AnotherWriter("another process writes to this ledger (its advisory lock is taken)") from error
        self._connection.execute(f"SET lock_timeout = '{BUSY_S_MAX}s'")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        with translated():
            self._cursor.execute("BEGIN")
            try:
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
