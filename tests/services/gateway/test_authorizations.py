"""Purchases at a till: every move, asked once and twice, by its retailer and by others."""

import re
from typing import Final

import pytest

from contracts.commands import Request
from contracts.units import HOUR_S
from services.identity import Scope
from services.ledger.client import LedgerUnavailable, Outcome
from tests.services.customers.platform import NOON_S, Platform, Who

CENT: Final = 1_000_000


@pytest.fixture
def ann(platform: Platform) -> Who:
    who = platform.customer()
    platform.earn(who, 400)
    return who


@pytest.fixture
def shop(platform: Platform) -> Who:
    return platform.retailer("SHOP")


def test_a_sale_is_taken_at_once(platform, ann, shop):
    sold = shop.pay(ann.code(), 150, reference="order 7")

    assert sold.status_code == 201
    answer = sold.json()
    assert re.fullmatch("[0-9a-f]{32}", answer.pop("id"))
    assert answer == {
        "status": "captured",
        "terminal_id": "TILL1",
        "amount_cents": 150,
        "micro_sparks": 150 * CENT,
        "bonus_cents": 0,
        "captured_cents": 150,
        "refunded_cents": 0,
        "refunded_micro_sparks": 0,
        "created_at": "2026-07-06T16:00:00Z",
        "entry_index": platform.ledger.head().size - 1,
        "reference": "order 7",
    }
    assert ann.sparks()["balance_micro_sparks"] == 250 * CENT


def test_the_retailers_bonus_makes_it_cheaper_for_the_customer(platform, ann):
    shop = platform.retailer("GREEN", bonus_bp=2_500)

    answer = shop.pay(ann.code(), 199).json()

    assert (answer["micro_sparks"], answer["bonus_cents"]) == (159_200_000, 39)
    assert ann.sparks()["balance_micro_sparks"] == 400 * CENT - 159_200_000


def test_a_hold_is_captured_in_part_and_the_rest_released(ann, shop):
    held = shop.pay(ann.code(), 150, capture=False).json()
    assert (held["status"], held["expires_at"]) == ("authorized", "2026-07-06T18:00:00Z")
    assert (held["amount_cents"], held["captured_cents"]) == (150, 0)

    captured = shop.post(f"/v1/authorizations/{held['id']}/captures", {"amount_cents": 40})

    assert captured.status_code == 201
    answer = captured.json()
    assert (answer["status"], answer["amount_cents"], answer["micro_sparks"]) == ("captured", 40, 40 * CENT)
    assert answer["entry_index"] > held["entry_index"]
    sparks = ann.sparks()
    assert (sparks["held_micro_sparks"], sparks["available_micro_sparks"]) == (0, 360 * CENT)


@pytest.mark.parametrize(
    ("amount", "status", "paid_cents"), [({}, "captured", 150), ({"amount_cents": 0}, "released", 0)]
)
def test_a_capture_takes_all_unless_told_otherwise(ann, shop, amount, status, paid_cents):
    held = shop.pay(ann.code(), 150, capture=False).json()

    captured = shop.post(f"/v1/authorizations/{held['id']}/captures", amount).json()

    assert (captured["status"], captured["captured_cents"]) == (status, paid_cents)
    assert ann.sparks()["available_micro_sparks"] == (400 - paid_cents) * CENT


def test_a_hold_ends_exactly_at_its_expiry(platform, ann, shop):
    early, late = (shop.pay(ann.code(), 100, capture=False).json()["id"] for _ in range(2))
    platform.advance_to(NOON_S + 2 * HOUR_S - 1, shop)
    assert shop.post(f"/v1/authorizations/{early}/captures").status_code == 201

    platform.clock.advance_to(NOON_S + 2 * HOUR_S)

    for move in ("captures", "voids"):
        refused = shop.post(f"/v1/authorizations/{late}/{move}")
        assert (refused.status_code, refused.json()["code"]) == (409, "invalid_state"), move


def test_a_hold_that_has_ended_gives_everything_back(platform, ann, shop):
    held = shop.pay(ann.code(), 100, capture=False).json()["id"]
    platform.advance_to(NOON_S + 2 * HOUR_S, shop, ann)

    assert shop.get(f"/v1/authorizations/{held}").json()["status"] == "expired"
    assert ann.sparks()["available_micro_sparks"] == 400 * CENT


