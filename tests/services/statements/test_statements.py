"""A day's statement over HTTP: its figures, the proof to each creditor, and who may have what."""

import json
from datetime import date
from typing import Any

import pytest

from contracts.commands import DepositReserve
from contracts.units import DAY_S
from services.identity import Scope
from services.statements.days import date_of, day_of
from services.statements.verification import verify
from tests.services.customers.platform import NOON_S, a_platform
from tests.services.statements.builders import MONDAY, TUESDAY, a_publishing, fresh, manager, proof_of, published


def test_a_day_is_told_and_everybody_finds_their_own_balance_counted(platform):
    ann, bob, shop = platform.customer(), platform.customer(), platform.retailer()
    platform.earn(ann, 400)
    platform.earn(bob, 200)
    shop.pay(ann.code(), 150)
    shop.pay(bob.code(), 20, capture=False)

    told = published(platform)
    fresh(platform, ann, bob, shop)

    assert told["outstanding_micro_sparks"] == told["issued_micro_sparks"] == 600_000_000
    assert (told["settled_micro_sparks"], told["deferred_micro_sparks"]) == (0, 0)
    found = {who.id: verify(proof_of(who)) for who in (ann, bob, shop)}
    assert [one.micro_sparks for one in found.values()] == [250_000_000, 200_000_000, 150_000_000]
    assert [one.account for one in found.values()] == [f"customer/{ann.id}", f"customer/{bob.id}", "retailer/SHOP"]
    assert proof_of(ann)["words"] == [
        "When the books of 2026-07-06 were closed, the balance was 250.000000 sparks, held ones included."
    ]
    statement = platform.call("GET", f"/v1/statements/{MONDAY}").json()
    assert verify(statement).index == told["index"]
    assert statement.items() >= told.items()
    assert "The reserve funds what is outstanding, 600.000000 sparks." in verify(statement).sentences


def test_what_is_owed_is_what_was_owed_when_the_books_were_closed(platform):
    """The ledger goes on between closing and publishing, and after it."""
    ann, bob, shop = platform.customer(), platform.customer(), platform.retailer()
    platform.earn(ann, 400)
    platform.advance_to(NOON_S + DAY_S, ann, bob, shop)
    publishing = a_publishing(platform)
    closed = publishing._close(day_of(date.fromisoformat(MONDAY)))
    shop.pay(ann.code(), 100)
    platform.earn(bob, 200)

    told = published(platform)

    assert told["size"] == closed.closed_at + 1
    assert told["outstanding_micro_sparks"] == 400_000_000
    assert verify(proof_of(ann)).micro_sparks == 400_000_000
    assert verify(proof_of(bob)).micro_sparks == 0


def test_deferred_awards_are_counted_apart(database_url, tmp_path):
    with a_platform(database_url, tmp_path, reserve_cents=0) as platform:
        ann = platform.customer()
        platform.earn(ann, 200)

        told = published(platform)
        fresh(platform, ann)

        # The clock moves by two small deposits.
        assert (told["outstanding_micro_sparks"], told["deferred_micro_sparks"]) == (0, 200_000_000)
        verified = verify(proof_of(ann))
        assert (verified.micro_sparks, verified.deferred_micro_sparks) == (0, 200_000_000)


def test_two_days_proofs_of_one_balance_share_no_leaf_and_no_way(sqlite_platform):
    ann, bob = sqlite_platform.customer(), sqlite_platform.customer()
    sqlite_platform.earn(ann, 400)
    sqlite_platform.earn(bob, 200)

    published(sqlite_platform)
    fresh(sqlite_platform, ann)
    monday = proof_of(ann)
    published(sqlite_platform, TUESDAY)
    fresh(sqlite_platform, ann)
    tuesday = proof_of(ann, TUESDAY)

    assert monday["micro_sparks"] == tuesday["micro_sparks"]
    for what in ("salt",):
        assert not {leaf[what] for leaf in monday["leaves"]} & {leaf[what] for leaf in tuesday["leaves"]}
    assert not _hashes(monday) & _hashes(tuesday)


def test_a_proof_shows_nothing_of_anybody_else_but_parts(sqlite_platform):
    ann, others = sqlite_platform.customer(), [sqlite_platform.customer() for _ in range(4)]
    for number, who in enumerate([ann, *others], 1):
        sqlite_platform.earn(who, 200 * number)

    published(sqlite_platform)
    fresh(sqlite_platform, ann)
    proof = proof_of(ann)

    text = json.dumps(proof)
    assert not any(who.id in text for who in others)
    siblings = [leaf["path"][0]["micro_sparks"] for leaf in proof["leaves"]]
    assert not {200_000_000 * number for number in range(2, 6)} & set(siblings)


