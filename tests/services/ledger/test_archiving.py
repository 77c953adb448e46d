"""Old payloads move to segment files: read, proved, delivered and erased as before, whatever breaks on the way."""

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, text

from contracts import accounts
from contracts.commands import Request
from contracts.wire import signatures
from services.database import reading, transaction
from services.ledger import archiving, backup, delivering, erasing, payloads, segments
from services.ledger.archive import BadBackup, Manifest
from services.ledger.archiving import AlreadyArchiving, Moved
from services.ledger.client import Failed
from services.ledger.segments import NO_KEY, BadSegment, Payload
from services.ledger.tables import PAYLOADS, SEGMENT_KEYS, SEGMENTS
from services.ledger.verify import Report, verify
from tests import invariants
from tests.services.ledger.builders import IDENTITY, NOON_S, Books, Home, fund, running
from tests.services.ledger.crashing_archiver import ENTRIES_EACH
from tests.services.ledger.test_erasure import ANN, a_neighbourhood, erase

ROOT = Path(__file__).parents[3]
LATER_S = NOON_S + 1


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "segments"


@pytest.fixture
def books(database_url: str, folder: Path) -> Iterator[Books]:
    """A ledger with a hundred entries and a folder for segments."""
    with running(database_url, segments=folder) as books:
        yield books
        books.writer.stop()
        invariants.assert_books_hold(books.engine)


@pytest.fixture
def spoilt(sqlite_url: str, folder: Path) -> Iterator[Books]:
    """The same, for a test that breaks what the invariants look at: what one engine finds the other finds."""
    with running(sqlite_url, segments=folder) as books:
        yield books


def lived(books: Books) -> list[Request]:
    """A neighbourhood with a past; the packs that were recorded last."""
    ann, _ = a_neighbourhood(books)
    recorded = [ann.record() for _ in range(80)]
    books.accept(*recorded)
    return recorded


def archive(books: Books, **choices: Any) -> Moved:
    chosen = {"before_s": LATER_S, "now_s": LATER_S, "entries_each": ENTRIES_EACH} | choices
    return archiving.archive(books.engine, on_progress=lambda _done, _total: None, **chosen)


def stored(books: Books) -> dict[int, Payload]:
    with reading(books.engine) as session:
        return payloads.between(session, 0, books.ledger.head().size)


def rows_in_table(books: Books) -> int:
    with reading(books.engine) as session:
        return session.scalar(select(func.count()).select_from(PAYLOADS)) or 0


def checked(books: Books) -> Report:
    return verify(books.engine, signatures.public_key_of(IDENTITY.seed), lambda _done, _size: None)