def test_a_void_undoes_a_hold_or_a_sale_of_today(platform, ann, shop):
    held = shop.pay(ann.code(), 100, capture=False).json()["id"]
    sold = shop.pay(ann.code(), 100).json()["id"]

    for authorization_id in (held, sold):
        voided = shop.post(f"/v1/authorizations/{authorization_id}/voids")
        assert (voided.status_code, voided.json()["status"]) == (201, "voided")
        assert shop.post(f"/v1/authorizations/{authorization_id}/voids").json()["code"] == "invalid_state"
    assert ann.sparks()["available_micro_sparks"] == 400 * CENT


def test_a_sale_of_yesterday_is_refunded_and_not_voided(platform, ann, shop):
    sold = shop.pay(ann.code(), 100).json()["id"]
    platform.advance_to(NOON_S + 12 * HOUR_S, shop)

    assert shop.post(f"/v1/authorizations/{sold}/voids").json()["code"] == "invalid_state"
    assert shop.post(f"/v1/authorizations/{sold}/refunds").json()["status"] == "refunded"


def test_refunds_add_up_to_the_sale_whatever_the_bonus(platform, ann):
    shop = platform.retailer("GREEN", bonus_bp=3_333)
    sold = shop.pay(ann.code(), 333).json()
    path = f"/v1/authorizations/{sold['id']}/refunds"

    parts = [shop.post(path, {"amount_cents": cents}).json() for cents in (1, 100, 31, 200)]
    rest = shop.post(path).json()

    assert {part["status"] for part in parts} == {"partially_refunded"}
    assert [part["refunded_cents"] for part in parts] == [1, 101, 132, 332]
    assert (rest["status"], rest["refunded_cents"]) == ("refunded", 333)
    assert rest["refunded_micro_sparks"] == sold["micro_sparks"]
    assert ann.sparks()["balance_micro_sparks"] == 400 * CENT
    assert shop.post(path, {"amount_cents": 1}).json()["code"] == "invalid_state"


REFUSED: Final = [
    ("hold", "captures", {"amount_cents": 151}, 422, "capture_above_hold"),
    ("hold", "captures", {"amount_cents": 10**30}, 422, "capture_above_hold"),
    ("hold", "captures", {"amount_cents": -1}, 422, "invalid_amount"),
    ("hold", "refunds", {}, 409, "invalid_state"),
    ("sale", "captures", {}, 409, "invalid_state"),
    ("sale", "refunds", {"amount_cents": 151}, 422, "refund_above_sale"),
    ("sale", "refunds", {"amount_cents": 10**30}, 422, "refund_above_sale"),
    ("sale", "refunds", {"amount_cents": 0}, 422, "invalid_amount"),
    ("sale", "refunds", {"amount_cents": -(10**30)}, 422, "invalid_amount"),
    ("sale", "refunds", {"amount_cents": "1"}, 422, "validation_failed"),
    ("sale", "refunds", {"amount_cents": 1.5}, 422, "validation_failed"),
    ("sale", "refunds", {"cents": 1}, 422, "validation_failed"),
    ("sale", "voids", {"amount_cents": 1}, 422, "validation_failed"),
    ("decline", "captures", {}, 409, "invalid_state"),
    ("decline", "voids", {}, 409, "invalid_state"),
    ("decline", "refunds", {}, 409, "invalid_state"),
]


def test_a_move_that_is_not_legal_changes_nothing(ann, shop):
    ids = {
        "hold": shop.pay(ann.code(), 150, capture=False).json()["id"],
        "sale": shop.pay(ann.code(), 150).json()["id"],
        "decline": shop.pay("0" * 18).json()["id"],
    }
    before = {name: shop.get(f"/v1/authorizations/{found}").content for name, found in ids.items()}

    for name, move, body, status, code in REFUSED:
        refused = shop.post(f"/v1/authorizations/{ids[name]}/{move}", body)
        assert (refused.status_code, refused.json()["code"]) == (status, code), (name, move, body)
        assert refused.headers["content-type"] == "application/problem+json"
    assert {name: shop.get(f"/v1/authorizations/{found}").content for name, found in ids.items()} == before


def test_a_refund_comes_too_late_after_365_days(platform, ann, shop):
    sold = shop.pay(ann.code(), 100).json()["id"]
    path = f"/v1/authorizations/{sold}/refunds"
    platform.advance_to(NOON_S + 365 * 24 * HOUR_S, shop)
    assert shop.post(path, {"amount_cents": 1}).status_code == 201

    platform.advance_to(NOON_S + 365 * 24 * HOUR_S + 1, shop)

    refused = shop.post(path, {"amount_cents": 1})
    assert (refused.status_code, refused.json()["code"]) == (422, "refund_too_late")


