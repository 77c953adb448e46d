"""Table `payloads` in parts, on PostgreSQL: made ahead, dropped when old, and never a reason for the log to wait."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from contracts.wire import signatures
from services import database
from services.database import DatabaseUnavailable, reading
from services.ledger import archiving, partitions, payloads, stored
from services.ledger.archiving import Moved
from services.ledger.partitions import AHEAD, PARTITION_ENTRIES
from services.ledger.verify import verify
from tests.services.ledger.builders import IDENTITY, NOON_S, Books, fund, running

PART = 64


@pytest.fixture
def books(postgres_url: str, tmp_path: Path) -> Iterator[Books]:
    """A ledger whose parts have 64 entries."""
    database.migrate(postgres_url)
    engine = database.engine(postgres_url)
    with engine.begin() as connection:
        partitions.drop(connection, range(PARTITION_ENTRIES))
    assert partitions.make_ahead(engine, 0, entries_each=PART) == AHEAD + 1
    engine.dispose()
    with running(postgres_url, segments=tmp_path / "segments") as books:
        yield books


def fill(books: Books, count: int) -> None:
    size = books.ledger.head().size
    books.accept(*(fund(size + more) for more in range(count)))


def archive(books: Books) -> Moved:
    return archiving.archive(
        books.engine, before_s=NOON_S + 1, now_s=NOON_S, entries_each=32, on_progress=lambda _done, _total: None
    )


def parts(books: Books) -> list[range]:
    with reading(books.engine) as session:
        return partitions.parts(session.connection())


def rows_in(books: Books, part: str) -> int:
    with books.engine.connect() as connection:
        return int(connection.scalar(text(f"SELECT count(*) FROM payload_parts.{part}")) or 0)


def segments_in(books: Books) -> Iterator[Path]:
    with reading(books.engine) as session:
        yield from payloads.folder_of(session.connection()).glob("*.segment")


def is_sound(books: Books) -> bool:
    return verify(books.engine, signatures.public_key_of(IDENTITY.seed), lambda _done, _size: None).ok


def test_a_new_database_has_a_part_for_the_first_million(postgres_url):
    database.migrate(postgres_url)
    engine = database.engine(postgres_url)

    assert partitions.make_ahead(engine, 0) == AHEAD
    assert partitions.make_ahead(engine, 0) == 0
    with reading(engine) as session:
        made = partitions.parts(session.connection())
    assert [part.start // PARTITION_ENTRIES for part in made] == list(range(AHEAD + 1))
    engine.dispose()


def test_parts_are_made_as_the_log_grows(books: Books):
    fill(books, 2 * PART)

    assert partitions.make_ahead(books.engine, books.queries.size(), entries_each=PART) == 2
    assert [part.stop for part in parts(books)] == [PART * (number + 1) for number in range(AHEAD + 3)]
    assert rows_in(books, "rest") == 0


def test_a_log_without_a_part_goes_on_and_is_archived_all_the_same(books: Books):
    fill(books, PART * (AHEAD + 2))
    assert rows_in(books, "rest") > PART

    assert partitions.make_ahead(books.engine, books.queries.size(), entries_each=PART) > 0
    moved = archive(books)

    assert moved.entries > PART * (AHEAD + 1)
    assert rows_in(books, "rest") < 32
    assert is_sound(books)


def test_what_is_old_as_a_whole_leaves_by_dropping_its_part(books: Books):
    fill(books, PART + 32)
    with reading(books.engine) as session:
        before = payloads.between(session, 0, books.queries.size())

    moved = archive(books)

    assert moved.entries == PART + 32
    assert [part.start for part in parts(books)] == [PART * number for number in range(1, AHEAD + 1)]
    with reading(books.engine) as session:
        assert payloads.between(session, 0, books.queries.size()) == before
    assert is_sound(books)


def test_a_part_that_left_by_and_by_is_dropped_when_it_is_empty(books: Books):
    fill(books, 32)
    assert archive(books).entries == 32
    fill(books, PART)

    archive(books)

    assert parts(books)[0].start == PART
    assert is_sound(books)


def test_a_part_that_is_read_for_long_stays_and_the_log_does_not_wait(books: Books, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(partitions, "LOCK_MS_MAX", 50)
    fill(books, PART)
    with books.engine.connect() as reader:
        reader.execute(text("SELECT * FROM payloads LIMIT 1")).all()

        with pytest.raises(DatabaseUnavailable):
            archive(books)
        fill(books, 3)
        assert parts(books)[0].start == 0
        assert not list(segments_in(books))

    assert archive(books).entries == PART
    assert parts(books)[0].start == PART
    assert is_sound(books)


def test_who_looks_at_one_moment_keeps_the_parts_of_it(books: Books, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(partitions, "LOCK_MS_MAX", 50)
    fill(books, PART)
    with stored.opened(books.engine) as moment:
        size = moment.size()  # nothing of the payloads was read yet

        with pytest.raises(DatabaseUnavailable):
            archive(books)

        assert len(moment.page(0, size).payloads) == size
