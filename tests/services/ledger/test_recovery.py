"""What may break while the writer writes, and what is then true: everything of a batch happened, or nothing did."""

import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path

import pytest

from benchmarks import servers
from services.clock import SimulatedClock
from services.database import DatabaseUnavailable
from services.ledger.client import LedgerUnavailable
from services.ledger.store import Batch, Store
from tests import invariants
from tests.services.ledger import history
from tests.services.ledger.builders import NOON_S, Home, accept_at_last, fund, running

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("batches", [1, 7])
def test_a_writer_killed_at_any_moment_leaves_whole_batches_and_answers_once(database_url, batches):
    command = [sys.executable, "-m", "tests.services.ledger.crashing_writer", database_url]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        answered = [int(line) for line in islice(child.stdout, batches)][-1]
        child.kill()

    with running(database_url) as books:
        before = books.ledger.head().size
        asked = [*history.opening(), *chain.from_iterable(islice(history.packs(), batches + 3))]
        outcomes = books.accept(*asked)

        repeated = [outcome.index for outcome in outcomes if outcome.repeated]
        assert len(repeated) >= len(history.opening()) + answered
        assert repeated == list(range(1, len(repeated) + 1))
        assert before >= 1 + len(history.opening()) + answered
        invariants.assert_books_hold(books.engine)


@pytest.fixture(params=["before_effect", "after_effect"])
def commit_breaks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch):
    """A function that breaks the next commit: it did not happen, or it happened and nobody heard."""
    commit = Store.commit

    def break_next() -> None:
        def broken(store: Store, batch: Batch) -> None:
            monkeypatch.setattr(Store, "commit", commit)
            if request.param == "after_effect":
                commit(store, batch)
            raise DatabaseUnavailable("the connection was lost")

        monkeypatch.setattr(Store, "commit", broken)

    return break_next


def test_a_commit_that_breaks_is_told_as_unknown_and_asking_again_does_it_once(books, commit_breaks):
    home = Home()
    books.accept(*home.joining(), fund(1))
    asked = [fund(2), home.record(), home.record()]
    commit_breaks()

    with pytest.raises(LedgerUnavailable):
        books.ledger.submit(asked)
    outcomes = accept_at_last(books, *asked)

    assert [outcome.index for outcome in outcomes] == [5, 6, 7]
    assert books.ledger.head().size == 8


def test_what_waits_behind_a_broken_commit_is_told_too(books, commit_breaks):
    commit_breaks()
    futures = [books.writer.ask([fund(cents)]) for cents in range(1, 30)]

    told = [future.exception() for future in futures]
    assert any(isinstance(error, LedgerUnavailable) for error in told)
    assert all(error is None or isinstance(error, LedgerUnavailable) for error in told)

    accept_at_last(books, *(fund(cents) for cents in range(1, 30)))
    assert books.ledger.head().size == 30


def test_the_writer_goes_on_by_itself_when_the_server_is_back():
    with servers.postgres(fast=True) as server, server.fresh_database() as url, running(url) as books:
        books.accept(fund(1))
        server.kill()
        with pytest.raises(LedgerUnavailable):
            books.ledger.submit([fund(2)])
        with pytest.raises(LedgerUnavailable):
            books.ledger.head()
        assert not books.writer.is_writing()

        server.start()
        (outcome,) = accept_at_last(books, fund(2))

        assert (outcome.index, books.writer.is_writing()) == (2, True)
        invariants.assert_books_hold(books.engine)


def test_stopping_does_not_wait_for_a_server_that_is_gone():
    with servers.postgres(fast=True) as server, server.fresh_database() as url, running(url) as books:
        server.kill()
        future = books.writer.ask([fund()])

        books.writer.stop()

        assert isinstance(future.exception(timeout=0), LedgerUnavailable)
        server.start()


@contextmanager
def a_full_disk(path: Path) -> Iterator[None]:
    """No file of this process grows beyond what the write-ahead log has now."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    largest = path.with_name(f"{path.name}-wal").stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_refuses_writes_serves_reads_and_needs_no_repair(tmp_path):
    path = tmp_path / "sparks.db"
    with running(f"sqlite:///{path}") as books:
        books.accept(fund(1))

        with a_full_disk(path):
            with pytest.raises(LedgerUnavailable):
                books.ledger.submit([fund(cents) for cents in range(2, 400)])
            assert books.ledger.head().size == 2
        outcomes = accept_at_last(books, *(fund(cents) for cents in range(2, 400)))

        assert len(outcomes) == 398
        assert books.ledger.head().size == 400
        invariants.assert_books_hold(books.engine)


def test_a_start_without_a_database_fails_at_once():
    with servers.postgres(fast=True) as server, server.fresh_database() as url:
        with running(url):
            pass
        server.kill()
        with pytest.raises(DatabaseUnavailable), running(url, clock=SimulatedClock(NOON_S)):
            pass
        server.start()
