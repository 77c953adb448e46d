"""Retailers, the reserve, identity, demand events and grid signals."""

import dataclasses
from typing import Any

from contracts import state
from contracts.accounts import RESERVE
from contracts.commands import EnrollCustomer
from contracts.effects import Asset
from contracts.state import Account, Customer, Event, Retailer, Signal
from contracts.units import HOUR_S
from contracts.wire.receipts import EventCall, EventCancelled
from services.identity import Scope
from services.ledger.client import LedgerUnavailable
from services.moments import rfc3339
from tests.services.asgi import Http
from tests.services.ledger.builders import request
from tests.services.operations.conftest import Desk, app_of, code_of

RETAILER = {"name": "Corner Grocery", "terminals": ["TILL0001", "TILL0002"], "bonus_bp": 500}


def test_a_retailer_gets_an_id_for_its_tills_and_a_client_that_works(desk):
    answer = desk.programme.post("/v1/retailers", RETAILER)

    assert answer.status_code == 201
    retailer_id = answer.json()["retailer_id"]
    assert len(retailer_id) == 15
    assert retailer_id.isalnum() and retailer_id.isascii() and retailer_id == retailer_id.upper()
    (retailer,) = desk.books.ledger.rows([state.retailer_key(retailer_id)])
    assert isinstance(retailer, Retailer)
    assert (retailer.terminals, retailer.bonus_bp) == (("TILL0001", "TILL0002"), 500)
    client = {name: answer.json()[name] for name in ("client_id", "client_secret")}
    token = desk.as_().call("POST", "/oauth/token", data={"grant_type": "client_credentials", **client}).json()
    assert token["scope"] == "retailer"
    assert desk.office.tokens.caller_of(token["access_token"]).retailer_id == retailer_id


def test_a_retailer_asked_for_twice_is_one_and_its_secret_is_shown_once(desk):
    first = desk.programme.post("/v1/retailers", RETAILER, key="k")

    again = desk.programme.post("/v1/retailers", RETAILER, key="k")

    expected = {name: first.json()[name] for name in ("retailer_id", "client_id")}
    assert again.status_code == first.status_code
    assert again.json() == {**expected, "code": "secret_already_shown"}
    assert len(desk.books.ledger.find("retailer")) == 1


def test_a_provider_vouches_for_a_retailer_until_a_moment(desk):
    path = f"/v1/retailers/{desk.programme.post('/v1/retailers', RETAILER).json()['retailer_id']}"
    assert desk.programme.get(path).json()["identity"] == "unverified"
    expires_s = desk.clock.now_s() + HOUR_S
    body = {"level": "verified", "provider": "registry", "expires_at": rfc3339(expires_s)}

    assert desk.programme.post(f"{path}/identity", body).status_code == 201

    shown = desk.programme.get(path).json()
    assert (shown["identity"], shown["identity_provider"]) == ("verified", "registry")
    assert shown["identity_expires_at"] == rfc3339(expires_s)
    desk.clock.advance_to(expires_s)
    assert desk.programme.get(path).json()["identity"] == "unverified"
    assert code_of(desk.programme.get("/v1/retailers/NONE")) == (404, "unknown_retailer")
    royal = {**body, "level": "royal"}
    assert code_of(desk.programme.post(f"{path}/identity", royal)) == (422, "unknown_identity_level")


def test_a_deposit_is_counted_once_however_often_it_is_sent(desk):
    body = {"amount_cents": 12_345, "reference": "wire 17"}

    first = desk.programme.post("/v1/reserve-deposits", body, key="k")
    again = desk.programme.post("/v1/reserve-deposits", body, key="k")

    assert first.status_code == again.status_code == 201
    assert first.json() == again.json()
    assert first.json()["reserve_micro_cad"] == 123_450_000
    assert first.json()["at"] == rfc3339(desk.clock.now_s())
    assert desk.books.ledger.rows([state.account_key(Asset.CAD, RESERVE)]) == [Account(123_450_000)]


def test_a_providers_word_makes_a_customer_verified_until_it_expires(desk):
    desk.books.accept(request(EnrollCustomer("customer-1", "saver")))
    body = {"level": "verified", "provider": "bank-id", "expires_at": "2031-07-01T00:00:00Z"}

    answer = desk.programme.post("/v1/customers/customer-1/identity", body)

    assert answer.status_code == 201
    assert answer.json()["expires_at"] == "2031-07-01T00:00:00Z"
    (customer,) = desk.books.ledger.rows([state.customer_key("customer-1")])
    assert isinstance(customer, Customer)
    assert (customer.identity, customer.identity_provider) == ("verified", "bank-id")


def test_an_identity_of_nobody_or_of_no_level_is_refused(desk):
    desk.books.accept(request(EnrollCustomer("customer-1", "saver")))
    body = {"level": "royal", "provider": "bank-id", "expires_at": "2031-07-01T00:00:00Z"}

    unknown = desk.programme.post("/v1/customers/nobody/identity", {**body, "level": "verified"})

    assert code_of(unknown) == (404, "unknown_customer")
    answer = desk.programme.post("/v1/customers/customer-1/identity", body)
    assert code_of(answer) == (422, "unknown_identity_level")


