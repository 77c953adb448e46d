"""Why a till is told no: each reason, which comes first, what burns a code, how limits are counted."""

from typing import Any, Final

import pytest

from contracts.checkout import Authorize
from contracts.commands import AttestIdentity
from contracts.redemption import Decline
from contracts.units import HOUR_S
from tests.services.customers.platform import FOR_EVER_S, NOON_S, Platform, Who

CODE_S: Final = 300


def reason(shop: Who, code: str, amount_cents: int = 100, **given: Any) -> str | None:
    answered = shop.pay(code, amount_cents, **given)
    assert answered.status_code == 201, answered.text
    answer = answered.json()
    assert (answer["status"] == "declined") == ("decline_reason" in answer)
    if answer["status"] == "declined":
        assert (answer["micro_sparks"], answer["bonus_cents"], answer["captured_cents"]) == (0, 0, 0)
        assert "expires_at" not in answer
    told: str | None = answer.get("decline_reason")
    return told


def test_reasons_come_in_their_order_of_precedence(platform):
    """One purchase gets one flaw more each time, the weakest first: each new reason hides those before it."""
    ann, shop = platform.customer(), platform.retailer()
    platform.earn(ann, 400)
    used = ann.code()
    assert reason(shop, used) is None
    told = [reason(shop, ann.code(), 301)]
    told.append(reason(shop, ann.code(), 10_001))
    platform.do(AttestIdentity(ann.id, "unverified", "", FOR_EVER_S))
    told.append(reason(shop, ann.code(), 10_001))
    ann.post("/v1/me/freeze")
    told.append(reason(shop, ann.code(), 10_001))
    told.append(reason(shop, used, 10_001))
    platform.clock.advance_to(NOON_S + CODE_S)
    told.append(reason(shop, used, 10_001))
    told.append(reason(shop, "0" * 18, 10_001))
    told.append(reason(shop, "0" * 18, 0))
    told.append(reason(shop, "0" * 18, 0, terminal_id="TILL9"))

    # No command suspends a retailer yet, so the first reason of all is not among them.
    assert told == list(reversed(Decline))[:-1]


INVALID_AMOUNTS: Final = (0, -1, 100_000_000, 2**31, 2**63, 2**64, -(2**64), 10**30, -(10**400))


def test_any_integer_is_answered_and_shown_again(platform):
    shop = platform.retailer()
    code = platform.customer().code()

    for amount_cents in INVALID_AMOUNTS:
        answered = shop.pay(code, amount_cents, key=f"{hash(amount_cents)}")
        answer = answered.json()
        assert (answered.status_code, answer["decline_reason"]) == (201, "amount_invalid"), amount_cents
        assert answer["amount_cents"] == amount_cents
        assert shop.get(f"/v1/authorizations/{answer['id']}").json() == answer
        assert shop.pay(code, amount_cents, key=f"{hash(amount_cents)}").content == answered.content
    assert reason(shop, code, 99_999_999) == Decline.OVER_LIMIT


@pytest.mark.parametrize(
    "wrong",
    [
        {"amount_cents": "100"},
        {"amount_cents": 1.5},
        {"amount_cents": True},
        {"amount_cents": None},
        {"capture": "yes"},
        {"capture": 1},
        {"terminal_id": 1},
        {"terminal_id": "T" * 65},
        {"checkout_code": 402918374650192834},
        {"reference": "x" * 141},
        {"reference": "\0"},
        {"tip_cents": 5},
    ],
    ids=str,
)
def test_what_is_no_purchase_at_all_is_a_problem_and_leaves_no_entry(a_shop, wrong):
    size = a_shop.platform.ledger.head().size

    answered = a_shop.pay("0" * 18, **wrong)

    assert (answered.status_code, answered.json()["code"]) == (422, "validation_failed")
    assert answered.json()["fields"][0]["field"] == next(iter(wrong))
    assert a_shop.platform.ledger.head().size == size


@pytest.mark.parametrize("code", ["", "0", "x" * 64, "é", "9" * 19, " 4029", "402918374650192834\n"], ids=repr)
def test_a_code_that_nobody_was_given_is_unknown(a_shop, code):
    assert reason(a_shop, code) == Decline.CODE_UNKNOWN


def test_a_code_is_good_for_one_approval(platform):
    ann, shop = platform.customer(), platform.retailer()
    platform.earn(ann, 400)
    code = ann.code()

    assert reason(shop, code) is None
    assert reason(shop, code) == Decline.CODE_USED


