"""`sparks ledger verify`: a sound log passes, and whatever is changed in any table is found and named."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, Table, insert, select, text, update

from benchmarks import servers
from contracts.commands import BY_KIND
from services import database
from services.ledger import entries, tables
from services.ledger.verify import Report, verify
from tests.services.ledger import rich_log

TABLES = {
    table.name: table
    for table in (
        *(tables.ENTRIES, tables.PAYLOADS, tables.REQUESTS, tables.REJECTIONS, tables.POSTINGS),
        *(tables.STATE, tables.PACKS, tables.ROW_VERSIONS, tables.ROWS_READ, tables.TILES, tables.CHECKPOINTS),
    )
}
COLUMNS = [(table.name, column.name) for table in TABLES.values() for column in table.columns]
# What one engine finds the other finds; these are the columns whose types the engines keep differently.
SELECTED = [
    *(("entries", "entry"), ("payloads", "request"), ("requests", "id"), ("rejections", "reason")),
    *(("postings", "amount"), ("state", "value"), ("packs", "refusal"), ("tiles", "hashes"), ("checkpoints", "note")),
]
# Where two tables contradict each other, either may be named.
BESIDE = {"entries": ("entries", "payloads", "tiles")}
Row = dict[str, Any]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a log in which everything has happened once."""
    path = tmp_path_factory.mktemp("log") / "sparks.db"
    database.migrate(f"sqlite:///{path}")
    engine = database.engine(f"sqlite:///{path}")
    rich_log.write(engine)
    with engine.connect() as connection:
        connection.execute(text("COMMIT"))
        connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))
        connection.execute(text("BEGIN"))
    engine.dispose()
    return path


@pytest.fixture
def sqlite(written: Path, tmp_path: Path) -> Iterator[Engine]:
    """A copy of that log, to be spoilt."""
    shutil.copy(written, tmp_path / "sparks.db")
    engine = database.engine(f"sqlite:///{tmp_path / 'sparks.db'}")
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def postgres(postgres_server: servers.Postgres) -> Iterator[Engine]:
    """The same log on PostgreSQL; whoever changes something puts it back."""
    with postgres_server.fresh_database() as url:
        database.migrate(url)
        engine = database.engine(url)
        rich_log.write(engine)
        yield engine
        engine.dispose()


def verified(engine: Engine) -> Report:
    return verify(engine, rich_log.LOG_PUBLIC_KEY, lambda _done, _size: None)


def rows_of(connection: Connection, table: Table) -> list[Row]:
    ordered = select(table).order_by(*table.primary_key.columns)
    return [dict(row) for row in connection.execute(ordered).mappings()]


@contextmanager
def changed(engine: Engine) -> Iterator[Connection]:
    """A transaction on the tables behind the writer's back."""
    with engine.connect() as connection:
        yield connection
        connection.commit()


def place_of(table: Table, row: Row) -> Any:
    """The WHERE clause that finds just this row."""
    return [column == row[column.name] for column in table.primary_key.columns]


