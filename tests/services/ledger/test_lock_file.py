"""The file by which a standby of an SQLite ledger learns that the writer has died, or sleeps."""

import os
from pathlib import Path

import pytest

from services import contract_sets, database
from services.ledger.lease import AnotherWriter, LeaseLost
from services.ledger.lock_file import LockFile
from services.ledger.store import Batch, Store
from tests.services.ledger.takeover import epochs


def yes() -> bool:
    return True


def no() -> bool:
    return False


def put_to_sleep(path: Path) -> None:
    """Make it look as if the holder had not touched its file for a long while."""
    os.utime(path, (1, 1))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sparks.db.writer"


def test_who_holds_it_and_is_awake_is_left_alone(path: Path):
    holder = LockFile.take(path, is_idle=yes)

    assert holder is not None
    assert LockFile.take(path, is_idle=yes) is None
    holder.close()
    assert LockFile.take(path, is_idle=yes) is not None


def test_who_sleeps_is_replaced_unless_it_sleeps_inside_a_transaction(path: Path):
    holder = LockFile.take(path, is_idle=yes)
    put_to_sleep(path)

    assert LockFile.take(path, is_idle=no) is None
    second = LockFile.take(path, is_idle=yes)
    assert second is not None
    assert LockFile.take(path, is_idle=yes) is None, "the second is awake"
    assert holder is not None


def test_the_file_says_who_writes(path: Path):
    assert LockFile.take(path, is_idle=yes) is not None
    assert path.read_text() == f"{os.getpid()}\n"


def test_a_sleeping_writer_is_followed_once_it_is_outside_of_its_transaction_and_then_commits_nothing(sqlite_url: str):
    database.migrate(sqlite_url)
    engine = database.engine(sqlite_url)
    first, second = (Store(engine, contract_sets.own("ontario")) for _ in range(2))
    first.take_lease("first", lambda _at_most_s: False)
    lock = Path(f"{engine.url.database}.writer")
    with first._connection.transaction():
        put_to_sleep(lock)
        with pytest.raises(AnotherWriter):
            second.take_lease("second", lambda _at_most_s: False)

    assert second.take_lease("second", lambda _at_most_s: False).epoch == 2
    with pytest.raises(LeaseLost):
        first.commit(Batch(rejections=[(bytes(32), bytes(32), "reason", b"", 0, 0, bytes(32))]))

    assert [holder for _, holder, _ in epochs(engine)] == ["first", "second"]
    first.close()
    second.close()
    engine.dispose()
