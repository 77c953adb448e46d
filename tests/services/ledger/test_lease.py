"""Who may write: one epoch at a time, whatever connections live on; a standby waits, and takes over."""

from pathlib import Path

import pytest
from sqlalchemy import Engine

from contracts.commands import Request
from contracts.units import DAY_S
from services import contract_sets, database
from services.clock import SimulatedClock
from services.database import DatabaseUnavailable
from services.ledger.client import Accepted, LedgerUnavailable
from services.ledger.lease import AnotherWriter, LeaseLost
from services.ledger.local import LocalLedger
from services.ledger.opening import ClockNeedsAcceptance, LogIdentity, OtherLedger
from services.ledger.role import Role
from services.ledger.store import Batch, Store
from services.ledger.writer import Writer
from tests import invariants
from tests.services.ledger.builders import IDENTITY, NOON_S, Books, accept, fund, running
from tests.services.ledger.takeover import epochs, wait_until


def give_up(_at_most_s: float) -> bool:
    return False


def go_on(_at_most_s: float) -> bool:
    return True


def standby(books: Books, *, identity: LogIdentity = IDENTITY, clock: SimulatedClock | None = None) -> Writer:
    return Writer(books.engine, identity, clock or books.clock, holder="standby", may_stand_by=True)


def ask(writer: Writer, books: Books, *asked: Request) -> list[Accepted]:
    return accept(LocalLedger(writer, books.queries), asked)


def take_from_outside(engine: Engine, holder: str = "thief") -> None:
    """Take the lease past every lock, as a server would see it whose locks are gone."""
    with database.transaction(engine) as session:
        session.connection().exec_driver_sql(f"UPDATE lease SET epoch = epoch + 1, holder = '{holder}'")


def test_every_holder_has_the_next_epoch_and_where_it_began_is_kept(database_url):
    with running(database_url, holder="first") as books:
        books.accept(fund(1), fund(2))
    with running(database_url, holder="second") as books:
        assert books.writer.epoch == 2
        assert epochs(books.engine) == [(1, "first", 0), (2, "second", 3)]


def test_a_transaction_of_an_older_epoch_commits_nothing_on_a_connection_that_lives(database_url):
    database.migrate(database_url)
    engine = database.engine(database_url)
    store = Store(engine, contract_sets.own("ontario"))
    store.take_lease("first", give_up)
    take_from_outside(engine)

    with pytest.raises(LeaseLost, match="epoch 1 has ended"):
        store.commit(Batch(rejections=[(bytes(32), bytes(32), "reason", b"", 0, 0, bytes(32))]))

    assert store.last() is None
    assert store.known([bytes(32)]) == {}
    store.close()
    engine.dispose()


def test_a_writer_that_lost_its_lease_answers_nobody_as_if_it_had_written(books):
    books.accept(fund(1))
    take_from_outside(books.engine)

    with pytest.raises(LedgerUnavailable):
        books.ledger.submit([fund(2)])

    wait_until(books.writer.is_writing)
    (again,) = books.accept(fund(2))
    assert (again.index, again.repeated) == (2, False)
    assert books.writer.epoch == 3


def test_a_standby_says_so_and_turns_requests_away(books):
    second = standby(books)
    second.start()

    assert (second.role, second.epoch) == (Role.STANDBY, 0)
    with pytest.raises(LedgerUnavailable, match="stands by"):
        second.ask([fund(1)])
    books.accept(fund(1))
    second.stop()
    assert second.role is Role.UNAVAILABLE


def test_a_standby_takes_over_from_a_writer_that_stops_and_goes_on_with_its_log(books):
    books.accept(fund(1))
    second = standby(books)
    second.start()

    books.writer.stop()
    wait_until(second.is_writing)

    repeated, new = ask(second, books, fund(1), fund(2))
    assert (repeated.index, repeated.repeated, new.index) == (1, True, 2)
    second.stop()
    assert [first for _, _, first in epochs(books.engine)] == [0, 2]


def test_the_time_of_the_log_goes_on_though_the_standbys_clock_is_behind(books):
    (first,) = books.accept(fund(1))
    second = standby(books, clock=SimulatedClock(NOON_S - 3_600))
    second.start()
    books.writer.stop()
    wait_until(second.is_writing)

    (later,) = ask(second, books, fund(2))

    assert later.at_s == first.at_s
    second.stop()


def test_a_takeover_asks_nobody_to_accept_the_clock(books):
    books.accept(fund(1))
    clock = SimulatedClock(NOON_S)
    second = standby(books, clock=clock)
    second.start()
    clock.advance_to(NOON_S + 3 * DAY_S)

    books.writer.stop()
    wait_until(second.is_writing)

    (later,) = ask(second, books, fund(2))
    assert later.at_s == NOON_S + 3 * DAY_S
    second.stop()


def test_a_standby_with_another_clock_or_another_log_does_not_even_wait(books):
    with pytest.raises(ClockNeedsAcceptance):
        standby(books, clock=SimulatedClock(NOON_S - 30 * 365 * DAY_S)).start()
    with pytest.raises(OtherLedger):
        standby(books, identity=LogIdentity(origin="other.example/ledger", seed=IDENTITY.seed)).start()

    books.accept(fund(1))


def test_a_lock_file_that_was_removed_lets_nobody_write_beside_the_new_holder(sqlite_url):
    with running(sqlite_url, holder="first") as books:
        books.accept(fund(1))
        Path(f"{books.engine.url.database}.writer").unlink()
        second = standby(books)
        second.start()
        wait_until(second.is_writing)
        (theirs,) = ask(second, books, fund(2))

        with pytest.raises(LedgerUnavailable):
            books.ledger.submit([fund(3)])

        assert theirs.index == 2
        assert books.ledger.head().size == 3
        second.stop()
        wait_until(books.writer.is_writing)
        invariants.assert_books_hold(books.engine)


def test_a_session_that_fell_silent_is_ended_and_its_commit_with_it(postgres_url):
    database.migrate(postgres_url)
    engine = database.engine(postgres_url)
    silent, next_one = Store(engine, contract_sets.own("ontario")), Store(engine, contract_sets.own("ontario"))
    silent.take_lease("silent", give_up)
    with pytest.raises(DatabaseUnavailable), silent._connection.transaction():
        # It holds the lease's row, too, and will not say anything for as long as it takes.
        taken = next_one.take_lease("next", go_on)
    next_one.keep_lease()

    assert (taken.epoch, taken.before) == (2, "silent")
    next_one.close()
    silent.close()
    engine.dispose()


def test_a_holder_that_renews_is_left_alone(postgres_url):
    database.migrate(postgres_url)
    engine = database.engine(postgres_url)
    holder, other = Store(engine, contract_sets.own("ontario")), Store(engine, contract_sets.own("ontario"))
    holder.take_lease("holder", give_up)

    with pytest.raises(AnotherWriter):
        other.take_lease("other", give_up)

    holder.commit(Batch())
    other.close()
    holder.close()
    engine.dispose()