def test_a_code_ends_exactly_after_five_minutes(platform):
    ann, shop = platform.customer(), platform.retailer()
    platform.earn(ann, 400)
    in_time, too_late = ann.code(), ann.code()
    platform.clock.advance_to(NOON_S + CODE_S - 1)
    assert reason(shop, in_time) is None

    platform.clock.advance_to(NOON_S + CODE_S)

    assert reason(shop, too_late) == Decline.CODE_EXPIRED


def test_the_third_decline_that_is_the_customers_burns_a_code_and_others_do_not(platform):
    ann, shop = platform.customer(), platform.retailer()
    platform.earn(ann, 400)
    code = ann.code()
    for _ in range(5):
        assert reason(shop, code, 0) == Decline.AMOUNT_INVALID
        assert reason(shop, code, terminal_id="TILL9") == Decline.TERMINAL_UNKNOWN
    assert reason(shop, code, 10_001) == Decline.OVER_LIMIT
    assert reason(shop, code, 401) == Decline.INSUFFICIENT_SPARKS
    good_again = ann.code()
    assert [reason(shop, good_again, 401) for _ in range(2)] == [Decline.INSUFFICIENT_SPARKS] * 2
    assert reason(shop, good_again, 400 - 300) is None

    assert reason(shop, code, 10_001) == Decline.OVER_LIMIT

    assert reason(shop, code, 100) == Decline.CODE_USED


def test_a_code_is_for_no_more_than_its_customer_said(platform):
    ann, shop = platform.customer(), platform.retailer()
    platform.earn(ann, 400)
    code = ann.code(max_cents=100)

    assert reason(shop, code, 101) == Decline.OVER_LIMIT
    assert reason(shop, code, 100) is None


def test_an_identity_is_needed_until_it_expires(platform):
    ann, shop = platform.customer(identity="unverified"), platform.retailer()
    platform.earn(ann, 400)
    assert reason(shop, ann.code()) == Decline.IDENTITY_REQUIRED

    platform.do(AttestIdentity(ann.id, "verified", "bank", NOON_S + 60))

    assert reason(shop, ann.code()) is None
    platform.clock.advance_to(NOON_S + 60)
    assert reason(shop, ann.code()) == Decline.IDENTITY_REQUIRED


@pytest.fixture
def rich(platform: Platform) -> Who:
    """A verified customer with 1,200 dollars, earned by 20 units in 30 days."""
    who = platform.customer(identity="verified")
    for _ in range(20):
        platform.earn(who, 6_000)
    return who


def test_a_verified_customer_spends_500_dollars_a_day_and_refunds_make_room(platform, rich):
    shop = platform.retailer()
    held = shop.pay(rich.code(max_cents=30_000), 30_000, capture=False).json()
    sold = shop.pay(rich.code(max_cents=20_000), 20_000).json()
    assert (held["status"], sold["status"]) == ("authorized", "captured")
    assert reason(shop, rich.code(), 1) == Decline.OVER_LIMIT

    shop.post(f"/v1/authorizations/{held['id']}/captures", {"amount_cents": 29_999})
    assert reason(shop, rich.code(), 2) == Decline.OVER_LIMIT
    assert reason(shop, rich.code(), 1) is None
    shop.post(f"/v1/authorizations/{sold['id']}/refunds", {"amount_cents": 50})
    assert reason(shop, rich.code(), 51) == Decline.OVER_LIMIT
    assert reason(shop, rich.code(), 50) is None
    shop.post(f"/v1/authorizations/{sold['id']}/refunds")
    assert reason(shop, rich.code(max_cents=20_000), 19_950) is None
    assert reason(shop, rich.code(), 1) == Decline.OVER_LIMIT

    platform.advance_to(NOON_S + 12 * HOUR_S - 1, shop, rich)
    assert reason(shop, rich.code(), 1) == Decline.OVER_LIMIT
    platform.advance_to(NOON_S + 12 * HOUR_S, shop, rich)
    assert reason(shop, rich.code(), 100) is None


def test_a_decline_is_on_the_ledger_with_the_till_and_what_was_asked(platform):
    shop = platform.retailer()

    answer = shop.pay("0" * 18, 100, reference="order 7").json()

    entry = platform.ledger.entry(answer["entry_index"])
    assert entry is not None
    assert entry.kind == Authorize.KIND
    assert (entry.command["terminal_id"], entry.command["reference"]) == ("TILL1", "order 7")
    assert entry.postings == ()
