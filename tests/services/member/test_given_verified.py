"""`sparks ledger verify` on a copy of some collections: a sound one passes, whatever is changed in it is named."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, Table, delete, insert, select, text, update

from services import database
from services.ledger import tables
from services.ledger.verify import Report, verify
from tests.services.ledger.builders import Home, code, fund, purchase, running, shop, verified
from tests.services.ledger.http_ledger import LOG_KEY
from tests.services.member.stage import network, operator

ANN = "customer-1"


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a copy that was given what happens at tills."""
    folder = tmp_path_factory.mktemp("given")
    path = folder / "sparks.db"
    with running(f"sqlite:///{folder / 'operator.db'}") as books:
        home = Home()
        books.accept(fund(), *home.joining(), verified(ANN), shop())
        for name in ("a", "b"):
            books.accept(home.record(intervals=6, pv_wh=400), home.record(intervals=6, pv_wh=400))
            books.accept(code(name, ANN), purchase(name))
        with (
            operator(books) as url,
            network(f"sqlite:///{path}", url) as own,
        ):
            own.round()
            assert own.node.status().size == books.queries.size()
    engine = database.engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        connection.execute(text("COMMIT"))
        connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))
        connection.execute(text("BEGIN"))
    engine.dispose()
    return path


@pytest.fixture
def engine(copied: Path, tmp_path: Path) -> Iterator[Engine]:
    """A copy of that file, to be spoilt."""
    shutil.copy(copied, tmp_path / "sparks.db")
    engine = database.engine(f"sqlite:///{tmp_path / 'sparks.db'}")
    yield engine
    engine.dispose()


def checked(engine: Engine) -> Report:
    return verify(engine, LOG_KEY.public_key, lambda _done, _size: None)


CHANGES: list[tuple[str, Table, str, Any]] = [
    ("a request", tables.PAYLOADS, "request", b"\x83"),
    ("effects", tables.PAYLOADS, "effects", b"\x83\x80\x80\x40"),
    ("a result", tables.PAYLOADS, "result", b"\xa0"),
    ("rows that were read", tables.ROWS_READ, "rows", b"\x80"),
    ("an amount", tables.POSTINGS, "amount", 1),
    ("a row of the state", tables.STATE, "value", b"\x81\x01"),
    ("a row's version", tables.STATE, "version", 1),
    ("an entry", tables.ENTRIES, "entry", b"\x80"),
    ("a tile", tables.TILES, "hashes", bytes(32)),
    ("a checkpoint", tables.CHECKPOINTS, "note", b"none"),
    ("how many were executed", tables.GIVEN, "executed", 1),
    ("the collections", tables.GIVEN, "collections", "governance"),
]


@pytest.mark.parametrize(("table", "column", "value"), [change[1:] for change in CHANGES], ids=[c[0] for c in CHANGES])
def test_what_is_changed_is_found(engine: Engine, table: Table, column: str, value: object):
    assert checked(engine).ok
    key = list(table.primary_key.columns)
    with engine.begin() as connection:
        last = connection.execute(select(*key).order_by(*(part.desc() for part in key)).limit(1)).one()
        mine = [part == place for part, place in zip(key, last, strict=True)]
        connection.execute(update(table).where(*mine).values({column: value}))

    assert not checked(engine).ok


@pytest.mark.parametrize(
    "table",
    [tables.PAYLOADS, tables.ROWS_READ, tables.POSTINGS, tables.STATE, tables.TILES],
    ids=lambda table: table.name,
)
def test_what_is_taken_away_is_found(engine: Engine, table: Table):
    key = list(table.primary_key.columns)
    with engine.begin() as connection:
        last = connection.execute(select(*key).order_by(*(part.desc() for part in key)).limit(1)).one()
        connection.execute(delete(table).where(*(part == place for part, place in zip(key, last, strict=True))))

    assert not checked(engine).ok


def test_rows_that_such_a_copy_does_not_keep_are_found(engine: Engine):
    with engine.begin() as connection:
        connection.execute(insert(tables.SUBJECTS).values(index=1, subject="customer/x"))
        connection.execute(insert(tables.ROWS_READ).values(index=1, rows=b"\x80"))

    found = {finding.table for finding in checked(engine).findings}
    assert found == {"rows_read", "subjects"}


def test_a_copy_that_is_catching_up_says_how_much_is_not_signed_yet(engine: Engine):
    with engine.begin() as connection:
        connection.execute(delete(tables.CHECKPOINTS))

    report = checked(engine)
    assert report.ok
    assert report.unsigned == report.size