def middle(rows: list[Row], column: str) -> Row:
    """One row, in which the column says something if there is such a row."""
    saying = [row for row in rows if row[column] not in (None, "", b"")] or rows
    return saying[len(saying) // 2]


def flipped(value: Any) -> Any:
    """The value with one bit changed; far away where a neighbour might be somebody else's."""
    match value:
        case None:
            return 1
        case int():
            return value ^ 1 << 20
        case str():
            place = len(value) // 2
            return value[:place] + chr(ord(value[place]) ^ 1) + value[place + 1 :] if value else "!"
        case bytes():
            place = len(value) // 2
            return value[:place] + bytes([value[place] ^ 1]) + value[place + 1 :] if value else b"!"
    raise TypeError(value)


def entry_of(table: Table, row: Row, column: str = "") -> int:
    """The entry that must be named when this row is spoilt."""
    match table.name:
        case "state" | "packs" | "row_versions":
            return int(row["version"])
        case "tiles":
            place = len(row["hashes"]) // 2 // 32 if column == "hashes" else 0
            return int((row["n"] * 256 + place) << 8 * row["level"])
        case "checkpoints":
            return int(row["size"]) - 1
        case "rejections":
            return int(flipped(row["size"]) if column == "size" else row["size"])
    return int(row["index"])


def assert_named(report: Report, index: int, table: str) -> None:
    """The first finding names the entry, and the table or one that says something else than it."""
    assert not report.ok
    first = report.findings[0]
    assert first.index == index
    assert first.table in BESIDE.get(table, (table,))


def flip(engine: Engine, table: Table, column: str) -> Row:
    """Change one column of one row; return the row as it was."""
    with changed(engine) as connection:
        row = middle(rows_of(connection, table), column)
        value = {column: flipped(row[column])}
        assert connection.execute(update(table).where(*place_of(table, row)).values(value)).rowcount == 1
    return row


# A sound log


def test_the_log_has_an_entry_of_every_kind(sqlite: Engine) -> None:
    with sqlite.connect() as connection:
        kinds = {entries.from_bytes(row["entry"]).kind for row in rows_of(connection, tables.ENTRIES)}
        lengths = {name: len(rows_of(connection, table)) for name, table in TABLES.items()}

    assert kinds == set(BY_KIND)
    assert min(lengths.values()) >= 2


@pytest.mark.parametrize("engine_name", ["sqlite", "postgres"])
def test_a_sound_log_passes_and_progress_is_told(engine_name: str, request: pytest.FixtureRequest) -> None:
    progress: list[tuple[int, int]] = []

    report = verify(
        request.getfixturevalue(engine_name), rich_log.LOG_PUBLIC_KEY, lambda done, size: progress.append((done, size))
    )

    assert report.ok, report.findings
    assert progress[-1] == (report.size, report.size)
    assert report.size > 256


def test_an_empty_database_has_an_empty_log(sqlite_url: str) -> None:
    database.migrate(sqlite_url)

    report = verified(database.engine(sqlite_url))

    assert (report.ok, report.size) == (True, 0)


def test_a_log_signed_by_another_key_is_refused(sqlite: Engine) -> None:
    report = verify(sqlite, bytes(32), lambda _done, _size: None)

    assert {found.table for found in report.findings} == {"checkpoints"}


# A changed row


@pytest.mark.parametrize(("name", "column"), COLUMNS)
def test_a_flipped_bit_is_found_and_its_entry_named(sqlite: Engine, name: str, column: str) -> None:
    table = TABLES[name]

    row = flip(sqlite, table, column)

    assert_named(verified(sqlite), entry_of(table, row, column), name)


@pytest.mark.parametrize(("name", "column"), SELECTED)
def test_a_flipped_bit_is_found_on_postgresql_too(postgres: Engine, name: str, column: str) -> None:
    table = TABLES[name]
    row = flip(postgres, table, column)

    report = verified(postgres)

    key = {c.name: flipped(row[c.name]) if c.name == column else row[c.name] for c in table.primary_key.columns}
    with changed(postgres) as connection:
        connection.execute(update(table).where(*place_of(table, key)).values(row))
    assert_named(report, entry_of(table, row, column), name)


def test_text_that_is_no_longer_text_is_found(sqlite: Engine) -> None:
    with changed(sqlite) as connection:
        row = middle(rows_of(connection, tables.POSTINGS), "account")
        spoilt = text("UPDATE postings SET account = CAST(X'FF' AS TEXT) WHERE \"index\" = :index AND leg = :leg")
        connection.execute(spoilt, {"index": row["index"], "leg": row["leg"]})

    assert_named(verified(sqlite), row["index"], "postings")


def test_a_damaged_file_is_a_finding_and_no_crash(sqlite: Engine) -> None:
    with sqlite.connect() as connection:
        page = connection.scalar(text("SELECT rootpage FROM sqlite_master WHERE name = 'payloads'"))
        page_bytes = connection.scalar(text("PRAGMA page_size"))
    sqlite.dispose()
    with Path(str(sqlite.url.database)).open("r+b") as file:
        file.seek((page - 1) * page_bytes)
        file.write(b"\xff")

    (found,) = verified(sqlite).findings

    assert (found.index, found.table) == (0, "database")


# A row too few, too many, or in another's place

# Nothing commits to a remembered rejection, so one that is gone as a whole leaves no trace.
COMMITTED = sorted(TABLES.keys() - {"rejections"})


@pytest.mark.parametrize("name", COMMITTED)
@pytest.mark.parametrize("place", ["first", "last"])
def test_a_row_that_is_gone_is_found(sqlite: Engine, name: str, place: str) -> None:
    table = TABLES[name]
    with changed(sqlite) as connection:
        rows = rows_of(connection, table)
        # Older checkpoints may go: no entry says where batches ended. Nor does one since when rows read are kept.
        row = rows[0] if place == "first" and name not in ("checkpoints", "rows_read") else rows[-1]
        connection.execute(table.delete().where(*place_of(table, row)))

    assert_named(verified(sqlite), entry_of(table, row), name)


def moved(table: Table, row: Row) -> Row:
    """A copy of the row under another key."""
    return row | {column.name: flipped(row[column.name]) for column in table.primary_key.columns}


@pytest.mark.parametrize("name", sorted(TABLES))
def test_a_row_too_many_is_found(sqlite: Engine, name: str) -> None:
    table = TABLES[name]
    with changed(sqlite) as connection:
        rows = rows_of(connection, table)
        connection.execute(insert(table).values(moved(table, rows[len(rows) // 2])))

    report = verified(sqlite)

    assert {found.table for found in report.findings} == {name}


@pytest.mark.parametrize("name", sorted(TABLES))
def test_two_rows_in_each_others_place_are_found(sqlite: Engine, name: str) -> None:
    table = TABLES[name]
    keys = {column.name for column in table.primary_key.columns}
    with changed(sqlite) as connection:
        rows = rows_of(connection, table)
        first, second = rows[0], rows[-1]
        for row, other in ((first, second), (second, first)):
            values = {column: value for column, value in other.items() if column not in keys}
            connection.execute(update(table).where(*place_of(table, row)).values(values))

    report = verified(sqlite)

    assert not report.ok
    assert report.findings[0].table in (name, "payloads")


# What only re-execution can know


def test_entries_after_one_that_cannot_be_executed_are_still_compared_with_the_tree(sqlite: Engine) -> None:
    with changed(sqlite) as connection:
        connection.execute(update(tables.PAYLOADS).where(tables.PAYLOADS.c.index == 5).values(request=b"\x80"))
        row = rows_of(connection, tables.ENTRIES)[200]
        connection.execute(
            update(tables.ENTRIES).where(tables.ENTRIES.c.index == 200).values(entry=flipped(row["entry"]))
        )

    report = verified(sqlite)

    assert report.findings[0].index == 5
    assert (200, "tiles") in {(found.index, found.table) for found in report.findings}


def test_findings_are_capped_and_counted(sqlite: Engine) -> None:
    with changed(sqlite) as connection:
        connection.execute(text("UPDATE requests SET digest = randomblob(32)"))

    report = verified(sqlite)

    assert len(report.findings) == 100
    assert report.count == report.size
