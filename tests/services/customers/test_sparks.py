"""Balances, and the statement that adds up to them."""

from typing import Any

import pytest

from contracts.commands import DepositReserve
from contracts.units import HOUR_S
from services.customers.statement import KINDS
from tests.services.customers.platform import NOON_S, Who, a_platform, an_interval

CENT = 1_000_000


def all_entries(who: Who, *, limit: int) -> list[dict[str, Any]]:
    """Every page."""
    entries: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        page = who.get("/v1/me/sparks/entries", params={"limit": limit} | cursor).json()
        entries += page["items"]
        if page["next_cursor"] is None:
            return entries
        cursor = {"cursor": page["next_cursor"]}


def test_who_has_earned_nothing_has_nothing(platform):
    ann = platform.customer()

    assert set(ann.sparks().values()) == {0}
    assert ann.get("/v1/me/sparks/entries").json() == {"items": [], "next_cursor": None}


def test_what_packs_earn_is_shown_by_rule(platform):
    ann = platform.customer()
    ann.post("/v1/me/devices", {"claim_code": platform.unit("unit-1")})
    hour = an_interval(NOON_S - HOUR_S, pv_wh=1_000, load_wh=1_000)
    platform.record("unit-1", hour)

    assert ann.sparks() == {
        "balance_micro_sparks": 1_900_000,
        "held_micro_sparks": 0,
        "available_micro_sparks": 1_900_000,
        "deferred_micro_sparks": 0,
        "value_cents": 1,
        "lifetime_micro_sparks": 1_900_000,
        "avoided_mg_co2e": 60_000,
    }
    (entry,) = ann.get("/v1/me/sparks/entries").json()["items"]
    assert entry.pop("index") == platform.ledger.head().size - 1
    assert entry == {
        "at": "2026-07-06T16:00:00Z",
        "kind": "earned",
        "micro_sparks": 1_900_000,
        "awards": {"self_supply": 1_600_000, "green_export": 0, "carbon": 300_000, "event_response": 0},
        "device_id": "unit-1",
    }


def test_a_hold_is_part_of_the_balance_and_not_of_what_is_available(platform):
    ann, shop = platform.customer(), platform.retailer()
    platform.earn(ann, 400)

    shop.pay(ann.code(), 150, capture=False)

    sparks = ann.sparks()
    assert sparks["balance_micro_sparks"] == sparks["lifetime_micro_sparks"] == 400 * CENT
    assert sparks["held_micro_sparks"] == 150 * CENT
    assert (sparks["available_micro_sparks"], sparks["value_cents"]) == (250 * CENT, 250)


def test_the_statement_tells_every_move_in_plain_words_and_adds_up(platform):
    ann, shop = platform.customer(), platform.retailer("SHOP", bonus_bp=2_500)
    platform.earn(ann, 400)
    holds = [shop.pay(ann.code(), 50, capture=False).json()["id"] for _ in range(4)]
    shop.post(f"/v1/authorizations/{holds[0]}/captures", {"amount_cents": 20})
    shop.post(f"/v1/authorizations/{holds[1]}/captures", {"amount_cents": 0})
    shop.post(f"/v1/authorizations/{holds[2]}/voids")
    sales = [shop.pay(ann.code(), 30).json()["id"] for _ in range(2)]
    shop.post(f"/v1/authorizations/{sales[0]}/refunds", {"amount_cents": 10})
    shop.post(f"/v1/authorizations/{sales[1]}/voids")
    platform.advance_to(NOON_S + 3 * HOUR_S, ann)

    entries = all_entries(ann, limit=200)

    hold, sale = 40 * CENT, 24 * CENT
    moves = [(e["kind"], e["micro_sparks"], e.get("held_micro_sparks", 0)) for e in reversed(entries)]
    assert moves == [
        *[("earned", 200 * CENT, 0)] * 2,
        *[("hold", 0, hold)] * 4,
        ("hold_captured", -16 * CENT, -hold),
        ("hold_released", 0, -hold),
        ("void", 0, -hold),
        *[("purchase", -sale, 0)] * 2,
        ("refund", 8 * CENT, 0),
        ("void", sale, 0),
        ("hold_expired", 0, -hold),
    ]
    assert {kind for kind, _, _ in moves} <= set(KINDS)
    assert [e["index"] for e in entries] == sorted((e["index"] for e in entries), reverse=True)
    sparks = ann.sparks()
    assert sum(e["micro_sparks"] for e in entries) == sparks["balance_micro_sparks"]
    assert sum(e.get("held_micro_sparks", 0) for e in entries) == sparks["held_micro_sparks"] == 0
    sold = entries[3]
    assert (sold["retailer"], sold["retailer_name"], sold["amount_cents"]) == ("SHOP", "The SHOP", 30)
    assert sold["authorization_id"] == sales[1]
    assert sold["awards"] == {}
    for limit in (1, 3, 14):
        assert all_entries(ann, limit=limit) == entries


def test_an_award_that_waits_for_the_reserve_is_in_none_of_the_balances(database_url, tmp_path):
    with a_platform(database_url, tmp_path, reserve_cents=200) as platform:
        ann = platform.customer()
        platform.earn(ann, 600)

        sparks = ann.sparks()
        assert (sparks["balance_micro_sparks"], sparks["deferred_micro_sparks"]) == (200 * CENT, 400 * CENT)
        assert sparks["lifetime_micro_sparks"] == 200 * CENT
        platform.do(DepositReserve(400 * 10_000, "more"))
        platform.advance_to(NOON_S + 1)

        moves = [(e["kind"], e["micro_sparks"], e.get("deferred_micro_sparks", 0)) for e in all_entries(ann, limit=9)]
        assert moves[-3:] == [
            ("deferred", 0, 200 * CENT),
            ("deferred", 0, 200 * CENT),
            ("earned", 200 * CENT, 0),
        ]
        assert sum(moved for _, moved, _ in moves) == ann.sparks()["balance_micro_sparks"] == 600 * CENT
        assert sum(deferred for _, _, deferred in moves) == 0
        assert {kind for kind, _, _ in moves[:-3]} == {"deferred_released"}
        deferred = all_entries(ann, limit=9)[-2]
        assert sum(deferred["awards"].values()) == deferred["deferred_micro_sparks"]


@pytest.mark.parametrize(
    "wrong", ["x", "MQ==", "-", "LTE", "=", "MDA", "MTAwMDAwMDAwMDAwMDAwMDAwMDAw", "\0", "é"], ids=repr
)
def test_a_cursor_that_no_page_gave_is_refused(a_customer, wrong):
    answered = a_customer.get("/v1/me/sparks/entries", params={"cursor": wrong})

    assert (answered.status_code, answered.json()["code"]) == (400, "invalid_cursor")


@pytest.mark.parametrize("limit", [0, 201, "x", -1])
def test_a_page_has_between_1_and_200_entries(a_customer, limit):
    assert a_customer.get("/v1/me/sparks/entries", params={"limit": limit}).status_code == 422


def test_nobody_sees_what_another_earned(platform):
    ann, bob = platform.customer(), platform.customer()
    platform.earn(ann, 200)

    assert bob.sparks()["lifetime_micro_sparks"] == 0
    assert all_entries(bob, limit=50) == []
