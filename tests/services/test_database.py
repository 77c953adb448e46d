"""Both engines: transactions that commit or do not, failures by our names, schemas of other versions."""

import os
import sqlite3
import threading

import pytest
import sqlalchemy
from sqlalchemy import Engine, text
from sqlmodel import Session

from benchmarks import servers
from services import database
from services.database import DatabaseUnavailable, OtherSchema


@pytest.fixture
def engine(database_url):
    made = database.engine(database_url)
    with database.transaction(made) as session:
        session.execute(text("CREATE TABLE things (name VARCHAR PRIMARY KEY)"))
    yield made
    made.dispose()


def names(engine: Engine) -> list[str]:
    with database.reading(engine) as session:
        return sorted(name for (name,) in session.execute(text("SELECT name FROM things")))


def add(session: Session, name: str) -> None:
    session.execute(text("INSERT INTO things VALUES (:name)"), {"name": name})


def test_a_transaction_is_committed_at_its_end(engine):
    with database.transaction(engine) as session:
        add(session, "a")

    assert names(engine) == ["a"]


def test_a_transaction_that_raises_leaves_nothing(engine):
    with pytest.raises(KeyError), database.transaction(engine) as session:
        add(session, "a")
        raise KeyError

    assert names(engine) == []


def test_a_row_that_breaks_a_rule_is_a_bug_and_not_an_outage(engine):
    with pytest.raises(sqlalchemy.exc.IntegrityError), database.transaction(engine) as session:
        add(session, "a")
        add(session, "a")


def test_sqlite_commits_durably_and_readers_do_not_wait(sqlite_url):
    engine = database.engine(sqlite_url)
    with database.reading(engine) as session:
        settings = [session.execute(text(f"PRAGMA {name}")).scalar() for name in ("journal_mode", "synchronous")]
        assert settings == ["wal", 2]
        assert session.execute(text("PRAGMA foreign_keys")).scalar() == 1
    engine.dispose()


def test_two_writers_of_sqlite_take_turns_from_the_beginning(sqlite_url):
    engine = database.engine(sqlite_url)
    with database.transaction(engine) as session:
        session.execute(text("CREATE TABLE counts (n INTEGER)"))
        session.execute(text("INSERT INTO counts VALUES (0)"))

    def count():
        for _ in range(20):
            with database.transaction(engine) as session:
                n = session.execute(text("SELECT n FROM counts")).scalar_one()
                session.execute(text("UPDATE counts SET n = :n"), {"n": n + 1})

    threads = [threading.Thread(target=count) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    with database.reading(engine) as session:
        assert session.execute(text("SELECT n FROM counts")).scalar() == 60
    engine.dispose()


def test_a_server_that_is_not_there_is_an_outage():
    engine = database.engine(f"postgresql://sparks@127.0.0.1:{servers.free_port()}/sparks")

    with pytest.raises(DatabaseUnavailable), database.reading(engine) as session:
        session.execute(text("SELECT 1"))


def test_a_folder_that_is_not_there_is_an_outage(tmp_path):
    engine = database.engine(f"sqlite:///{tmp_path}/missing/sparks.db")

    with pytest.raises(DatabaseUnavailable), database.reading(engine) as session:
        session.execute(text("SELECT 1"))


def test_a_full_disk_is_an_outage_and_what_was_there_stays(sqlite_url):
    engine = database.engine(sqlite_url)
    with database.transaction(engine) as session:
        session.execute(text("CREATE TABLE things (name VARCHAR PRIMARY KEY)"))
        add(session, "a")

    with pytest.raises(DatabaseUnavailable, match="full"), database.transaction(engine) as session:
        session.execute(text("PRAGMA max_page_count = 1"))  # SQLite's own way to have no more room
        for number in range(10_000):
            add(session, f"{number} {'x' * 100}")

    engine.dispose()
    assert names(database.engine(sqlite_url)) == ["a"]


def test_a_connection_that_the_server_ends_is_an_outage_and_the_next_one_works(postgres_url):
    engine = database.engine(postgres_url)

    with pytest.raises(DatabaseUnavailable), database.transaction(engine) as session:
        pid = session.execute(text("SELECT pg_backend_pid()")).scalar_one()
        with database.transaction(engine) as other:
            other.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
        session.execute(text("SELECT 1"))

    with database.reading(engine) as session:
        assert session.execute(text("SELECT 1")).scalar() == 1
    engine.dispose()


def test_the_schema_is_made_from_any_working_directory(database_url, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    database.migrate(database_url)

    assert os.listdir(tmp_path) == (["sparks.db"] if "sqlite" in database_url else [])


def test_a_database_of_another_version_is_named_in_one_line(database_url):
    database.migrate(database_url)
    engine = database.engine(database_url)
    with database.transaction(engine) as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))

    with pytest.raises(OtherSchema) as raised:
        database.migrate(database_url)

    assert "9999" in str(raised.value)
    assert "\n" not in str(raised.value)
    engine.dispose()


def test_programs_that_start_together_make_the_schema_once(database_url):
    failures = []

    def start():
        try:
            database.migrate(database_url)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=start) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []


def test_what_is_no_database_is_not_taken_for_an_outage(tmp_path):
    (tmp_path / "sparks.db").write_bytes(b"not a database at all, but long enough to look at" * 100)
    engine = database.engine(f"sqlite:///{tmp_path / 'sparks.db'}")

    with pytest.raises((sqlalchemy.exc.DatabaseError, sqlite3.DatabaseError)), database.reading(engine) as session:
        session.execute(text("SELECT 1"))
