"""Sparks at a till: sales, holds, refunds and every decline that a stranger can cause."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from itertools import count

import pytest

from services.clock import SimulatedClock
from tests.story.outsider.api import problem
from tests.story.outsider.conftest import MONDAY_NOON_S
from tests.story.outsider.packs import Flows
from tests.story.outsider.rewards import CAP_MICRO_SPARKS
from tests.story.outsider.stage import Home, Shop, Stage

CENT = 1_000_000
"""Micro-sparks for a cent, where the retailer adds nothing."""
BRIGHT = [Flows(pv=90_000, load=90_000)] * 5
UNKNOWN_CODE = "123456789012345678"
_names = count(1)


@pytest.fixture
def shop(stage: Stage) -> Shop:
    return stage.shop(f"TILL{next(_names)}")


@pytest.fixture
def rich(stage: Stage) -> Iterator[Home]:
    """Somebody verified, with a day's cap of sparks: 200 cents."""
    with stage.home(f"rich-{next(_names)}") as home:
        stage.attest(home.customer_id)
        home.unit.send(BRIGHT)
        home.unit.receipt_of(1)
        assert home.sparks()["available_micro_sparks"] == CAP_MICRO_SPARKS
        yield home


def luhn_is_right(digits: str) -> bool:
    doubled = [int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(digits))]
    return sum(digit // 10 + digit % 10 for digit in doubled) % 10 == 0


def test_a_checkout_code_is_a_pan_without_its_nine(rich: Home) -> None:
    answer = rich.customer.posted("/v1/me/checkout-codes")

    assert len(answer["code"]) == 18 and answer["code"].isdigit()
    assert luhn_is_right("9" + answer["code"])
    assert answer["expires_at"] == "2026-07-06T16:05:00Z"


def test_a_sale_in_one_message_takes_the_sparks(rich: Home, shop: Shop) -> None:
    sold = shop.authorize(150, rich.checkout_code(), reference="receipt 7")
    sparks, entries = rich.sparks(), rich.entries()

    assert (sold["status"], sold["micro_sparks"], sold["bonus_cents"]) == ("captured", 150 * CENT, 0)
    assert shop.api.got(f"/v1/authorizations/{sold['id']}") == sold
    assert sparks["balance_micro_sparks"] == sparks["available_micro_sparks"] == CAP_MICRO_SPARKS - 150 * CENT
    assert (sparks["held_micro_sparks"], sparks["value_cents"]) == (0, 50)
    assert sparks["lifetime_micro_sparks"] == CAP_MICRO_SPARKS
    assert [entry["micro_sparks"] for entry in entries] == [-150 * CENT, CAP_MICRO_SPARKS]
    assert (entries[0]["index"], entries[0]["retailer"]) == (sold["entry_index"], shop.retailer_id)


def test_a_hold_is_captured_in_part_and_refunded_in_parts(rich: Home, shop: Shop) -> None:
    held = shop.authorize(120, rich.checkout_code(), capture=False)
    while_held = rich.sparks()
    above = shop.move(held["id"], "captures", 121)
    captured = shop.move(held["id"], "captures", 70)
    after = rich.sparks()
    again = shop.move(held["id"], "captures", 10)
    partly = shop.move(held["id"], "refunds", 30)
    too_much = shop.move(held["id"], "refunds", 41)
    wholly = shop.move(held["id"], "refunds", 40)
    once_more = shop.move(held["id"], "refunds", 1)

    assert (held["status"], held["expires_at"]) == ("authorized", "2026-07-06T18:00:00Z")
    assert while_held["held_micro_sparks"] == 120 * CENT
    assert while_held["balance_micro_sparks"] == CAP_MICRO_SPARKS
    assert while_held["available_micro_sparks"] == CAP_MICRO_SPARKS - 120 * CENT
    assert problem(above) == (422, "capture_above_hold")
    assert (captured.status_code, captured.json()["status"]) == (201, "captured")
    assert (after["held_micro_sparks"], after["balance_micro_sparks"]) == (0, CAP_MICRO_SPARKS - 70 * CENT)
    assert problem(again) == (409, "invalid_state")
    assert (partly.status_code, partly.json()["status"]) == (201, "partially_refunded")
    assert problem(too_much) == (422, "refund_above_sale")
    assert (wholly.status_code, wholly.json()["status"]) == (201, "refunded")
    assert problem(once_more) == (409, "invalid_state")
    assert rich.sparks()["balance_micro_sparks"] == CAP_MICRO_SPARKS
    assert sum(entry["micro_sparks"] for entry in rich.entries()) == CAP_MICRO_SPARKS


@pytest.mark.parametrize("capture", [True, False])
def test_a_void_gives_everything_back(rich: Home, shop: Shop, capture: bool) -> None:
    sold = shop.authorize(90, rich.checkout_code(), capture=capture)
    voided = shop.move(sold["id"], "voids")

    assert (voided.status_code, voided.json()["status"]) == (201, "voided")
    assert rich.sparks()["available_micro_sparks"] == CAP_MICRO_SPARKS
    assert problem(shop.move(sold["id"], "refunds", 1)) == (409, "invalid_state")
    assert problem(shop.move(sold["id"], "voids")) == (409, "invalid_state")


def test_a_capture_of_nothing_releases_the_hold(rich: Home, shop: Shop) -> None:
    held = shop.authorize(90, rich.checkout_code(), capture=False)
    assert shop.move(held["id"], "captures", 0).status_code == 201
    assert rich.sparks()["available_micro_sparks"] == CAP_MICRO_SPARKS


def test_a_sale_asked_twice_is_one_sale(rich: Home, shop: Shop) -> None:
    body = {"terminal_id": shop.terminal_id, "amount_cents": 10, "checkout_code": rich.checkout_code()}
    first, again = (shop.api.post("/v1/authorizations", body, key="one-sale") for _ in range(2))
    other = shop.api.post("/v1/authorizations", body | {"amount_cents": 11}, key="one-sale")
    refunds = [
        shop.api.post(f"/v1/authorizations/{first.json()['id']}/refunds", {"amount_cents": 4}, key="one-refund")
        for _ in range(2)
    ]

    assert (first.status_code, again.status_code) == (201, 201)
    assert first.content == again.content
    assert problem(other) == (422, "idempotency_key_reused")
    assert refunds[0].content == refunds[1].content
    assert rich.sparks()["balance_micro_sparks"] == CAP_MICRO_SPARKS - 6 * CENT


def test_a_till_that_asks_many_times_at_once_sells_once(rich: Home, shop: Shop) -> None:
    body = {"terminal_id": shop.terminal_id, "amount_cents": 10, "checkout_code": rich.checkout_code()}
    with ThreadPoolExecutor(8) as tills:
        answers = list(tills.map(lambda _: shop.api.post("/v1/authorizations", body, key="impatient"), range(8)))
    sold = {answer.content for answer in answers if answer.status_code == 201}

    assert len(sold) == 1
    assert {problem(answer) for answer in answers if answer.status_code != 201} <= {(409, "request_in_progress")}
    assert rich.sparks()["balance_micro_sparks"] == CAP_MICRO_SPARKS - 10 * CENT


def test_any_amount_is_answered(rich: Home, shop: Shop) -> None:
    code = rich.checkout_code()
    for amount_cents in (0, -1, 100_000_000, 10**30, -(10**30)):
        assert shop.decline_reason(amount_cents, code) == "amount_invalid"


def test_declines_name_the_first_reason(rich: Home, shop: Shop, stage: Stage) -> None:
    _, stranger = stage.enrolled(f"unverified-{next(_names)}")
    code = stranger.posted("/v1/me/checkout-codes")["code"]

    assert shop.decline_reason(0, UNKNOWN_CODE, terminal_id="NOTMINE") == "terminal_unknown"
    assert shop.decline_reason(0, UNKNOWN_CODE) == "amount_invalid"
    assert shop.decline_reason(1, UNKNOWN_CODE) == "code_unknown"
    assert shop.decline_reason(1, code) == "identity_required"
    assert stranger.post("/v1/me/freeze").is_success
    assert shop.decline_reason(1, code) == "customer_frozen"
    assert shop.decline_reason(11, rich.checkout_code(max_cents=10)) == "over_limit"
    assert shop.decline_reason(50_001, rich.checkout_code(max_cents=90_000)) == "over_limit"
    assert shop.decline_reason(10_001, rich.checkout_code()) == "over_limit"
    assert shop.decline_reason(201, rich.checkout_code()) == "insufficient_sparks"


def test_a_code_buys_once(rich: Home, shop: Shop) -> None:
    code = rich.checkout_code()
    assert shop.decline_reason(1, code) is None
    assert shop.decline_reason(1, code) == "code_used"


def test_a_third_decline_burns_a_code_and_early_reasons_do_not_count(rich: Home, shop: Shop) -> None:
    code = rich.checkout_code()
    for _ in range(3):
        assert shop.decline_reason(0, code) == "amount_invalid"
        assert shop.decline_reason(1, code, terminal_id="NOTMINE") == "terminal_unknown"
    for _ in range(3):
        assert shop.decline_reason(201, code) == "insufficient_sparks"
    assert shop.decline_reason(1, code) == "code_used"


def test_who_is_frozen_may_still_be_refunded_and_their_hold_captured(rich: Home, shop: Shop) -> None:
    sold = shop.authorize(10, rich.checkout_code())
    held = shop.authorize(20, rich.checkout_code(), capture=False)
    assert rich.customer.post("/v1/me/freeze").is_success
    assert rich.customer.got("/v1/me")["frozen"]

    assert shop.move(sold["id"], "refunds", 10).status_code == 201
    assert shop.move(held["id"], "captures", 20).status_code == 201
    assert rich.customer.post("/v1/me/unfreeze").is_success
    assert shop.decline_reason(1, rich.checkout_code()) is None


def test_a_sale_is_its_shop_s_own_business(rich: Home, shop: Shop, stage: Stage) -> None:
    sold = shop.authorize(10, rich.checkout_code())
    other = stage.shop(f"TILL{next(_names)}")

    assert problem(other.api.get(f"/v1/authorizations/{sold['id']}"))[0] in (403, 404)
    assert problem(other.move(sold["id"], "refunds", 1))[0] in (403, 404)
    assert other.decline_reason(1, rich.checkout_code(), terminal_id=shop.terminal_id) == "terminal_unknown"


def test_codes_holds_and_identities_end_with_time(
    own_stage: AbstractContextManager[Stage], clock: SimulatedClock
) -> None:
    with own_stage as alone:
        alone.deposit()
        shop = alone.shop("TILL")
        with alone.home("timely") as home:
            identity = {"level": "verified", "provider": "in person", "expires_at": "2026-07-06T16:10:00Z"}
            alone.operator.posted(f"/v1/customers/{home.customer_id}/identity", identity)
            home.unit.send(BRIGHT)
            home.unit.receipt_of(1)
            code = home.checkout_code()
            held = shop.authorize(20, home.checkout_code(), capture=False)
            clock.advance_to(MONDAY_NOON_S + 300)
            assert shop.decline_reason(1, code) == "code_expired"
            clock.advance_to(MONDAY_NOON_S + 400)
            codes = home.checkout_code(), home.checkout_code()
            clock.advance_to(MONDAY_NOON_S + 599)
            assert shop.decline_reason(1, codes[0]) is None
            clock.advance_to(MONDAY_NOON_S + 600)
            assert shop.decline_reason(1, codes[1]) == "identity_required"
            clock.advance_to(MONDAY_NOON_S + 7_200)
            capture = alone.reopened(shop).move(held["id"], "captures", 20)
            assert problem(capture) == (409, "invalid_state")
            assert alone.signed_in("timely").got("/v1/me/sparks")["held_micro_sparks"] == 0
