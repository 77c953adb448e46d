"""Counts of what became of messages, and the receipts that were sent."""

from concurrent.futures import ThreadPoolExecutor

from services.database import reading, transaction
from services.setaside import tallies


def test_counts_add_up_over_batches(engine):
    with transaction(engine) as session:
        tallies.count(session.connection(), {"accepted": 3, "refused": 0})
        tallies.count(session.connection(), {"accepted": 2, "duplicate": 1})
        tallies.count(session.connection(), {})

        assert tallies.counts(session.connection()) == {"accepted": 5, "duplicate": 1}


def test_workers_that_count_at_once_lose_nothing(engine):
    def count(_: int) -> None:
        with transaction(engine) as session:
            tallies.count(session.connection(), {"duplicate": 1, "accepted": 2})

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(count, range(20)))

    with reading(engine) as session:
        assert tallies.counts(session.connection()) == {"accepted": 40, "duplicate": 20}


def test_the_last_receipt_of_each_unit_is_remembered(engine):
    with transaction(engine) as session:
        connection = session.connection()
        tallies.note_receipts(connection, {"unit-1": 1, "unit-2": 12})
        tallies.note_receipts(connection, {"unit-1": 13})
        tallies.note_receipts(connection, {})

        assert tallies.receipts_of(connection, ["unit-1", "unit-2", "unit-3"]) == {"unit-1": 13, "unit-2": 12}
