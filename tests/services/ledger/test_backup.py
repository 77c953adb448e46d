"""A backup of a ledger that goes on being written, and a restore that proves to be the same log, or leaves nothing."""

import json
import resource
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, inspect, select

from contracts.units import DAY_S
from contracts.wire import signatures
from services import database
from services.database import OtherSchema
from services.ledger.archive import MANIFEST, BadBackup, Manifest
from services.ledger.backup import NotEmpty, backup, restore
from services.ledger.checkpoints import Checkpoint, sign
from services.ledger.continuing import AnotherLog, Published
from services.ledger.tables import CHECKPOINTS, EPOCHS, TILES
from tests import invariants
from tests.services.ledger import history
from tests.services.ledger.builders import IDENTITY, NOON_S, Books, Home, fund, running

PUBLIC_KEY = signatures.public_key_of(IDENTITY.seed)


def quietly(_what: str, _done: int, _total: int) -> None:
    pass


def back_up(books: Books, path: Path) -> Manifest:
    return backup(books.engine, path, at_s=NOON_S, expires_at_s=NOON_S + DAY_S, on_progress=quietly)


def put_back(url: str, path: Path, *published: bytes | Published) -> Manifest:
    shown = [one if isinstance(one, Published) else Published(one) for one in published]
    return restore(url, path, log_public_key=PUBLIC_KEY, published=shown, on_progress=quietly)


def rows_in(url: str) -> int:
    engine = database.engine(url)
    with engine.connect() as connection:
        names = set(inspect(connection).get_table_names()) - {"alembic_version"}
        counts = [connection.exec_driver_sql(f'SELECT count(*) FROM "{name}"').scalar_one() for name in names]
    engine.dispose()
    return sum(counts)


@pytest.fixture
def other_url(request: pytest.FixtureRequest, database_url: str) -> str:
    """An empty database of the other engine."""
    other = "postgres_url" if database_url.startswith("sqlite") else "sqlite_url"
    url: str = request.getfixturevalue(other)
    return url


@pytest.fixture
def kept(sqlite_url: str, tmp_path: Path) -> Path:
    """A backup of a small log."""
    with running(sqlite_url) as books:
        books.accept(*Home().joining(), fund(1))
        back_up(books, tmp_path / "kept")
    return tmp_path / "kept"


@pytest.fixture
def empty_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'empty.db'}"


def test_a_backup_under_load_restores_into_the_other_engine_and_the_log_goes_on(database_url, other_url, tmp_path):
    with running(database_url) as books:
        books.accept(*history.opening())
        batches = islice(history.packs(), 12)
        books.accept(*next(batches))
        begun = threading.Event()

        def write_on() -> None:
            for batch in batches:
                books.accept(*batch)
                begun.set()

        writing = threading.Thread(target=write_on)
        writing.start()
        assert begun.wait(60)
        manifest = back_up(books, tmp_path / "kept")
        writing.join()
        assert manifest.size < books.queries.head().size

    restored = put_back(other_url, tmp_path / "kept")

    assert restored == manifest
    with running(other_url) as books:
        assert books.queries.head().size == manifest.size
        (outcome,) = books.accept(fund(7))
        assert (outcome.index, books.writer.epoch) == (manifest.size, 2)
        repeated = books.accept(*history.opening())
        assert all(outcome.repeated for outcome in repeated)
        invariants.assert_books_hold(books.engine)


def test_numbers_that_the_database_gives_go_on_after_those_that_were_restored(sqlite_url, postgres_url, tmp_path):
    with running(sqlite_url) as books:
        attempt_to_sign_in(books.engine)
        back_up(books, tmp_path / "kept")

    put_back(postgres_url, tmp_path / "kept")

    engine = database.engine(postgres_url)
    attempt_to_sign_in(engine)
    engine.dispose()


def attempt_to_sign_in(engine: Engine) -> None:
    """A row whose number the database gives."""
    with database.transaction(engine) as session:
        session.connection().exec_driver_sql("INSERT INTO sign_in_attempts (subject, at_s) VALUES ('somebody', 1)")


def test_only_its_owner_may_read_it_and_the_manifest_says_what_it_is_of(kept):
    assert kept.stat().st_mode & 0o777 == 0o600
    said = json.loads(zipfile.ZipFile(kept).read(MANIFEST))
    assert (said["origin"], said["size"], said["format"]) == (IDENTITY.origin, 5, 1)
    assert said["checkpoint"].startswith(f"{IDENTITY.origin}\n5\n")
    assert said["schema"] == database.newest_version()
    assert said["parts"]["entries"]["rows"] == 5
    assert "lease" not in said["parts"]


