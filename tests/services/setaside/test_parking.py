"""Packs that wait: the first bytes of a number win, and all come out in order."""

import hashlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection

from services import database
from services.database import transaction
from services.setaside import parking
from services.setaside.parking import Parked


@pytest.fixture
def connection(engine):
    with transaction(engine) as session:
        yield session.connection()


def a_pack(seq: int, device_id: str = "unit-1", message: bytes = b"", *, due_s: int | None = None) -> Parked:
    """A pack that waits; its bytes are those of its number unless said otherwise."""
    message = message or str(seq).encode()
    return Parked(device_id, seq, hashlib.sha256(message).digest(), message, due_s, 50)


def of(connection: Connection, device_id: str = "unit-1") -> list[Parked]:
    """Everything of a unit that waits."""
    return parking.from_number(connection, device_id, 1, limit=10_000)


def test_packs_come_back_by_number_as_they_were(connection):
    packs = [a_pack(5), a_pack(3), a_pack(4, "unit-2", due_s=900), a_pack(9, "unit-3")]

    assert parking.park(connection, packs) == {(pack.device_id, pack.seq) for pack in packs}

    assert of(connection) == [packs[1], packs[0]]
    assert of(connection, "unit-2") == [packs[2]]
    assert parking.from_number(connection, "unit-1", 4, limit=9) == [packs[0]]
    assert parking.from_number(connection, "unit-1", 1, limit=1) == [packs[1]]
    assert parking.devices(connection) == ["unit-1", "unit-2", "unit-3"]


def test_the_first_bytes_of_a_number_win_and_their_hash_is_known(connection):
    first, other = a_pack(5), a_pack(5, message=b"other")
    parking.park(connection, [first])

    kept = parking.park(connection, [a_pack(6), other, first])

    assert kept == {("unit-1", 6)}
    assert of(connection) == [first, a_pack(6)]
    assert parking.hashes_at(connection, {("unit-1", 5), ("unit-1", 7)}) == {("unit-1", 5): first.sha256}


def test_of_two_in_one_batch_the_first_wins(connection):
    first, other = a_pack(5), a_pack(5, message=b"other")

    assert parking.park(connection, [first, other]) == {("unit-1", 5)}
    assert of(connection) == [first]


def test_what_is_taken_waits_no_more_and_is_taken_once(connection):
    parking.park(connection, [a_pack(3), a_pack(4), a_pack(3, "unit-2")])

    assert parking.take(connection, [("unit-1", 3), ("unit-9", 1)]) == {("unit-1", 3)}
    assert parking.take(connection, [("unit-1", 3)]) == set()
    assert parking.take(connection, []) == set()
    assert of(connection) == [a_pack(4)]
    assert of(connection, "unit-2") == [a_pack(3, "unit-2")]


def test_what_was_decided_and_still_lies_there_is_found(connection):
    parking.park(connection, [a_pack(3), a_pack(4), a_pack(5), a_pack(3, "unit-2")])

    found = parking.overtaken(connection, {"unit-1": 4, "unit-2": 2})

    assert sorted(pack.seq for pack in found) == [3, 4]


def test_the_next_packs_are_found_by_unit_and_number(connection):
    parking.park(connection, [a_pack(3), a_pack(4), a_pack(3, "unit-2"), a_pack(4, "unit-2")])

    found = parking.next_of(connection, {"unit-1": 3, "unit-2": 4, "unit-3": 3})

    assert sorted((pack.device_id, pack.seq) for pack in found) == [("unit-1", 3), ("unit-2", 4)]


def test_the_time_from_which_a_pack_may_be_decided_can_be_moved(connection):
    parking.park(connection, [a_pack(3), a_pack(4, due_s=200), a_pack(5, due_s=100)])

    parking.set_due(connection, {("unit-1", 3): 150, ("unit-1", 5): None})
    parking.set_due(connection, {})

    assert [pack.due_s for pack in of(connection)] == [150, 200, None]


def test_the_numbers_that_wait_are_known_without_their_bytes(connection):
    parking.park(connection, [a_pack(8), a_pack(3), a_pack(2, "unit-2")])

    assert parking.seqs_of(connection, "unit-1") == (3, 8)
    assert parking.seqs_of(connection, "unit-3") == ()
    assert parking.seqs_by_device(connection, ["unit-1", "unit-2"]) == {"unit-1": (3, 8), "unit-2": (2,)}
    assert parking.highest_seqs(connection, ["unit-1", "unit-2", "unit-3"]) == {"unit-1": 8, "unit-2": 2}


def test_more_packs_than_a_statement_takes_are_parked(connection):
    packs = [a_pack(seq, f"unit-{seq % 7}") for seq in range(1, 2_501)]

    assert len(parking.park(connection, packs)) == 2_500

    places = {(pack.device_id, pack.seq) for pack in packs}
    assert parking.hashes_at(connection, places).keys() == places
    assert parking.take(connection, places) == places
    assert parking.devices(connection) == []


@pytest.fixture(scope="module")
def one_engine(tmp_path_factory):
    """One SQLite database for all examples of a property; each rolls back."""
    url = f"sqlite:///{tmp_path_factory.mktemp('parking') / 'sparks.db'}"
    database.migrate(url)
    engine = database.engine(url)
    yield engine
    engine.dispose()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    batches=st.lists(
        st.lists(st.tuples(st.sampled_from(["a", "b"]), st.integers(1, 4), st.sampled_from([b"x", b"y"])), max_size=6),
        max_size=4,
    )
)
def test_whatever_comes_each_number_keeps_its_first_bytes(one_engine, batches):
    first: dict[tuple[str, int], bytes] = {}
    with one_engine.connect() as connection:
        for batch in batches:
            packs = [a_pack(seq, device_id, message) for device_id, seq, message in batch]
            new = {(device_id, seq) for device_id, seq, _ in batch} - first.keys()
            for device_id, seq, message in batch:
                first.setdefault((device_id, seq), message)
            assert parking.park(connection, packs) == new

        waiting = [pack for device_id in "ab" for pack in of(connection, device_id)]
        connection.rollback()

    assert {(pack.device_id, pack.seq): pack.message for pack in waiting} == first
