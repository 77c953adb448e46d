"""A customer leaves: the account closes, everything about them is erased, and each copy of the ledger says so."""

import hashlib
import threading
from dataclasses import replace
from typing import Any

import pytest

from contracts import approvals, state
from contracts.approvals import GOVERN
from contracts.commands import EraseCustomer, Request
from contracts.governed import AdmitMember
from contracts.state import Customer
from contracts.wire import erasures, signatures
from contracts.wire.erasures import OPERATOR, ErasureReceipt
from services.customers import departures as leaving
from services.customers import people
from services.customers.departures import Departures, Finishing
from services.database import DatabaseUnavailable, reading, transaction
from services.encoding import bytes_of, text_of
from services.keys import Use
from services.ledger.client import LedgerUnavailable
from services.setaside import quarantine
from services.setaside.quarantine import Aside
from tests.contracts.members import a_key, a_seed
from tests.services.customers.platform import NOON_S, PASSWORD, Platform, Who
from tests.services.gateway.test_finality import co_sign_all, co_sign_newest
from tests.services.ledger.takeover import wait_until

ORIGIN = "sparks.example/ledger"
DAY_S = 86_400


def left(who: Who, **body: str) -> dict[str, Any]:
    answered = who.delete("/v1/me", body or None)
    assert answered.status_code == 200, answered.text
    document: dict[str, Any] = answered.json()
    return document


def problem(answered) -> tuple[int, str]:
    return answered.status_code, answered.json()["code"]


def departures_of(platform: Platform) -> Departures:
    return Departures(platform.engine, platform.ledger, platform.clock, platform.keys, origin=ORIGIN, backup_days=35)


def test_who_leaves_gets_a_final_statement_and_is_forgotten(platform):
    ann, shop = platform.customer(name="ann"), platform.retailer()
    platform.earn(ann, 400)
    shop.pay(ann.code(), 100)
    email = ann.get("/v1/me").json()["email"]

    told = left(ann)

    assert told["state"] == "erased"
    statement = told["final_statement"]
    assert (statement["balance_micro_sparks"], statement["paid_out_cents"]) == (300_000_000, 300)
    assert (statement["lifetime_micro_sparks"], statement["lapsed_micro_sparks"]) == (400_000_000, 0)
    assert len(statement["devices_left"]) == 1
    assert people.by_email(platform.engine, email) is None
    again = platform.call("POST", "/v1/sessions", json={"email": email, "password": PASSWORD})
    assert problem(again) == (401, "wrong_credentials")
    assert platform.call("GET", f"/v1/erasures/{told['erasure_id']}").json() == told
    assert left(ann) == told


def test_what_is_left_may_go_to_another_customer_whole(platform):
    ann, bob = platform.customer(name="ann"), platform.customer(name="bob")
    platform.earn(ann, 200)

    statement = left(ann, transfer_to=bob.id)["final_statement"]

    assert (statement["transferred_micro_sparks"], statement["paid_out_cents"]) == (200_000_000, 0)
    assert bob.sparks()["balance_micro_sparks"] == 200_000_000
    (line,) = bob.get("/v1/me/sparks/entries").json()["items"]
    assert (line["kind"], line["micro_sparks"]) == ("received", 200_000_000)


def test_nobody_leaves_with_an_open_hold(platform):
    ann, shop = platform.customer(name="ann"), platform.retailer()
    platform.earn(ann, 200)
    held = shop.pay(ann.code(), 100, capture=False).json()["id"]

    assert problem(ann.delete("/v1/me")) == (409, "invalid_state")

    assert ann.sparks()["held_micro_sparks"] == 100_000_000
    assert shop.post(f"/v1/authorizations/{held}/voids").status_code == 201
    assert left(ann)["final_statement"]["paid_out_cents"] == 200


def test_a_recipient_who_is_not_there_changes_nothing(platform):
    ann = platform.customer(name="ann")

    assert problem(ann.delete("/v1/me", {"transfer_to": "nobody"})) == (422, "unknown_recipient")
    assert ann.get("/v1/me").status_code == 200


def test_a_closed_account_is_told_so_whatever_it_asks(platform):
    ann, shop = platform.customer(name="ann"), platform.retailer()
    platform.earn(ann, 200)
    sale = shop.pay(ann.code(), 100).json()["id"]
    left(ann)

    closed = (409, "customer_closed")
    for path in ("/v1/me", "/v1/me/sparks", "/v1/me/sparks/entries", "/v1/me/devices", "/v1/me/energy"):
        assert problem(ann.get(path)) == closed
    assert problem(ann.patch("/v1/me", {"participation_level": "partner"})) == closed
    assert problem(ann.post("/v1/me/checkout-codes", {})) == closed
    assert problem(ann.post("/v1/me/freeze")) == closed
    assert problem(ann.post("/v1/me/devices", {"claim_code": platform.unit("unit-9")})) == closed
    assert problem(shop.post(f"/v1/authorizations/{sale}/refunds", {"amount_cents": 50})) == closed
    assert shop.get(f"/v1/authorizations/{sale}").json()["status"] == "captured"