def test_a_file_that_is_there_is_never_replaced(books, tmp_path):
    (tmp_path / "kept").write_text("mine")

    with pytest.raises(FileExistsError):
        back_up(books, tmp_path / "kept")

    assert (tmp_path / "kept").read_text() == "mine"


def test_a_backup_that_is_broken_off_leaves_no_file(books, tmp_path):
    def ctrl_c(*_: object) -> None:
        raise KeyboardInterrupt

    folder = tmp_path / "backups"
    folder.mkdir()
    with pytest.raises(KeyboardInterrupt):
        backup(books.engine, folder / "kept", at_s=NOON_S, expires_at_s=NOON_S, on_progress=ctrl_c)

    assert list(folder.iterdir()) == []
    books.accept(fund(1))


def test_a_full_disk_leaves_no_file(tmp_path, postgres_url):
    folder = tmp_path / "backups"
    folder.mkdir()
    with running(postgres_url) as books:
        books.accept(*history.opening())
        with files_of_at_most(2_000), pytest.raises(OSError, match="File too large"):
            back_up(books, folder / "kept")

    assert list(folder.iterdir()) == []


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_nothing_is_restored_over_what_is_there(kept, sqlite_url):
    before = rows_in(sqlite_url)

    with pytest.raises(NotEmpty, match="an empty one"):
        put_back(sqlite_url, kept)

    assert rows_in(sqlite_url) == before


@pytest.mark.parametrize("engine", ["empty_url", "postgres_url"])
def test_a_restore_leaves_alone_what_another_has_put_there_meanwhile(kept, engine, request, monkeypatch):
    url = request.getfixturevalue(engine)
    migrate = database.migrate

    def after_another(url: str) -> None:
        monkeypatch.setattr(database, "migrate", migrate)
        put_back(url, kept)
        migrate(url)

    monkeypatch.setattr(database, "migrate", after_another)
    with pytest.raises(NotEmpty):
        put_back(url, kept)
    assert rows_in(url) > 0


def test_a_restore_that_is_broken_off_leaves_the_database_empty_and_can_be_made_again(kept, empty_url):
    def ctrl_c(what: str, _done: int, _total: int) -> None:
        if what == "re-executing":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        restore(empty_url, kept, log_public_key=PUBLIC_KEY, published=[], on_progress=ctrl_c)

    assert rows_in(empty_url) == 0
    assert put_back(empty_url, kept).size == 5


# --- files that are not what they say --------------------------------------------------------------------------------