def test_a_frozen_customer_pays_nothing_new_but_an_old_hold_and_a_refund_still_count(ann, shop):
    held = shop.pay(ann.code(), 100, capture=False).json()["id"]
    sold = shop.pay(ann.code(), 100).json()["id"]
    ann.post("/v1/me/freeze")

    assert shop.pay(ann.code(), 100).json()["decline_reason"] == "customer_frozen"
    assert shop.post(f"/v1/authorizations/{held}/captures").json()["status"] == "captured"
    assert shop.post(f"/v1/authorizations/{sold}/refunds").json()["status"] == "refunded"


def test_a_repeat_is_answered_alike_even_if_the_purchase_has_moved_on(platform, ann, shop):
    code = ann.code()
    held = shop.pay(code, 150, key="hold", capture=False)
    path = f"/v1/authorizations/{held.json()['id']}"
    moves = [
        ("captures", {"amount_cents": 100}, shop.post(f"{path}/captures", {"amount_cents": 100}, key="k")),
        ("refunds", {"amount_cents": 30}, shop.post(f"{path}/refunds", {"amount_cents": 30}, key="k")),
        ("voids", {}, shop.post(f"{path}/voids", key="k")),
        ("refunds", {"amount_cents": 71}, shop.post(f"{path}/refunds", {"amount_cents": 71}, key="k2")),
        ("refunds", {}, shop.post(f"{path}/refunds", key="k3")),
    ]
    assert [answered.status_code for _, _, answered in moves] == [201, 201, 409, 422, 201]
    size = platform.ledger.head().size
    body = {"terminal_id": "TILL1", "checkout_code": code, "amount_cents": 150, "capture": False}

    again = shop.post("/v1/authorizations", body, key="hold")

    assert (again.status_code, again.content) == (201, held.content)
    for move, given, first in moves[:3]:
        keys = {"captures": "k", "refunds": "k", "voids": "k"}
        again = shop.post(f"{path}/{move}", given, key=keys[move])
        assert (again.status_code, again.content) == (first.status_code, first.content), move
    assert shop.post("/v1/authorizations", body | {"amount_cents": 151}, key="hold").json()["code"] == (
        "idempotency_key_reused"
    )
    assert shop.post(f"{path}/refunds", {"amount_cents": 31}, key="k").json()["code"] == "idempotency_key_reused"
    assert platform.ledger.head().size == size


def test_a_purchase_that_ends_in_422_leaves_its_key_free(ann, shop):
    sold = shop.pay(ann.code(), 100).json()["id"]
    path = f"/v1/authorizations/{sold}/refunds"

    assert shop.post(path, {"amount_cents": 101}, key="k").status_code == 422
    assert shop.post(path, {"amount_cents": 100}, key="k").status_code == 201


def test_a_purchase_is_shown_as_it_stands_with_the_entry_that_authorised_it(ann, shop):
    sold = shop.pay(ann.code(), 100).json()
    shop.post(f"/v1/authorizations/{sold['id']}/refunds", {"amount_cents": 1})

    shown = shop.get(f"/v1/authorizations/{sold['id']}")

    assert shown.status_code == 200
    changed = {"status": "partially_refunded", "refunded_cents": 1, "refunded_micro_sparks": CENT}
    assert shown.json() == sold | changed


def test_another_retailers_purchase_does_not_exist(platform, ann, shop):
    held = shop.pay(ann.code(), 100, capture=False).json()["id"]
    sold = shop.pay(ann.code(), 100).json()["id"]
    other = platform.retailer("OTHER")

    for authorization_id in (held, sold, "0" * 32, "x", "%00", "A" * 32):
        path = f"/v1/authorizations/{authorization_id}"
        answers = [other.get(path), *(other.post(f"{path}/{move}") for move in ("captures", "voids", "refunds"))]
        for answered in answers:
            assert answered.status_code == 404, (authorization_id, answered.text)
    assert shop.get(f"/v1/authorizations/{held}").json()["status"] == "authorized"
    assert shop.get(f"/v1/authorizations/{sold}").json()["status"] == "captured"