def test_an_e_mail_that_was_forgotten_can_enrol_again_as_somebody_else(platform):
    ann = platform.customer(name="ann")
    body = {
        "email": ann.get("/v1/me").json()["email"],
        "password": PASSWORD,
        "name": "Ann",
        "postal_code": "M5V 3L9",
        "language": "en",
        "consent": True,
    }
    left(ann)

    assert platform.call("POST", "/v1/customers", json=body).json()["customer_id"] != ann.id


def test_what_the_customer_s_units_said_aside_is_removed(platform):
    ann = platform.customer(name="ann")
    platform.earn(ann, 200)
    (device,) = ann.get("/v1/me/devices").json()["items"]
    now_s = platform.clock.now_s()
    with transaction(platform.engine) as session:
        for number, seen_s in enumerate((now_s - 30 * DAY_S, now_s)):
            raw = bytes([number])
            quarantine.put_aside(
                session.connection(),
                [
                    Aside(
                        device_id=device["device_id"],
                        sha256=hashlib.sha256(raw).digest(),
                        reason="bad_signature",
                        raw=raw,
                        size_bytes=1,
                        seen_s=seen_s,
                    )
                ],
            )

    left(ann)

    with reading(platform.engine) as session:
        assert [row.raw for row in quarantine.find(session.connection())] == [b"\0"]  # from before the claim


def test_the_operator_signs_that_it_has_erased_and_until_when_backups_last(platform):
    ann = platform.customer(name="ann")
    told = left(ann)

    (receipt,) = told["receipts"]
    data, signature = bytes_of(receipt["receipt"]), bytes_of(receipt["signature"])
    assert data is not None
    assert signature is not None
    assert signatures.verify(platform.keys.public_key(Use.RECEIPTS), data, signature)
    said = erasures.from_bytes(data)
    assert (said.who, said.origin, said.index) == (OPERATOR, ORIGIN, told["entry_index"])
    assert said.customer_hash == hashlib.sha256(ann.id.encode()).digest()
    assert said.backups_expire_s - said.erased_s == 35 * DAY_S
    assert told["waiting_for"] == []


# Members


def a_member(platform: Platform, name: str = "auditor") -> bytes:
    """Admit the first member; the seed that it signs with."""
    seed = a_seed(f"{name} {GOVERN}")
    keys = (a_key(name, f"{name} {GOVERN}", from_s=NOON_S),)
    command = AdmitMember(0, name, name, "auditor", "", f"{name}.example/all", keys, ())
    signature = signatures.sign(seed, approvals.approve_bytes(ORIGIN, command))
    platform.do(replace(command, approvals=((name, signature),)))
    return seed


def said(told: dict[str, Any], ann: Who, **given) -> ErasureReceipt:
    fields = {
        "origin": ORIGIN,
        "index": told["entry_index"],
        "customer_hash": hashlib.sha256(ann.id.encode()).digest(),
        "erased_s": NOON_S,
        "backups_expire_s": NOON_S + DAY_S,
        "who": "auditor",
    }
    return ErasureReceipt(**(fields | given))


def put(platform: Platform, receipt: ErasureReceipt, seed: bytes, *, who: str = "auditor"):
    body = {"receipt": text_of(erasures.to_bytes(receipt)), "signature": text_of(erasures.sign(receipt, seed))}
    return platform.call("PUT", f"/v1/erasures/{receipt.index}/receipts/{who}", json=body)


def test_a_member_that_has_erased_is_waited_for_no_longer(platform):
    ann, seed = platform.customer(name="ann"), a_member(platform)
    told = left(ann)
    assert told["waiting_for"] == ["auditor"]

    assert put(platform, said(told, ann), seed).status_code == 204
    assert put(platform, said(told, ann, erased_s=1), seed).status_code == 204  # its first word stays

    told = left(ann)
    assert told["waiting_for"] == []
    assert {receipt["who"]: receipt["erased_at"] for receipt in told["receipts"]}["auditor"] == "2026-07-06T16:00:00Z"


@pytest.mark.parametrize(
    ("given", "seed", "who", "expected"),
    [
        ({}, "another", "auditor", (401, "unauthorized")),
        ({"who": "nobody"}, "auditor", "nobody", (401, "unauthorized")),
        ({"who": "operator"}, "auditor", "auditor", (400, "malformed_body")),
        ({"origin": "elsewhere/ledger"}, "auditor", "auditor", (400, "malformed_body")),
        ({"customer_hash": bytes(32)}, "auditor", "auditor", (404, "not_found")),
        ({"index": 1}, "auditor", "auditor", (404, "not_found")),
    ],
)
def test_a_receipt_that_is_not_the_member_s_for_this_erasure_is_refused(platform, given, seed, who, expected):
    ann = platform.customer(name="ann")
    a_member(platform)
    told = left(ann)

    assert problem(put(platform, said(told, ann, **given), a_seed(f"{seed} {GOVERN}"), who=who)) == expected


