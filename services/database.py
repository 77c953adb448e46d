"""The database on either engine: how it is opened, how a transaction begins and ends, how its schema is made.

Owns the difference between SQLite and PostgreSQL, and what their failures are called here. Knows no table.
"""

import sqlite3
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from time import monotonic
from typing import Any, Final, TypeVar

import psycopg
import sqlalchemy
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import ARRAY, ColumnElement, Connection, Engine, any_, event, exc, literal
from sqlalchemy.engine import URL, make_url
from sqlmodel import Session

T = TypeVar("T")

SQLITE: Final = "sqlite"
BUSY_S_MAX: Final = 10
"""How long a writer of SQLite waits for another one."""
BUSY_PAUSE_S: Final = 0.02
CONNECT_S_MAX: Final = 5
SILENT_S_MAX: Final = 15
POOL_SIZE: Final = 5
POOL_OVERFLOW: Final = 3

SEGMENTS_FOLDER: Final = "sparks_segments"
"""Option of an engine and its connections: the folder of what was moved out of the tables (`ledger.segments`)."""
_WRITES: Final = "sparks_writes"
_MIGRATION_LOCK: Final = 0x5350_4152_4B53_0000  # any number, the same in every program that migrates
# SQLSTATE class 54 is a statement beyond a limit of the server: it fails again whenever it is tried.
_BEYOND_A_LIMIT: Final = "54"


class DatabaseUnavailable(Exception):
    """The database cannot be reached, is full, or cannot be written now. What was under way may have happened."""


class OtherSchema(Exception):
    """The database was made by another version of this program; one line says so."""


@contextmanager
def translated() -> Iterator[None]:
    """Raise the drivers' "cannot now" as DatabaseUnavailable; what only a bug can cause passes as it is."""
    try:
        yield
    except (exc.OperationalError, exc.InterfaceError, exc.InternalError) as error:
        if not _is_passing(error.orig):
            raise
        raise DatabaseUnavailable(str(error.orig)) from error
    except exc.TimeoutError as error:
        raise DatabaseUnavailable("no connection became free") from error
    except (psycopg.Error, sqlite3.Error) as error:
        if not _is_passing(error):
            raise
        raise DatabaseUnavailable(str(error)) from error


def _is_passing(error: BaseException | None) -> bool:
    if isinstance(error, psycopg.errors.ReadOnlySqlTransaction):
        return True  # the server we reach has become a standby
    if isinstance(error, psycopg.OperationalError):
        return not (error.sqlstate or "").startswith(_BEYOND_A_LIMIT)
    return isinstance(error, psycopg.InterfaceError | sqlite3.OperationalError)


def engine(url: str, *, segments: Path | None = None) -> Engine:
    """Return the engine of a `sqlite:///` or `postgresql://` URL; nothing is connected yet.

    segments  the folder of the ledger's segment files, which belong to the database
    """
    parsed = make_url(url)
    made = _sqlite(parsed) if parsed.get_backend_name() == SQLITE else _postgres(parsed)
    made.update_execution_options(**{SEGMENTS_FOLDER: segments})
    return made


@contextmanager
def transaction(engine: Engine) -> Iterator[Session]:
    """Give a session that is committed at the end, or rolled back if anything is raised.

    On SQLite the write lock is taken at once, so that two who read and then write never find out at the end.
    """
    with translated(), Session(engine.execution_options(**{_WRITES: True})) as session, session.begin():
        yield session


@contextmanager
def reading(engine: Engine) -> Iterator[Session]:
    """Give a session that only reads and waits for nobody: SQLite shows it one moment, PostgreSQL one a statement."""
    # As READ COMMITTED would, without a round trip to begin and one to end.
    reader = engine if is_sqlite(engine) else engine.execution_options(isolation_level="AUTOCOMMIT")
    with translated(), Session(reader) as session:
        yield session


def among(connection: Connection, column: ColumnElement[T], values: Collection[T]) -> ColumnElement[bool]:
    """Say that `column` is one of `values`, of which there may be many.

    PostgreSQL takes them as one array: a parameter for each would cost more than the query.
    """
    if connection.dialect.name == SQLITE:
        return column.in_(values)
    return column == any_(literal(list(values), ARRAY(column.type)))