def test_every_call_is_for_a_till_with_a_token_that_is_good(platform, ann, shop):
    sold = shop.pay(ann.code(), 100).json()["id"]
    calls = [
        ("POST", "/v1/authorizations", {"terminal_id": "TILL1", "amount_cents": 1, "checkout_code": "0"}),
        ("GET", f"/v1/authorizations/{sold}", None),
        *(("POST", f"/v1/authorizations/{sold}/{move}", {}) for move in ("captures", "voids", "refunds")),
    ]
    strangers = [
        ({}, 401, "unauthorized"),
        ({"Authorization": "Bearer x"}, 401, "unauthorized"),
        (ann.headers, 403, "forbidden"),
        (platform.client("fleet", Scope.FLEET, Scope.PROGRAMME, Scope.AUDITOR).headers, 403, "forbidden"),
    ]
    no_shop = platform.client("no-shop", Scope.RETAILER)

    for method, path, body in calls:
        for headers, status, code in strangers:
            answered = platform.call(method, path, headers=headers | {"Idempotency-Key": "k"}, json=body)
            assert (answered.status_code, answered.json()["code"]) == (status, code), (path, code)
        if method == "POST":
            missing = platform.call(method, path, headers=shop.headers, json=body)
            assert (missing.status_code, missing.json()["code"]) == (400, "idempotency_key_missing"), path
            assert no_shop.post(path, body).json()["code"] == "forbidden"
    assert no_shop.get(f"/v1/authorizations/{sold}").status_code == 404


def test_a_client_whose_shop_is_not_admitted_sells_nothing(platform):
    answered = platform.client("early", Scope.RETAILER, retailer_id="NOSHOP").pay("0" * 18)

    assert (answered.status_code, answered.json()["code"]) == (404, "unknown_retailer")


def test_two_sales_race_for_one_code_and_one_wins(platform, ann, shop):
    code = ann.code()
    body = {"terminal_id": "TILL1", "amount_cents": 10, "checkout_code": code}
    calls = [
        ("POST", "/v1/authorizations", {"headers": shop.headers | {"Idempotency-Key": f"race-{n}"}, "json": body})
        for n in range(8)
    ]

    answers = [answered.json() for answered in platform.call_together(calls)]

    assert sorted(answer["status"] for answer in answers) == ["captured", *["declined"] * 7]
    assert {answer.get("decline_reason", "code_used") for answer in answers} == {"code_used"}
    assert ann.sparks()["balance_micro_sparks"] == 390 * CENT


def test_two_sales_race_for_the_last_sparks_and_one_wins(platform, ann, shop):
    calls = []
    for number in range(4):
        body = {"terminal_id": "TILL1", "amount_cents": 300, "checkout_code": ann.code()}
        headers = shop.headers | {"Idempotency-Key": f"race-{number}"}
        calls.append(("POST", "/v1/authorizations", {"headers": headers, "json": body}))

    answers = [answered.json() for answered in platform.call_together(calls)]

    assert sorted(answer["status"] for answer in answers) == ["captured", *["declined"] * 3]
    assert {answer.get("decline_reason") for answer in answers} == {None, "insufficient_sparks"}
    assert ann.sparks()["balance_micro_sparks"] == 100 * CENT


def test_the_same_sale_sent_many_times_at_once_is_one_sale(platform, ann, shop):
    body = {"terminal_id": "TILL1", "amount_cents": 10, "checkout_code": ann.code()}
    call = ("POST", "/v1/authorizations", {"headers": shop.headers | {"Idempotency-Key": "k"}, "json": body})

    answers = platform.call_together([call] * 8)

    assert {answered.status_code for answered in answers} <= {201, 409}
    assert len({answered.content for answered in answers if answered.status_code == 201}) == 1
    assert ann.sparks()["balance_micro_sparks"] == 390 * CENT


@pytest.mark.parametrize("breaks", ["before the commit", "after the commit"])
def test_a_sale_whose_answer_was_lost_is_asked_again_and_made_once(platform, ann, shop, monkeypatch, breaks):
    code, ask = ann.code(), platform.ledger.ask

    async def broken(request: Request) -> Outcome:
        if breaks == "after the commit":
            await ask(request)
        raise LedgerUnavailable("the connection broke")

    with monkeypatch.context() as patched:
        patched.setattr(platform.ledger, "ask", broken)
        lost = shop.pay(code, 100, key="k")
    assert (lost.status_code, lost.json()["code"]) == (503, "ledger_unavailable")
    assert int(lost.headers["Retry-After"]) >= 1

    again = shop.pay(code, 100, key="k")

    assert (again.status_code, again.json()["status"]) == (201, "captured")
    assert ann.sparks()["balance_micro_sparks"] == 300 * CENT