def test_what_is_no_receipt_is_refused(platform):
    answered = platform.call("PUT", "/v1/erasures/5/receipts/x", json={"receipt": "!", "signature": ""})

    assert problem(answered) == (400, "malformed_body")
    assert problem(platform.call("GET", "/v1/erasures/none")) == (404, "not_found")


def is_done(platform: Platform, who: Who) -> bool:
    departure = departures_of(platform).of(who.id)
    return departure is not None and departure.done_s is not None


# Members that co-sign


def test_where_members_co_sign_nothing_is_erased_that_they_have_not_executed(platform):
    ann = platform.customer(name="ann")
    platform.earn(ann, 200)
    co_sign_all(platform)  # of what is there now; the end of the account is not

    told = left(ann)
    assert (told["state"], told["entry_index"]) == ("erasing", None)
    assert people.by_id(platform.engine, ann.id) is None
    departures_of(platform).finish()
    assert left(ann)["state"] == "erasing"

    co_sign_newest(platform)
    departures_of(platform).finish()

    assert left(ann)["state"] == "erased"
    assert left(ann)["entry_index"] == platform.ledger.head().size - 1


def test_a_quorum_that_is_missing_delays_an_erasure_for_two_weeks_only(platform):
    ann = platform.customer(name="ann")
    co_sign_all(platform)
    assert left(ann)["state"] == "erasing"

    platform.clock.advance_to(platform.clock.now_s() + leaving.FINAL_WAIT_S_MAX)
    departures_of(platform).finish()

    assert is_done(platform, ann)


# Cut off


@pytest.mark.parametrize("happened", [False, True], ids=["it failed", "it failed but happened"])
@pytest.mark.parametrize("step", ["_close", "_forget", "_erase", "_receipt"])
def test_a_departure_that_was_cut_off_anywhere_is_finished_by_the_next_process(
    sqlite_platform, monkeypatch, step, happened
):
    platform = sqlite_platform
    ann = platform.customer(name="ann")
    platform.earn(ann, 200)
    done = getattr(Departures, step)

    def cut_off(self, *arguments):
        if happened:
            done(self, *arguments)
        raise LedgerUnavailable("cut off")

    with monkeypatch.context() as broken:
        broken.setattr(Departures, step, cut_off)
        assert problem(ann.delete("/v1/me")) == (503, "ledger_unavailable")

    finishing = Finishing(departures_of(platform))
    finishing.start()
    wait_until(lambda: is_done(platform, ann))
    finishing.stop()

    told = left(ann)
    assert told["state"] == "erased"
    assert told["final_statement"]["paid_out_cents"] == 200
    assert people.by_id(platform.engine, ann.id) is None
    (customer,) = platform.ledger.rows([state.customer_key(ann.id)])
    assert isinstance(customer, Customer)
    assert customer.closed_s > 0


def test_finishing_waits_for_a_ledger_that_is_not_there_yet(sqlite_platform, monkeypatch):
    ann = sqlite_platform.customer(name="ann")
    departures = departures_of(sqlite_platform)
    departures._begin(ann.id, None)
    answers = iter([LedgerUnavailable("not yet"), DatabaseUnavailable("nor this")])
    is_there = threading.Event()

    def finish() -> None:
        error = next(answers, None)
        if error is not None:
            raise error
        is_there.set()

    monkeypatch.setattr(leaving, "RETRY_S", 0.01)
    monkeypatch.setattr(departures, "finish", finish)
    finishing = Finishing(departures)
    finishing.start()

    assert is_there.wait(30)
    finishing.stop()


def test_one_that_is_refused_when_it_is_finished_is_given_up(sqlite_platform):
    ann, shop = sqlite_platform.customer(name="ann"), sqlite_platform.retailer()
    sqlite_platform.earn(ann, 200)
    departures = departures_of(sqlite_platform)
    departures._begin(ann.id, None)
    shop.pay(ann.code(), 100, capture=False)

    departures.finish()

    assert departures.of(ann.id) is None
    assert ann.sparks()["balance_micro_sparks"] == 200_000_000


def test_a_unit_that_goes_on_measuring_does_not_keep_anybody_from_leaving(sqlite_platform, monkeypatch):
    platform = sqlite_platform
    ann = platform.customer(name="ann")
    platform.earn(ann, 200)
    submit, stale = platform.ledger.submit, iter([True, True])

    def moved(requests: list[Request]):
        command = requests[0].command
        if isinstance(command, EraseCustomer) and next(stale, False):
            (key, data), *rows = command.rows
            requests = [replace(requests[0], command=replace(command, rows=((key, data + b"\0"), *rows)))]
        return submit(requests)

    monkeypatch.setattr(type(platform.ledger), "submit", lambda self, requests: moved(requests))

    assert left(ann)["state"] == "erased"