def test_an_event_is_told_to_every_unit_of_its_zone_and_to_no_other(desk):
    desk.register("unit-1", "unit-2")
    desk.register("unit-3", zone="ottawa")
    body = _event(desk, discharge_w=3_000, reserve_pct=20)

    answer = desk.programme.post("/v1/events", body)

    assert answer.status_code == 201
    assert answer.json()["state"] == "declared"
    (event,) = desk.books.ledger.rows([state.event_key("peak-1")])
    assert isinstance(event, Event)
    calls = [one for one in desk.instructions if isinstance(one, EventCall)]
    assert [call.device_id for call in calls] == ["unit-1", "unit-2"]
    assert {(call.id, call.start_s, call.end_s, call.discharge_w, call.reserve_pct) for call in calls} == {
        ("peak-1", event.start_s, event.end_s, 3_000, 20)
    }


def test_a_cancelled_event_is_taken_back_where_it_was_told(desk):
    desk.register("unit-1")
    desk.programme.post("/v1/events", _event(desk))

    answer = desk.programme.post("/v1/events/peak-1/cancel")

    assert (answer.status_code, answer.json()["state"]) == (200, "cancelled")
    told = desk.instructions[-1]
    assert isinstance(told, EventCancelled)
    assert (told.device_id, told.event) == ("unit-1", "peak-1")
    assert told.id != "peak-1"
    assert code_of(desk.programme.post("/v1/events/peak-1/cancel")) == (409, "invalid_state")


def test_a_declaration_sent_again_tells_the_units_again_and_declares_nothing(desk):
    desk.register("unit-1")
    body = _event(desk)
    first = desk.programme.post("/v1/events", body, key="k")

    again = desk.programme.post("/v1/events", body, key="k")

    assert again.json() == first.json()
    one, other = desk.instructions
    assert one == other


def test_units_are_told_before_the_answer_and_again_when_that_failed(desk):
    desk.register("unit-1")
    body = _event(desk)

    def crash(_: object) -> None:
        raise LedgerUnavailable("the process ended here")

    dying = Http(app_of(dataclasses.replace(desk.office, instruct=crash)), token=desk.token(Scope.PROGRAMME))
    assert dying.post("/v1/events", body, key="k").status_code == 503
    assert desk.programme.post("/v1/events", body, key="k").status_code == 201
    assert dying.post("/v1/events/peak-1/cancel", key="c").status_code == 503
    assert desk.programme.post("/v1/events/peak-1/cancel", key="c").status_code == 200

    assert [type(one) for one in desk.instructions] == [EventCall, EventCancelled]


def test_a_declaration_sent_again_after_the_cancellation_tells_nobody(desk):
    desk.register("unit-1")
    body = _event(desk)
    first = desk.programme.post("/v1/events", body, key="k")
    desk.programme.post("/v1/events/peak-1/cancel")

    again = desk.programme.post("/v1/events", body, key="k")

    assert again.json() == first.json()
    assert [type(one) for one in desk.instructions] == [EventCall, EventCancelled]


def test_events_that_cannot_be_are_refused(desk):
    now_s = desk.clock.now_s()
    desk.programme.post("/v1/events", _event(desk))

    assert code_of(desk.programme.post("/v1/events", _event(desk))) == (409, "event_exists")
    soon = _event(desk, id="soon", start_at=rfc3339(now_s + 119))
    assert code_of(desk.programme.post("/v1/events", soon)) == (422, "event_too_soon")
    backwards = _event(desk, id="backwards", end_at=rfc3339(now_s))
    assert code_of(desk.programme.post("/v1/events", backwards)) == (422, "invalid_event")
    assert code_of(desk.programme.post("/v1/events/other/cancel")) == (404, "unknown_event")
    assert code_of(desk.programme.post("/v1/events", _event(desk, id="a/b"))) == (422, "validation_failed")


def test_a_grid_signal_sent_twice_is_one_entry(desk):
    path = "/v1/grid-signals/2026-07-01T14:00:00Z"
    first = desk.programme.call("PUT", path, json={"intensity_mg_per_wh": 74})
    size = desk.books.ledger.head().size

    again = desk.programme.call("PUT", path, json={"intensity_mg_per_wh": 74})

    assert first.status_code == again.status_code == 200
    assert first.json() == again.json() == {"hour": "2026-07-01T14:00:00Z", "intensity_mg_per_wh": 74}
    assert desk.books.ledger.head().size == size
    assert desk.books.ledger.rows([state.signal_key(1_782_914_400)]) == [Signal(74)]


def test_a_grid_signal_can_be_replaced(desk):
    path = "/v1/grid-signals/2026-07-01T14:00:00Z"
    desk.programme.call("PUT", path, json={"intensity_mg_per_wh": 74})

    desk.programme.call("PUT", path, json={"intensity_mg_per_wh": 80})

    assert desk.books.ledger.rows([state.signal_key(1_782_914_400)]) == [Signal(80)]


def _event(desk: Desk, **changes: Any) -> dict[str, Any]:
    start_s = desk.clock.now_s() + HOUR_S
    event = {"id": "peak-1", "zone": "toronto", "start_at": rfc3339(start_s), "end_at": rfc3339(start_s + HOUR_S)}
    return {**event, **changes}
