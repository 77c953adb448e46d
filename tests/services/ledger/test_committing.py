"""A batch is executed while the one before it is committed: what it sees, and what becomes of it if that one fails."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future

import pytest
from sqlalchemy import text

from contracts.commands import RecordPack, Request
from contracts.effects import Reason
from services.database import DatabaseUnavailable
from services.ledger import writer
from services.ledger.batches import Execution
from services.ledger.client import Accepted, Declined, Failed, LedgerUnavailable, Outcome
from services.ledger.store import Batch, Store
from tests import invariants
from tests.services.ledger.builders import Books, Home, accept_at_last, fund, request

WAIT_S = 60


class Gate:
    """Holds back the next commit; says how many batches were executed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._commit, self._run = Store.commit, Execution.run
        self._patch = monkeypatch
        self._executed = threading.Semaphore(0)
        self._reached, self._open = threading.Event(), threading.Event()
        gate = self

        def run(execution: Execution, *asked: object, **facts: object) -> object:
            try:
                return gate._run(execution, *asked, **facts)  # type: ignore[arg-type]
            finally:
                gate._executed.release()

        monkeypatch.setattr(Execution, "run", run)
        monkeypatch.setattr(writer, "OVERLAP_MIN", 1)

    def close(self, then: Callable[[Store, Batch], None] | None = None) -> None:
        """The next commit waits for `open`, and then does `then` in its place."""

        def wait(store: Store, batch: Batch) -> None:
            self._patch.setattr(Store, "commit", self._commit)
            self._reached.set()
            assert self._open.wait(WAIT_S)
            (then or self._commit)(store, batch)

        self._patch.setattr(Store, "commit", wait)

    def open(self) -> None:
        self._open.set()

    def is_reached(self) -> bool:
        return self._reached.wait(WAIT_S)

    def ask_behind(self, books: Books, first: list[Request], second: list[Request]) -> list["Future[list[Outcome]]"]:
        """Have `first` under way, and `second` executed on top of it; nobody is answered yet."""
        futures = [books.writer.ask(first)]
        assert self.is_reached()
        while self._executed.acquire(blocking=False):
            pass
        futures.append(books.writer.ask(second))
        assert self._executed.acquire(timeout=WAIT_S)
        assert not any(future.done() for future in futures)
        return futures


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    gate = Gate(monkeypatch)
    yield gate
    gate.open()


def lost(store: Store, batch: Batch) -> None:
    raise DatabaseUnavailable("the connection was lost")


def test_what_is_executed_meanwhile_sees_what_is_not_committed_yet(books: Books, gate: Gate):
    home = Home()
    books.accept(*home.joining(), fund())
    one, two = home.record(), home.record()
    gate.close()

    first, second = gate.ask_behind(books, [one], [two, one, again(one)])
    gate.open()

    (begun,), (gone_on, repeated, duplicate) = first.result(WAIT_S), second.result(WAIT_S)
    assert isinstance(begun, Accepted) and isinstance(gone_on, Accepted)
    assert gone_on.index == begun.index + 1
    assert repeated == Accepted(begun.index, begun.at_s, begun.result, repeated=True)
    assert isinstance(duplicate, Declined) and duplicate.reason is Reason.DUPLICATE
    invariants.assert_books_hold(books.engine)


def again(asked: Request) -> Request:
    """The same pack under another id."""
    assert isinstance(asked.command, RecordPack)
    return request(asked.command, name="sent again")


@pytest.mark.parametrize("has_happened", [False, True])
def test_nobody_is_answered_who_stands_on_a_commit_that_is_lost(books: Books, gate: Gate, has_happened: bool):
    commit = Store.commit

    def then(store: Store, batch: Batch) -> None:
        if has_happened:
            commit(store, batch)
        lost(store, batch)

    gate.close(then)
    futures = gate.ask_behind(books, [fund(1)], [fund(2), fund(1)])
    gate.open()

    assert all(isinstance(future.exception(WAIT_S), LedgerUnavailable) for future in futures)
    outcomes = accept_at_last(books, fund(1), fund(2))
    assert [(outcome.index, outcome.repeated) for outcome in outcomes] == [(1, has_happened), (2, False)]
    invariants.assert_books_hold(books.engine)


