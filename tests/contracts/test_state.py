"""Rows as bytes, and the keys they lie under."""

from dataclasses import fields
from typing import Any, get_type_hints

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts import state
from contracts.effects import Asset
from contracts.metering import Refusal
from contracts.redemption import State
from contracts.state import ROWS, Decided, Ledger, Purchase, Row, View
from contracts.wire import cbor
from tests.contracts.builders import a_ledger, buy, with_cents

TEXT = st.text(max_size=12)


def of_kind(kind: type[Row]) -> st.SearchStrategy[Row]:
    hints = get_type_hints(kind)
    return st.builds(kind, *(st.from_type(hints[field.name]) for field in fields(kind)))


@pytest.mark.parametrize("kind", sorted(ROWS))
@given(data=st.data())
@settings(max_examples=15)
def test_a_row_survives_its_bytes(kind: str, data: st.DataObject):
    row = data.draw(of_kind(ROWS[kind]))
    written = state.to_bytes(row)

    read = state.from_bytes(f"{kind}/x", written)

    assert read == row
    assert type(read) is ROWS[kind]
    assert state.to_bytes(read) == written
    cbor.decode(written)  # raises unless it is the one deterministic encoding


def test_every_row_type_has_one_kind_of_key():
    assert len(set(ROWS.values())) == len(ROWS)
    assert set(ROWS.values()) == set(Row.__args__)


def test_a_name_from_an_enumeration_is_stored_as_its_text():
    view = with_cents(100)
    sale = buy(view, 10)
    assert isinstance(sale.state, State)

    stored = state.from_bytes(state.purchase_key("sale"), state.to_bytes(sale))

    assert isinstance(stored, Purchase)
    assert (type(stored.state), stored) == (str, sale)
    refused = Decided(bytes(32), Refusal.TOO_LATE, 1, 0, 0)
    assert cbor2.loads(state.to_bytes(refused))[1] == "too_late"


KEYS: dict[str, Any] = {
    "ledger": state.LEDGER_KEY,
    "active": state.ACTIVE_KEY,
    "contracts": state.contracts_key(b"v"),
    "queue": state.QUEUE_KEY,
    "unit": state.unit_key("u"),
    "meter": state.meter_key("u"),
    "day": state.day_key("u", 3),
    "pack": state.pack_key("u", 3),
    "claim": state.claim_key(b"c"),
    "customer": state.customer_key("c"),
    "holdings": state.holdings_key("c"),
    "earnings": state.earnings_key("c"),
    "avoided": state.avoided_key("c"),
    "account": state.account_key(Asset.SPARK, "customer/c"),
    "deferred": state.deferred_key(3),
    "event": state.event_key("e"),
    "events": state.zone_key("z"),
    "signal": state.signal_key(3_600),
    "retailer": state.retailer_key("R"),
    "business": state.business_key("R", 3),
    "code": state.code_key(b"c"),
    "spending": state.spending_key("c"),
    "purchase": state.purchase_key("p"),
    "statement": state.statement_key(3),
    "member": state.member_key("m"),
    "membership": state.MEMBERSHIP_KEY,
}


def test_the_first_part_of_a_key_names_the_type_of_its_row():
    assert KEYS.keys() == ROWS.keys()
    assert all(key.partition("/")[0] == kind for kind, key in KEYS.items())
    assert KEYS["account"] == "account/spark/customer/c"


@given(TEXT, TEXT)
def test_two_things_of_a_kind_never_share_a_key(one: str, other: str):
    for key_of in (state.unit_key, state.customer_key, state.purchase_key, state.event_key, state.retailer_key):
        assert (key_of(one) == key_of(other)) == (one == other)


def test_rows_are_read_by_the_type_that_their_key_names():
    row = Ledger("sparks.example/ledger", "ontario")

    assert state.from_bytes(state.LEDGER_KEY, state.to_bytes(row)) == row
    with pytest.raises(KeyError):
        state.from_bytes("nothing/x", state.to_bytes(row))


def test_a_memory_is_a_view():
    view: View = a_ledger()

    assert view.get("unit/none") is None
