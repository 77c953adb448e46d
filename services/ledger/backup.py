"""Backup while the ledger is written, and restore into an empty database that must then prove to be the same log.

A backup is one moment of every table of the platform but the lease, which is nobody's in a copy. A restore ends with a
re-execution from entry 0, and takes everything away again if it is not the log that the manifest and the given
checkpoints speak of.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

from sqlalchemy import Connection, Engine, MetaData, Table, exc, func, insert, inspect, select, text

from contracts.units import UnixSeconds
from services import database
from services.database import OtherSchema, is_sqlite
from services.ledger import checkpoints, continuing, entries, partitions, payloads, stored, tables
from services.ledger import segments as segment_files
from services.ledger import verify as verification
from services.ledger.archive import BadBackup, Manifest, Reading, Rows, Writing, new_file
from services.ledger.checkpoints import Checkpoint
from services.ledger.continuing import AnotherLog, Published
from services.ledger.merkle import leaf_hash
from services.ledger.notes import KeyType, VerifierKey
from services.ledger.tree_audit import GrowingTree

PAGE_ROWS: Final = 1_000
_SCHEMA_TABLE: Final = "alembic_version"
_NOT_COPIED: Final = frozenset({_SCHEMA_TABLE, tables.LEASE.name})

OnProgress: TypeAlias = Callable[[str, int, int], None]
"""(what is done, how much of it, of how much)"""


class NotEmpty(Exception):
    """A restore goes into an empty database only."""


def backup(
    engine: Engine, path: Path, *, at_s: UnixSeconds, expires_at_s: UnixSeconds, on_progress: OnProgress
) -> Manifest:
    """Write one moment of the database to the new file `path`; the ledger may go on meanwhile.

    expires_at_s  by when the file is to be gone; the file states it

    Raises BadBackup if there is no log yet, OSError, DatabaseUnavailable.
    """
    with new_file(path) as file, Writing(file) as archive, stored.moment(engine) as connection:
        note, newest = _newest_checkpoint(connection)
        copied = _tables(connection)
        total = sum(connection.scalar(select(func.count()).select_from(table)) or 0 for table in copied)
        done = 0
        for table in copied:
            columns = [column.name for column in table.columns]
            archive.add(table.name, columns, _counted(_pages(connection, table), done, total, on_progress))
            done += archive.parts[table.name].rows
        _add_segments(connection, archive, on_progress)
        manifest = _manifest(connection, archive, (note, newest), at_s, expires_at_s)
        archive.finish(manifest)
    return manifest


def restore(
    url: str,
    path: Path,
    *,
    segments: Path | None = None,
    log_public_key: bytes,
    published: Sequence[Published],
    on_progress: OnProgress,
    also: Callable[[Connection], None] | None = None,
) -> Manifest:
    """Fill the empty database at `url` from the backup `path`, and prove that it is the same log.

    segments   the folder for its segment files, if it has any
    published  checkpoints of that log; each must be of a tree in the backup, unless the log is only followed here
    also       of a copy that follows the log: called in the transaction that fills the database

    Raises BadBackup, OtherSchema, NotEmpty, AnotherLog, DatabaseUnavailable; the database is then empty.
    """
    with Reading(path) as archive:
        manifest = archive.manifest
        if manifest.schema != database.newest_version():
            raise OtherSchema(f"{path} is of version {manifest.schema}, which this program is not")
        _require_empty(url)
        log_key = VerifierKey(manifest.origin, KeyType.ED25519, log_public_key)
        own = continuing.signed(manifest.checkpoint.encode(), log_key)
        if (own.size, own.root.hex()) != (manifest.size, manifest.root):
            raise BadBackup("the manifest's checkpoint is of another tree than the manifest")
        known = [(continuing.signed(one.note, log_key), one) for one in published]
        for checkpoint, one in known:
            if checkpoint.size > own.size:
                continuing.require(own, checkpoint, one, is_followed=also is not None)
        database.migrate(url)
        engine = database.engine(url, segments=segments)
        put_back: list[Path] = []
        try:
            _load(engine, archive, on_progress, also or (lambda _connection: None))
            _put_back_segments(engine, archive, put_back)
            _require_trees(engine, [own, *(checkpoint for checkpoint, _ in known if checkpoint.size <= own.size)])
            _require_verified(engine, manifest, log_public_key, on_progress)
        except NotEmpty:
            engine.dispose()
            raise  # what is there now is somebody else's
        except BaseException:
            engine.dispose()
            database.unmigrate(url)
            for file in put_back:
                file.unlink(missing_ok=True)
            raise
        engine.dispose()
    return manifest


# What is there


def _tables(connection: Connection) -> list[Table]:
    """Every table that is copied, as it is in this database; those that others refer to come first."""
    found = MetaData()
    found.reflect(connection)
    return [table for table in found.sorted_tables if table.name not in _NOT_COPIED]


def _pages(connection: Connection, table: Table) -> Iterator[Rows]:
    in_order = select(table).order_by(*table.primary_key.columns)
    found = connection.execute(in_order, execution_options={"yield_per": PAGE_ROWS})
    for page in found.partitions():
        yield [tuple(row) for row in page]


def _counted(pages: Iterator[Rows], done: int, total: int, on_progress: OnProgress) -> Iterator[Rows]:
    for rows in pages:
        yield rows
        done += len(rows)
        on_progress("rows", done, total)


def _segments(connection: Connection) -> list[bytes]:
    return [bytes(sha256) for sha256 in connection.scalars(select(tables.SEGMENTS.c.sha256))]


def _add_segments(connection: Connection, archive: Writing, on_progress: OnProgress) -> None:
    """What lies beside the tables. It is named by its SHA-256, so that the manifest need say nothing of it."""
    found = _segments(connection)
    for done, sha256 in enumerate(found, 1):
        path = segment_files.path_of(payloads.folder_of(connection), sha256)
        segment_files.check(path.parent, sha256)
        archive.add_file(path)
        on_progress("segments", done, len(found))


def _put_back_segments(engine: Engine, archive: Reading, put_back: list[Path]) -> None:
    """Write the segment files that are not there yet; `put_back` says which, also if one fails."""
    with database.reading(engine) as session:
        connection = session.connection()
        found = _segments(connection)
        if not found:
            return
        folder = payloads.folder_of(connection)
    for sha256 in found:
        path = segment_files.path_of(folder, sha256)
        if path.exists():
            continue
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with new_file(path) as file:
            put_back.append(path)
            archive.copy_file(path.name, file)


def _newest_checkpoint(connection: Connection) -> tuple[bytes, Checkpoint]:
    """The newest checkpoint, which is of all entries."""
    newest = select(tables.CHECKPOINTS.c.note).order_by(tables.CHECKPOINTS.c.size.desc()).limit(1)
    note = connection.scalar(newest)
    found = checkpoints.parse(note.decode().partition("\n\n")[0] + "\n") if note else None
    if note is None or found is None:
        raise BadBackup("there is no log to back up yet")
    last = connection.scalar(select(func.max(tables.ENTRIES.c.index)))
    if last != found.size - 1:
        raise BadBackup(f"this copy is at entry {last} on its way to a checkpoint: back it up once it is abreast")
    return note, found


def _manifest(
    connection: Connection, archive: Writing, signed: tuple[bytes, Checkpoint], at_s: UnixSeconds, expires: UnixSeconds
) -> Manifest:
    note, newest = signed
    entry = connection.scalar(select(tables.ENTRIES.c.entry).where(tables.ENTRIES.c.index == newest.size - 1))
    return Manifest(
        origin=newest.origin,
        size=newest.size,
        root=newest.root.hex(),
        checkpoint=note.decode(),
        contract_version=entries.from_bytes(entry or b"").contract_version.hex(),
        schema=str(connection.scalar(text(f"SELECT version_num FROM {_SCHEMA_TABLE}"))),
        made_at_s=at_s,
        parts=archive.parts,
        expires_at_s=expires,
    )


# What must hold before, and after


def _require_empty(url: str) -> None:
    engine = database.engine(url)
    try:
        with database.reading(engine) as session:
            _require_no_rows(session.connection())
    finally:
        engine.dispose()


def _require_no_rows(connection: Connection) -> None:
    for name in inspect(connection).get_table_names():
        if name == _SCHEMA_TABLE:
            continue
        if connection.execute(text(f'SELECT 1 FROM "{name}" LIMIT 1')).first() is not None:
            raise NotEmpty(f"the database has rows in {name}: a restore goes into an empty one")


def _require_trees(engine: Engine, known: Sequence[Checkpoint]) -> None:
    """Raise AnotherLog unless the restored entries have the root of each checkpoint at its size."""
    roots = {checkpoint.size: checkpoint.root for checkpoint in known}
    tree = GrowingTree()
    with stored.moment(engine) as connection:
        in_order = select(tables.ENTRIES.c.entry).order_by(tables.ENTRIES.c.index)
        for (entry,) in connection.execute(in_order, execution_options={"yield_per": PAGE_ROWS}):
            tree.append(leaf_hash(entry))
            if tree.size in roots and roots.pop(tree.size) != tree.root():
                raise AnotherLog(f"a checkpoint of size {tree.size} has another root than these entries: a fork")
    if roots:
        raise BadBackup(f"there are {tree.size} entries, and a checkpoint of size {min(roots)}")


def _require_verified(engine: Engine, manifest: Manifest, log_public_key: bytes, on_progress: OnProgress) -> None:
    def re_executed(done: int, total: int) -> None:
        on_progress("re-executing", done, total)

    report = verification.verify(engine, log_public_key, re_executed)
    if not report.ok:
        first = report.findings[0]
        raise BadBackup(f"the backup does not verify: entry {first.index}: {first.table}: {first.what}")
    if (report.size, report.root.hex()) != (manifest.size, manifest.root):
        raise BadBackup("the entries are of another tree than the manifest")


# Loading


def _load(engine: Engine, archive: Reading, on_progress: OnProgress, also: Callable[[Connection], None]) -> None:
    """Put every row in its place, in one transaction."""
    total = sum(part.rows for part in archive.manifest.parts.values())
    done = 0
    with database.transaction(engine) as session:
        connection = session.connection()
        places = _tables(connection)
        if not is_sqlite(engine):  # else the transaction has the database for itself
            connection.execute(text(f"LOCK TABLE {', '.join(table.name for table in places)} IN EXCLUSIVE MODE"))
        _require_no_rows(connection)  # whoever came in between keeps what is theirs
        if {table.name for table in places} != set(archive.manifest.parts):
            raise BadBackup("the backup has other tables than this program")
        partitions.make_for(connection, archive.manifest.size)
        for table in places:
            columns = archive.manifest.parts[table.name].columns
            if set(columns) != set(table.columns.keys()):
                raise BadBackup(f"the backup has other columns of {table.name} than this program")
            for rows in archive.pages(table.name):
                _insert(connection, table, columns, rows)
                done += len(rows)
                on_progress("rows", done, total)
            _go_on_counting(connection, table)
        also(connection)


def _insert(connection: Connection, table: Table, columns: Sequence[str], rows: Rows) -> None:
    try:
        connection.execute(insert(table), [dict(zip(columns, row, strict=True)) for row in rows])
    except (ValueError, TypeError, OverflowError, exc.DataError, exc.IntegrityError, exc.ProgrammingError) as error:
        raise BadBackup(f"the rows of {table.name} do not fit: {error}") from error


def _go_on_counting(connection: Connection, table: Table) -> None:
    """On PostgreSQL, numbers that the server gives go on after those that were loaded."""
    if is_sqlite(connection.engine):
        return
    for column in table.primary_key.columns:
        named: dict[str, Any] = {"table": f'"{table.name}"', "column": column.name}
        sequence = connection.scalar(text("SELECT pg_get_serial_sequence(:table, :column)"), named)
        newest = connection.scalar(select(func.max(column))) if sequence is not None else None
        if newest is not None:
            connection.execute(text("SELECT setval(:sequence, :newest)"), {"sequence": sequence, "newest": newest})