def release_erased(engine: Engine) -> bool:
    """Let go of the bytes of deleted rows; False if a reader still holds on to them.

    SQLite overwrites them in its file (secure_delete) and empties its journal here. PostgreSQL keeps their bytes until
    `VACUUM FULL` writes the table anew, and its journal until that is dropped: docs/operations.md.
    """
    if not is_sqlite(engine):
        return True
    with translated(), engine.connect() as connection:
        driver: Any = connection.connection.driver_connection
        busy, _log, _checkpointed = driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    return not busy


def is_sqlite(engine: Engine) -> bool:
    """Tell the two engines apart."""
    return engine.dialect.name == SQLITE


def _sqlite(url: URL) -> Engine:
    made = sqlalchemy.create_engine(url, connect_args={"timeout": BUSY_S_MAX, "check_same_thread": False})
    event.listen(made, "connect", _prepare_sqlite)
    event.listen(made, "begin", _begin_sqlite)
    return made


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    # The driver would begin transactions by itself, and too late; `_begin_sqlite` does it instead.
    connection.isolation_level = None
    _use_wal(connection)
    for pragma in ("synchronous = FULL", "foreign_keys = ON", "secure_delete = ON"):
        connection.execute(f"PRAGMA {pragma}")


def _use_wal(connection: sqlite3.Connection) -> None:
    """Of two that change a new file's journal at once SQLite refuses one without waiting, so we wait."""
    until_s = monotonic() + BUSY_S_MAX
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError:
            if monotonic() > until_s:
                raise
            Event().wait(BUSY_PAUSE_S)


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _postgres(url: URL) -> Engine:
    return sqlalchemy.create_engine(
        url.set(drivername="postgresql+psycopg"),
        pool_size=POOL_SIZE,
        max_overflow=POOL_OVERFLOW,
        pool_timeout=CONNECT_S_MAX,
        pool_pre_ping=True,
        connect_args={
            "connect_timeout": CONNECT_S_MAX,
            # A network that swallows packets is noticed after this long, not after the kernel's quarter of an hour.
            "tcp_user_timeout": SILENT_S_MAX * 1_000,
            "keepalives_idle": SILENT_S_MAX,
        },
    )


# --- schema ----------------------------------------------------------------------------------------------------------


def migrate(url: str) -> None:
    """Bring the schema to this program's version; programs that start together wait for each other.

    Raises OtherSchema if the database is of a version that this program does not know, or DatabaseUnavailable.
    """
    with _migrating(url) as (connection, config):
        known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
        unknown = set(MigrationContext.configure(connection).get_current_heads()) - known
        if unknown:
            raise OtherSchema(f"the database is of version {', '.join(sorted(unknown))}, which this program is not")
        command.upgrade(config, "heads")


def require_current(url: str) -> None:
    """Raise OtherSchema unless the schema is of just this program's version; changes nothing."""
    with _migrating(url) as (connection, config):
        found = set(MigrationContext.configure(connection).get_current_heads())
        if found != set(ScriptDirectory.from_config(config).get_heads()):
            if not found:
                raise OtherSchema("the database is empty: nothing was begun there yet")
            raise OtherSchema(f"the database is of version {', '.join(sorted(found))}, which this program is not")


def has_tables(url: str) -> bool:
    """Tell whether anything was ever made in the database."""
    with _migrating(url) as (connection, _):
        return bool(sqlalchemy.inspect(connection).get_table_names())


def newest_version() -> str:
    """The version of the schema that `migrate` makes."""
    config = Config()
    config.set_main_option("script_location", "migrations:")
    return ", ".join(sorted(ScriptDirectory.from_config(config).get_heads()))


def unmigrate(url: str) -> None:
    """Take every table of ours away again, with all that is in them."""
    with _migrating(url) as (_, config):
        command.downgrade(config, "base")


@contextmanager
def _migrating(url: str) -> Iterator[tuple[Connection, Config]]:
    made = engine(url)
    try:
        with translated(), made.execution_options(**{_WRITES: True}).begin() as connection:
            if not is_sqlite(made):
                lock = sqlalchemy.func.pg_advisory_xact_lock(_MIGRATION_LOCK)
                connection.execute(sqlalchemy.select(lock))
            config = Config(attributes={"connection": connection})
            config.set_main_option("script_location", "migrations:")
            yield connection, config
    finally:
        made.dispose()