def segment_paths(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.segment"))


def test_what_moved_is_read_proved_delivered_and_answered_as_before(books: Books):
    recorded = lived(books)
    size = books.ledger.head().size
    account = accounts.customer(ANN)

    def seen() -> list[Any]:
        with reading(books.engine) as session:
            pages = [delivering.page_of(session, first, None) for first in (0, 50)]
        return [
            stored(books),
            pages,
            [books.queries.evidence(index) for index in range(1, size, 7)],
            books.queries.entries_of([account], limit=100),
            books.queries.recorded(0, size),
            books.queries.erasable(ANN),
            books.queries.packs("unit-1", from_s=0, to_s=1 << 40),
        ]

    before = seen()
    first = books.accept(*recorded)

    moved = archive(books)

    assert (moved.segments, moved.entries) == (size // ENTRIES_EACH, size // ENTRIES_EACH * ENTRIES_EACH)
    assert rows_in_table(books) == size - moved.entries
    assert seen() == before
    assert books.accept(*recorded) == first
    report = checked(books)
    assert report.ok, report.findings
    assert (report.size, report.taken) == (size, 0)


def test_only_full_ranges_of_what_is_old_move_and_each_once(books: Books):
    lived(books)

    assert archive(books, before_s=NOON_S) == Moved()
    moved = archive(books)
    assert moved.segments > 0
    assert archive(books) == Moved()

    books.accept(*Home("unit-9", "customer-9").joining(), *(fund(10 + more) for more in range(ENTRIES_EACH)))
    assert archive(books).segments > 0
    assert checked(books).ok


def test_it_ends_between_segments_when_it_is_told_to(books: Books):
    lived(books)

    assert archive(books, may_go_on=iter([True, False]).__next__).segments == 1
    assert checked(books).ok


@pytest.mark.parametrize("moment", ["in_file", "before_transaction", "before_commit", "after_commit"])
def test_killed_at_any_moment_nothing_is_lost_or_there_twice(books: Books, folder: Path, moment: str):
    lived(books)
    before, size = stored(books), books.ledger.head().size
    command = [sys.executable, "-m", "tests.services.ledger.crashing_archiver", books.url, str(folder), moment]

    assert subprocess.run(command, cwd=ROOT, check=False).returncode == -9

    assert stored(books) == before
    assert checked(books).ok
    moved = archive(books)
    assert moved.segments == size // ENTRIES_EACH - (moment == "after_commit")
    assert stored(books) == before
    assert len(segment_paths(folder)) == size // ENTRIES_EACH
    assert list(folder.glob(".*.partial")) == []
    assert checked(books).ok


def test_two_do_not_archive_at_once(books: Books, folder: Path):
    lived(books)

    with archiving._alone(folder), pytest.raises(AlreadyArchiving, match="another process is moving payloads"):
        archive(books)


# Erasure


def keys_in(books: Books) -> dict[int, bytes]:
    with reading(books.engine) as session:
        rows = session.execute(select(SEGMENT_KEYS)).all()
    cut = (range(0, len(keys), segments.KEY_BYTES) for _, keys in rows)
    places = zip(rows, cut, strict=True)
    return {
        n * payloads.KEYS_EACH + at // segments.KEY_BYTES: bytes(keys[at : at + segments.KEY_BYTES])
        for (n, keys), ats in places
        for at in ats
    }


def test_what_is_erased_after_it_moved_cannot_be_read_any_more(books: Books, folder: Path):
    lived(books)
    moved = archive(books)
    before, files = stored(books), {path: path.read_bytes() for path in segment_paths(folder)}
    keys = keys_in(books)

    _, named = erase(books)

    after, left = stored(books), keys_in(books)
    assert any(index < moved.entries for index in named)
    for index, was in before.items():
        erased = Payload(b"", b"", was.effects, was.effects_salt, b"")
        assert after[index] == (erased if index in named else was), index
    assert {index for index, key in left.items() if key == NO_KEY} == {i for i in named if i < moved.entries}
    assert {index: key for index, key in left.items() if key != NO_KEY}.items() <= keys.items()
    assert {path: path.read_bytes() for path in segment_paths(folder)} == files
    report = checked(books)
    assert report.ok, report.findings
    assert report.taken >= len(named)


def test_what_was_erased_before_it_moved_stays_erased(books: Books):
    lived(books)
    _, named = erase(books)
    before = stored(books)

    archive(books)

    assert stored(books) == before
    keys = keys_in(books)
    assert all(keys[index] == NO_KEY for index in named if index in keys)
    assert checked(books).ok


def test_an_erasure_that_is_under_way_is_waited_for(postgres_url: str, folder: Path):
    with running(postgres_url, segments=folder) as books:
        lived(books)
        named = books.queries.erasable(ANN).indexes
        waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
        with ThreadPoolExecutor(1) as other:
            with transaction(books.engine) as session:
                erasing._erase(session, named, ANN)
                moving = other.submit(archive, books)
                while not moving.done() and not session.scalar(waiting):
                    pass
            moved = moving.result()

        after, keys = stored(books), keys_in(books)
        assert any(index < moved.entries for index in named)
        assert {after[index].request for index in named} == {b""}
        assert all(keys[index] == NO_KEY for index in named if index < moved.entries)


def test_a_key_that_an_erasure_forgot_is_found(spoilt: Books):
    lived(spoilt)
    moved = archive(spoilt)
    keys = keys_in(spoilt)
    _, named = erase(spoilt)
    index = next(index for index in named if index < moved.entries)

    n = index // payloads.KEYS_EACH
    row = b"".join(keys[n * payloads.KEYS_EACH + place] for place in range(payloads.KEYS_EACH))
    with spoilt.engine.begin() as connection:
        connection.execute(SEGMENT_KEYS.update().where(SEGMENT_KEYS.c.n == n).values(keys=row))

    found = [(one.table, one.what) for one in checked(spoilt).findings]
    assert any(table == "payloads" and "and it is still there" in what for table, what in found)


# Damage


@pytest.mark.parametrize("damage", ["missing", "changed"])
def test_a_lost_segment_is_named_in_one_line_and_the_writer_goes_on(spoilt: Books, folder: Path, damage: str):
    recorded = lived(spoilt)
    moved = archive(spoilt)
    with reading(spoilt.engine) as session:
        rows = session.execute(select(SEGMENTS.c.first, SEGMENTS.c.sha256).order_by(SEGMENTS.c.first)).all()
    first, sha256 = rows[-1]
    path = segments.path_of(folder, bytes(sha256))
    segments.opened.cache_clear()
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(b"\xff" * path.stat().st_size)

    findings = checked(spoilt).findings

    assert [(one.index, one.table) for one in findings] == [(first, "segments")]
    assert findings[0].what.startswith(f"segment {sha256.hex()[:12]} is ")
    inside = [request for request in recorded if isinstance(spoilt.ledger.submit([request])[0], Failed)]
    assert 0 < len(inside) <= ENTRIES_EACH
    assert moved.entries > 0
    spoilt.accept(fund(7))
    with pytest.raises(BadSegment), reading(spoilt.engine) as session:
        payloads.read(session, [first])


def test_who_is_erased_is_forgotten_even_if_the_segment_is_lost(spoilt: Books, folder: Path):
    lived(spoilt)
    archive(spoilt)
    named = spoilt.queries.erasable(ANN).indexes
    for path in segment_paths(folder):
        path.rename(path.with_suffix(".away"))
    segments.opened.cache_clear()

    with transaction(spoilt.engine) as session:
        erasing._erase(session, named, ANN)

    for path in folder.glob("*.away"):
        path.rename(path.with_suffix(".segment"))
    after = stored(spoilt)
    assert {after[index].request for index in named} == {b""}


# Backup


def restore(url: str, file: Path, folder: Path) -> Manifest:
    return backup.restore(
        url,
        file,
        segments=folder,
        log_public_key=signatures.public_key_of(IDENTITY.seed),
        published=(),
        on_progress=lambda _what, _done, _total: None,
    )


def test_a_backup_has_the_segments_and_restores_on_the_other_engine(
    books: Books, tmp_path: Path, request: pytest.FixtureRequest
):
    lived(books)
    archive(books)
    other = "postgres_url" if books.url.startswith("sqlite") else "sqlite_url"
    url = request.getfixturevalue(other)
    file, elsewhere = tmp_path / "backup", tmp_path / "elsewhere"

    made = backup.backup(books.engine, file, at_s=NOON_S, expires_at_s=NOON_S, on_progress=lambda *_: None)
    put_back = restore(url, file, elsewhere)

    assert (put_back.size, put_back.root) == (made.size, made.root)
    with running(url, segments=elsewhere, migrate=False) as restored:
        assert stored(restored) == stored(books)


def test_a_restore_that_fails_leaves_no_segment(spoilt: Books, folder: Path, tmp_path: Path, request: Any):
    lived(spoilt)
    archive(spoilt)
    with spoilt.engine.begin() as connection:
        connection.execute(PAYLOADS.update().values(effects=b"forged"))
    file, elsewhere = tmp_path / "backup", tmp_path / "elsewhere"
    backup.backup(spoilt.engine, file, at_s=NOON_S, expires_at_s=NOON_S, on_progress=lambda *_: None)
    url = request.getfixturevalue("postgres_url" if spoilt.url.startswith("sqlite") else "sqlite_url")

    with pytest.raises(BadBackup, match="does not verify"):
        restore(url, file, elsewhere)

    assert list(elsewhere.iterdir()) == []