def rewritten(path: Path, change: Callable[[dict[str, bytes]], None]) -> None:
    """The archive with its members changed."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def manifest_with(**changes: Any) -> Callable[[dict[str, bytes]], None]:
    def change(members: dict[str, bytes]) -> None:
        members[MANIFEST] = json.dumps(json.loads(members[MANIFEST]) | changes).encode()

    return change


def a_changed_byte(members: dict[str, bytes]) -> None:
    members["entries.cbor"] = members["entries.cbor"][:-1] + b"\x00"


def a_missing_part(members: dict[str, bytes]) -> None:
    del members["postings.cbor"]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (a_changed_byte, BadBackup),
        (a_missing_part, BadBackup),
        (manifest_with(format=2), BadBackup),
        (manifest_with(size=4), BadBackup),
        (manifest_with(root="00" * 32), BadBackup),
        (manifest_with(parts={}), BadBackup),
        (manifest_with(surprise=1), BadBackup),
        (manifest_with(schema="0001"), OtherSchema),
        (manifest_with(origin="another.example/log"), AnotherLog),
    ],
)
def test_a_backup_that_was_changed_is_refused_and_nothing_stays(kept, empty_url, change, error):
    rewritten(kept, change)

    with pytest.raises(error) as refused:
        put_back(empty_url, kept)

    assert "\n" not in str(refused.value)
    assert not Path(empty_url.removeprefix("sqlite:///")).exists() or rows_in(empty_url) == 0


@pytest.mark.parametrize("kept_part", [0, 0.5, 0.99])
def test_a_backup_that_was_cut_off_is_refused(kept, empty_url, kept_part):
    data = kept.read_bytes()
    kept.write_bytes(data[: int(len(data) * kept_part)])

    with pytest.raises(BadBackup, match="no whole backup"):
        put_back(empty_url, kept)


def test_a_backup_whose_hashes_fit_but_whose_books_do_not_is_refused_by_re_execution(sqlite_url, empty_url, tmp_path):
    with running(sqlite_url) as books:
        books.accept(fund(1))
        with database.transaction(books.engine) as session:
            session.connection().exec_driver_sql("UPDATE postings SET amount = amount * 2")
        back_up(books, tmp_path / "kept")

    with pytest.raises(BadBackup, match="entry 1: postings"):
        put_back(empty_url, tmp_path / "kept")

    assert rows_in(empty_url) == 0


# --- is it the same log? ---------------------------------------------------------------------------------------------


def checkpoint_of(url: str, size: int) -> bytes:
    engine = database.engine(url)
    with database.reading(engine) as session:
        note: bytes = session.execute(select(CHECKPOINTS.c.note).where(CHECKPOINTS.c.size == size)).scalar_one()
    engine.dispose()
    return note


def test_checkpoints_that_were_published_before_agree(kept, sqlite_url, empty_url):
    assert put_back(empty_url, kept, checkpoint_of(sqlite_url, 1), checkpoint_of(sqlite_url, 5)).size == 5


def test_a_backup_older_than_what_was_published_is_refused_because_it_would_fork(kept, sqlite_url, empty_url):
    with running(sqlite_url) as books:
        books.accept(fund(2))
        later = books.queries.checkpoint()

    with pytest.raises(AnotherLog, match="up to size 6, and this backup ends at 5"):
        put_back(empty_url, kept, later)


def test_of_a_larger_tree_that_is_served_it_is_said_whether_the_backup_is_its_beginning(kept, sqlite_url, empty_url):
    with running(sqlite_url) as books:
        books.accept(fund(2), fund(3))
        newest = Published(books.queries.checkpoint(), tile_of(books.engine))
        with pytest.raises(AnotherLog, match="it is the beginning of that log, proved, and lacks 2 entries"):
            put_back(empty_url, kept, newest)
        with pytest.raises(AnotherLog, match="give a URL ending in /log/checkpoint"):
            put_back(empty_url, kept, newest.note)
        with pytest.raises(AnotherLog, match="serves other tiles"):
            put_back(empty_url, kept, Published(newest.note, lambda level, n, size: bytes(32 * size)))
        with pytest.raises(AnotherLog, match="nobody is there"):
            put_back(empty_url, kept, Published(newest.note, gone))

    assert not Path(empty_url.removeprefix("sqlite:///")).exists() or rows_in(empty_url) == 0


def test_a_larger_tree_that_does_not_continue_the_backup_is_another_history(kept, tmp_path, empty_url):
    with running(f"sqlite:///{tmp_path / 'fork.db'}") as fork:
        fork.accept(*(fund(cents) for cents in range(10, 20)))
        with pytest.raises(AnotherLog, match="does not continue this backup, which ends at 5: they are two histories"):
            put_back(empty_url, kept, Published(fork.queries.checkpoint(), tile_of(fork.engine)))


def tile_of(engine: Engine) -> Callable[[int, int, int], bytes]:
    """The tiles of a log as it serves them."""

    def tile(level: int, n: int, _size: int) -> bytes:
        with database.reading(engine) as session:
            query = select(TILES.c.hashes).where(TILES.c.level == level, TILES.c.n == n)
            return bytes(session.execute(query).scalar_one())

    return tile


def gone(_level: int, _n: int, _size: int) -> bytes:
    raise OSError("nobody is there")


def test_a_checkpoint_of_another_history_is_refused(kept, empty_url):
    fork = sign(Checkpoint(IDENTITY.origin, 3, bytes(range(32))), IDENTITY.seed)

    with pytest.raises(AnotherLog, match="size 3 has another root"):
        put_back(empty_url, kept, fork)

    assert rows_in(empty_url) == 0


def test_a_checkpoint_that_somebody_else_signed_is_refused(kept, empty_url):
    forged = sign(Checkpoint(IDENTITY.origin, 3, bytes(range(32))), bytes(32))

    with pytest.raises(AnotherLog, match="not signed by this log's key"):
        put_back(empty_url, kept, forged)


def test_who_wrote_which_entries_is_kept(kept, empty_url):
    put_back(empty_url, kept)

    engine = database.engine(empty_url)
    with database.reading(engine) as session:
        assert session.execute(select(EPOCHS.c.epoch)).scalars().all() == [1]
    engine.dispose()