def test_who_is_owed_nothing_is_proven_nothing(sqlite_platform):
    ann = sqlite_platform.customer()

    published(sqlite_platform)
    fresh(sqlite_platform, ann)
    proof = proof_of(ann)

    assert (proof["leaves"], proof["micro_sparks"]) == ([], 0)
    assert "It counts nothing of" in verify(proof).sentences[-2]


def test_a_day_that_is_not_over_or_long_over_has_no_statement(sqlite_platform):
    sqlite_platform.advance_to(NOON_S + DAY_S)
    who = manager(sqlite_platform)
    for day, status, code in (
        (TUESDAY, 422, "invalid_day"),
        ("2026-07-05", 422, "invalid_day"),
        ("2030-01-01", 422, "invalid_day"),
        ("0001-01-01", 422, "invalid_day"),
        ("9999-12-31", 422, "invalid_day"),
        ("2026-02-30", 422, "validation_failed"),
        ("yesterday", 422, "validation_failed"),
    ):
        answered = sqlite_platform.call("PUT", f"/v1/statements/{day}", headers=who.headers)
        assert (answered.status_code, answered.json()["code"]) == (status, code), day
    assert published(sqlite_platform)["date"] == MONDAY


def test_too_early_is_not_remembered(sqlite_platform):
    who = manager(sqlite_platform)
    early = sqlite_platform.call("PUT", f"/v1/statements/{MONDAY}", headers=who.headers)
    assert early.json()["code"] == "invalid_day"

    assert published(sqlite_platform)["date"] == MONDAY


def test_asked_again_nothing_changes(platform):
    ann = platform.customer()
    platform.earn(ann, 200)
    first = published(platform)
    fresh(platform, ann)
    proof, size = proof_of(ann), platform.ledger.head().size

    assert published(platform) == first
    assert platform.ledger.head().size == size
    assert proof_of(ann)["leaves"] == proof["leaves"]


def test_statements_are_listed_the_newest_first_in_pages_without_gaps_for_days_that_have_none(platform):
    days = [date_of(day_of(date.fromisoformat(MONDAY)) + number).isoformat() for number in (0, 1, 3)]
    for day in days:
        published(platform, day)

    listed = platform.call("GET", "/v1/statements").json()
    pages, cursor = [], None
    while True:
        query = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = platform.call("GET", "/v1/statements", params=query).json()
        pages.append([item["date"] for item in page["items"]])
        cursor = page["next_cursor"]
        if cursor is None:
            break

    assert [item["date"] for item in listed["items"]] == days[::-1]
    assert listed["next_cursor"] is None
    assert pages == [[days[2]], [days[1], days[0]]]
    assert platform.call("GET", "/v1/statements", params={"cursor": "?"}).json()["code"] == "invalid_cursor"


def test_what_is_not_published_is_not_found(sqlite_platform):
    ann = sqlite_platform.customer()

    for path in (f"/v1/statements/{MONDAY}", f"/v1/me/statements/{MONDAY}/proof", "/v1/statements/9999-12-31"):
        answered = ann.get(path)
        assert (answered.status_code, answered.json()["code"]) == (404, "unknown_statement")


@pytest.mark.parametrize(
    ("method", "path", "needs"),
    [
        ("PUT", f"/v1/statements/{MONDAY}", Scope.PROGRAMME),
        ("GET", f"/v1/statements/{MONDAY}/proof", Scope.RETAILER),
        ("GET", f"/v1/me/statements/{MONDAY}/proof", Scope.CUSTOMER),
    ],
)
def test_each_call_is_for_its_own_callers(sqlite_platform, method, path, needs):
    nobody = sqlite_platform.call(method, path)
    other = sqlite_platform.client("fleet", Scope.FLEET)
    forbidden = sqlite_platform.call(method, path, headers=other.headers)

    assert (nobody.status_code, nobody.json()["code"]) == (401, "unauthorized")
    assert (forbidden.status_code, forbidden.json()["code"]) == (403, "forbidden")
    assert str(needs) in forbidden.headers["www-authenticate"]


def test_a_small_deposit_does_not_change_what_was_told(sqlite_platform):
    first = published(sqlite_platform)
    sqlite_platform.do(DepositReserve(1_000_000, "late"))

    assert (
        sqlite_platform.call("GET", f"/v1/statements/{MONDAY}").json()["reserve_micro_cad"]
        == first["reserve_micro_cad"]
    )


def _hashes(proof: dict[str, Any]) -> set[str]:
    return {node["hash"] for leaf in proof["leaves"] for node in leaf["path"]}
