"""What the writer's SQL promises, on both engines: whole batches, newest rows, answers that are found again."""

from typing import Any

import pytest

from contracts import state
from contracts.commands import EnrollCustomer
from contracts.effects import Reason, Rejected
from contracts.state import Account, Decided, Purchase, Row
from services import contract_sets, database
from services.ledger import answers, entries, merkle, tiles
from services.ledger.answers import Known
from services.ledger.client import Accepted, Declined
from services.ledger.entries import Entry
from services.ledger.store import Batch, Store, Written, pack_place
from tests.services.ledger.builders import request

ENTRY = Entry("enroll_customer", 1_000, "utility", b"v" * 32, b"c" * 32, b"e" * 32)
ASKED = request(EnrollCustomer("customer-1", "saver"))
A, B = "account/spark/a", "account/spark/b"
A_PACK = Decided(b"h" * 32, "", 3, 100, 200)


@pytest.fixture
def store(database_url):
    database.migrate(database_url)
    engine = database.engine(database_url)
    opened = Store(engine, contract_sets.own("ontario"))
    opened.take_lease("this test", lambda _: False)
    yield opened
    opened.close()
    engine.dispose()


def written(index: int, row: Row | None) -> Written:
    return Written(index, row, None if row is None else state.to_bytes(row))


def a_batch(index: int, **parts: Any) -> Batch:
    """One entry at `index`, with whatever else the test is about."""
    batch = Batch(**parts)
    batch.entries.append((index, ENTRY.at_s + index, entries.to_bytes(ENTRY)))
    return batch


def a_hold(name: str, expires_s: int, held: str = "authorized") -> Purchase:
    return Purchase(name, "SHOP", "TILL", "customer-1", "", 1, 0, held, "", 1, 0, 0, 0, 0, 0, expires_s, 1)


def test_an_empty_log_has_no_last_entry(store):
    assert store.last() is None
    assert store.frontier(0) == {}


def test_the_last_entry_is_the_one_with_the_highest_index(store):
    for index in range(3):
        store.commit(a_batch(index))

    assert (store.last().index, store.last().entry) == (2, ENTRY)


def test_a_row_is_read_as_it_was_last_written(store):
    store.commit(
        a_batch(0, rows={"account/spark/a": written(0, Account(1)), "account/spark/b": written(0, Account(2))})
    )
    store.commit(a_batch(1, rows={"account/spark/a": written(1, Account(5)), "account/spark/b": written(1, None)}))

    assert store.rows(["account/spark/a", "account/spark/b", "account/spark/c"]) == {"account/spark/a": Account(5)}


def test_a_pack_is_read_from_its_own_table_and_may_be_decided_again(store):
    key = state.pack_key("unit-1", 7)
    store.commit(a_batch(0, rows={key: written(3, A_PACK)}))
    assert store.rows([key, state.pack_key("unit-1", 8)]) == {key: A_PACK}

    again = Decided(b"h" * 32, "above_nameplate", 3, 100, 200, again_at=9)
    store.commit(a_batch(1, rows={key: written(9, again)}))

    assert store.rows([key]) == {key: again}


def test_the_place_of_a_pack_is_read_from_its_key():
    assert pack_place(state.pack_key("unit-1", 12)) == ("unit-1", 12)


def test_a_request_is_known_by_its_entry_and_answer(store):
    payload = (0, b"request", b"s" * 16, b"effects", b"t" * 16, b"\xa1hcustomerjcustomer-1")
    store.commit(a_batch(0, payloads=[payload], requests=[(ASKED.id, ASKED.digest, 0)]))

    known = store.known([ASKED.id, bytes(32)])

    assert known == {ASKED.id: Known(ASKED.digest, Accepted(0, ENTRY.at_s, {"customer": "customer-1"}))}


def test_a_rejection_is_known_by_its_reason_and_facts(store):
    rejected = Rejected(Reason.TOO_EARLY, {"seq": 4})
    row = answers.rejection_row(ASKED, rejected, at_s=5, size=1)
    store.commit(Batch(rejections=[row]))

    assert store.known([ASKED.id]) == {ASKED.id: Known(ASKED.digest, Declined(Reason.TOO_EARLY, {"seq": 4}))}
    assert row[-1] == answers.seal(id=row[0], digest=row[1], reason=row[2], facts=row[3], at_s=5, size=1)


def test_holds_are_due_the_earliest_first_until_they_are_settled(store):
    assert store.first_due_s() is None
    holds = {
        state.purchase_key(name): written(0, a_hold(name, due_s)) for name, due_s in [("a", 30), ("b", 10), ("c", 20)]
    }
    store.commit(a_batch(0, rows=holds))
    assert store.first_due_s() == 10
    assert store.due_keys(25, limit=9) == ["purchase/b", "purchase/c"]
    assert store.due_keys(99, limit=1) == ["purchase/b"]

    store.commit(a_batch(1, rows={"purchase/b": written(1, a_hold("b", 10, held="captured"))}))

    assert store.first_due_s() == 20


def test_the_frontier_is_the_rightmost_tiles(store):
    leaves = [merkle.leaf_hash(bytes([n % 256])) for n in range(300)]
    first = tiles.grow(0, {}, leaves[:290])
    store.commit(a_batch(0, tiles=first))
    store.commit(a_batch(1, tiles=tiles.grow(290, store.frontier(290), leaves[290:])))

    assert store.frontier(300) == tiles.rightmost_rows(300, lambda level, n: tiles.grow(0, {}, leaves)[level, n])


def test_a_batch_that_breaks_a_rule_leaves_nothing(store):
    store.commit(a_batch(0))
    broken = a_batch(0, rows={"account/spark/a": written(0, Account(1))}, postings=[(0, 0, "spark", "a", 1)])

    with pytest.raises(Exception, match=r"(?i)unique"):
        store.commit(broken)

    assert store.rows(["account/spark/a"]) == {}
    store.commit(a_batch(1, postings=[(0, 0, "spark", "a", 1)]))
