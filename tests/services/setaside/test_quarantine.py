"""Messages in quarantine: one row for each unit, bytes and reason, with counts, and what people do about it."""

import hashlib
from typing import Any

import pytest
from sqlalchemy import Connection

from services.database import transaction
from services.setaside import quarantine
from services.setaside.quarantine import RAW_BYTES_MAX, Aside, Quarantined, State


@pytest.fixture
def connection(engine):
    with transaction(engine) as session:
        yield session.connection()


def an_aside(raw: bytes | None = b"raw", **changes: Any) -> Aside:
    """A message of unit-1 with a bad signature."""
    values = {"device_id": "unit-1", "reason": "bad_signature", "size_bytes": len(raw or b""), "seen_s": 100}
    return Aside(**{**values, "raw": raw, "sha256": hashlib.sha256(raw or b"").digest(), **changes})


def the_row(connection: Connection) -> Quarantined:
    (row,) = quarantine.find(connection, states=list(State))
    return row


def test_the_same_message_is_one_row_with_a_count_and_its_first_and_last_moment(connection):
    quarantine.put_aside(connection, [an_aside(seen_s=100), an_aside(seen_s=90)])
    quarantine.put_aside(connection, [an_aside(seen_s=110, count=3)])

    row = the_row(connection)

    assert (row.count, row.first_seen_s, row.last_seen_s) == (5, 90, 110)
    assert (row.raw, row.size_bytes, row.state, row.is_whole) == (b"raw", 3, State.OPEN, True)


def test_another_unit_reason_or_message_is_another_row(connection):
    others = [an_aside(device_id="unit-2"), an_aside(reason="unknown_key"), an_aside(b"other")]

    quarantine.put_aside(connection, [an_aside(), *others])

    assert len(quarantine.find(connection)) == 4


def test_more_rows_than_a_statement_takes_are_put_aside(connection):
    quarantine.put_aside(connection, [an_aside(str(n).encode()) for n in range(2_500)])

    assert quarantine.counts_by_device(connection) == {"unit-1": {"bad_signature": 2_500}}


def test_of_a_message_that_is_too_large_the_beginning_and_the_size_are_kept(connection):
    quarantine.put_aside(connection, [an_aside(b"x" * (RAW_BYTES_MAX + 1), reason="too_large")])

    row = the_row(connection)

    assert (len(row.raw or b""), row.size_bytes, row.is_whole) == (RAW_BYTES_MAX, RAW_BYTES_MAX + 1, False)


def test_a_message_can_be_counted_without_its_bytes(connection):
    quarantine.put_aside(connection, [an_aside(None, reason="too_far_ahead", size_bytes=300, seq=9_000)])

    row = the_row(connection)

    assert (row.raw, row.size_bytes, row.seq, row.is_whole) == (None, 300, 9_000, False)


def test_a_row_is_moved_only_from_where_it_may_leave(connection):
    quarantine.put_aside(connection, [an_aside()])
    row_id = the_row(connection).id

    assert quarantine.move(connection, row_id, to=State.REPLAY_REQUESTED, states=[State.OPEN])
    assert not quarantine.move(connection, row_id, to=State.REPLAY_REQUESTED, states=[State.OPEN])
    assert [row.id for row in quarantine.find(connection, states=[State.REPLAY_REQUESTED])] == [row_id]


def test_a_replay_that_comes_to_the_same_end_opens_the_row_again(connection):
    quarantine.put_aside(connection, [an_aside()])
    quarantine.move(connection, the_row(connection).id, to=State.REPLAY_REQUESTED, states=[State.OPEN])

    quarantine.put_aside(connection, [an_aside(seen_s=200)])

    assert (the_row(connection).state, the_row(connection).count) == (State.OPEN, 2)


def test_what_was_discarded_stays_discarded_when_it_comes_again(connection):
    quarantine.put_aside(connection, [an_aside()])
    quarantine.move(connection, the_row(connection).id, to=State.DISCARDED, states=[State.OPEN], note="a test")

    quarantine.put_aside(connection, [an_aside()])

    row = the_row(connection)
    assert (row.state, row.note, row.count) == (State.DISCARDED, "a test", 2)
    assert not quarantine.move(connection, row.id, to=State.REPLAY_REQUESTED, states=[State.OPEN])


def test_a_message_that_is_kept_changes_no_row_that_is_there(connection):
    quarantine.put_aside(connection, [an_aside(seen_s=100)])

    quarantine.keep(connection, [an_aside(seen_s=200), an_aside(b"other")])

    assert [(row.raw, row.count, row.last_seen_s) for row in quarantine.find(connection)] == [
        (b"raw", 1, 100),
        (b"other", 1, 100),
    ]


def test_what_the_ledger_refused_is_known_by_number_and_counted_there(connection):
    refused = [an_aside(str(seq).encode(), seq=seq, entry_index=seq + 90, reason="too_late") for seq in (3, 1, 2)]
    other = an_aside(b"x", device_id="unit-2", seq=9, entry_index=1, reason="clock_ahead")
    quarantine.put_aside(connection, [*refused, other, an_aside(seq=4)])

    assert quarantine.refusals_after(connection, {"unit-1": 1, "unit-2": 9}) == {
        "unit-1": [(2, "too_late"), (3, "too_late")]
    }
    assert quarantine.counts_by_device(connection) == {"unit-1": {"bad_signature": 1}}


def test_when_a_unit_was_last_seen_here_is_known(connection):
    quarantine.put_aside(connection, [an_aside(seen_s=100), an_aside(b"other", seen_s=300)])

    assert quarantine.last_seen(connection, ["unit-1", "unit-2"]) == {"unit-1": 300}


def test_a_row_that_does_not_exist_is_none(connection):
    assert quarantine.get(connection, 1) is None
    assert not quarantine.move(connection, 1, to=State.DISCARDED, states=list(State))