def test_a_bug_in_a_commit_spoils_one_request_and_what_stands_on_it_is_executed_again(
    books: Books, gate: Gate, monkeypatch: pytest.MonkeyPatch
):
    commit = Store.commit

    def spoilt(store: Store, batch: Batch) -> None:
        if any(id == fund(13).id for id, _, _ in batch.requests):
            raise ValueError("unlucky")
        commit(store, batch)

    def then(store: Store, batch: Batch) -> None:
        monkeypatch.setattr(Store, "commit", spoilt)
        spoilt(store, batch)

    gate.close(then)
    first, second = gate.ask_behind(books, [fund(1), fund(13), fund(2)], [fund(3)])
    gate.open()

    one, unlucky, two = first.result(WAIT_S)
    (three,) = second.result(WAIT_S)
    assert isinstance(unlucky, Failed)
    assert [outcome.index for outcome in (one, two, three) if isinstance(outcome, Accepted)] == [1, 2, 3]
    invariants.assert_books_hold(books.engine)


def test_stopping_waits_for_what_is_under_way(books: Books, gate: Gate):
    gate.close()
    futures = gate.ask_behind(books, [fund(1)], [fund(2)])
    stopping = threading.Thread(target=books.writer.stop)
    stopping.start()
    gate.open()
    stopping.join(WAIT_S)

    outcomes = [outcome for future in futures for outcome in future.result(0)]
    assert [outcome.index for outcome in outcomes if isinstance(outcome, Accepted)] == [1, 2]


@pytest.mark.parametrize("where", [(Execution, "run"), (Store, "commit")], ids=["executed", "committed"])
def test_what_would_end_the_thread_leaves_nobody_waiting(
    books: Books, monkeypatch: pytest.MonkeyPatch, where: tuple[type, str]
):
    def ending(*_: object, **__: object) -> None:
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(*where, ending)
        future = books.writer.ask([fund(1)])
        assert isinstance(future.exception(WAIT_S), LedgerUnavailable)

    (outcome,) = accept_at_last(books, fund(1))
    assert outcome.index == 1


def test_whose_commit_met_a_bug_are_all_answered_though_the_database_is_lost_before_they_are_tried_again(
    books: Books, gate: Gate, monkeypatch: pytest.MonkeyPatch
):
    commit = Store.commit

    def failing(store: Store, batch: Batch) -> None:
        asked = {id for id, _, _ in batch.requests}
        if {fund(1).id, fund(2).id} <= asked:
            raise ValueError("unlucky")
        if fund(1).id in asked:
            monkeypatch.setattr(Store, "commit", commit)
            lost(store, batch)
        commit(store, batch)

    def then(store: Store, batch: Batch) -> None:
        monkeypatch.setattr(Store, "commit", failing)
        commit(store, batch)

    gate.close(then)
    futures = gate.ask_behind(books, [fund(10)], [fund(11)])
    # What two callers ask while the writer waits is one batch.
    futures = [*futures, books.writer.ask([fund(1)]), books.writer.ask([fund(2)])]
    gate.open()

    ten, eleven, one, two = futures
    assert all(isinstance(future.result(WAIT_S)[0], Accepted) for future in (ten, eleven))
    assert all(isinstance(future.exception(WAIT_S), LedgerUnavailable) for future in (one, two))
    outcomes = accept_at_last(books, fund(1), fund(2))
    assert [(outcome.index, outcome.repeated) for outcome in outcomes] == [(3, False), (4, False)]


def test_a_few_wait_for_the_end_of_what_is_under_way_and_share_the_next_commit(
    books: Books, gate: Gate, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(writer, "OVERLAP_MIN", 3)
    gate.close()
    futures = [books.writer.ask([fund(1)])]
    assert gate.is_reached()
    futures += [books.writer.ask([fund(2)]), books.writer.ask([fund(3)])]
    gate.open()

    assert all(isinstance(outcome, Accepted) for future in futures for outcome in future.result(WAIT_S))
    with books.engine.connect() as connection:
        assert list(connection.execute(text("SELECT size FROM checkpoints ORDER BY size")).scalars()) == [1, 2, 4]
