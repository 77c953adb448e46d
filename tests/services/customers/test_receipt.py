"""The receipt of an entry: it verifies without the platform, and only its owner gets it."""

import json
from typing import Any

from contracts.commands import (
    ChooseLevel,
    CorrectUnit,
    DecideAgain,
    DeclareEvent,
    DepositReserve,
    PublishSignal,
    RecordPack,
)
from contracts.units import DAY_S, HOUR_S
from contracts.wire import packs
from contracts.wire.packs import Pack
from services.receipts.verification import verify
from tests.services.customers.platform import NOON_S, Platform, Who, a_platform, an_interval


def receipt_of(who: Who, index: int) -> dict[str, Any]:
    answered = who.get(f"/v1/me/sparks/entries/{index}/receipt")
    assert answered.status_code == 200, answered.text
    found: dict[str, Any] = json.loads(answered.text)
    return found


def newest(who: Who) -> int:
    index: int = who.get("/v1/me/sparks/entries").json()["items"][0]["index"]
    return index


def all_of(who: Who) -> list[int]:
    return [item["index"] for item in who.get("/v1/me/sparks/entries", params={"limit": 200}).json()["items"]]


def a_holder(platform: Platform) -> Who:
    ann = platform.customer()
    ann.post("/v1/me/devices", {"claim_code": platform.unit("unit-1")})
    return ann


def test_an_award_is_computed_again_offline_to_the_integer(platform):
    ann = a_holder(platform)
    platform.record("unit-1", an_interval(NOON_S - HOUR_S, pv_wh=1_000, load_wh=1_000))

    verified = verify(receipt_of(ann, newest(ann)))

    assert verified.is_recomputed
    assert verified.micro_sparks == 1_900_000
    assert "Computed again from the readings, the award is 1.900000 sparks, to the integer." in verified.sentences


def test_old_awards_are_explained_from_the_state_that_they_were_computed_from(platform):
    """Storage carries over days; level, intensity and events change meanwhile; a pack spans midnight."""
    ann = a_holder(platform)
    platform.do(DeclareEvent("peak", "toronto", NOON_S + DAY_S, NOON_S + DAY_S + HOUR_S, None))
    sunny = {"pv_wh": 4_000, "load_wh": 1_000, "charge_wh": 3_000}
    dark = {"pv_wh": 0, "load_wh": 1_000, "discharge_wh": 500, "import_wh": 500}
    hours = [an_interval(NOON_S + n * HOUR_S, **(sunny if n % 24 < 6 else dark)) for n in range(-6, 42)]
    prev = packs.FIRST_PREV
    for seq, first in enumerate(range(0, len(hours), 5), 1):
        some = tuple(hours[first : first + 5])
        platform.advance_to(some[-1].start_s + HOUR_S, ann)
        if seq == 3:
            platform.do(ChooseLevel(ann.id, "partner"), PublishSignal(some[0].start_s, 500))
        prev = platform.record_next(Pack("unit-1", seq, prev, some))

    found = [verify(receipt_of(ann, index)) for index in all_of(ann)]

    assert len(found) >= 9
    assert all(verified.is_recomputed for verified in found)
    assert sum(verified.micro_sparks or 0 for verified in found) == ann.sparks()["lifetime_micro_sparks"]


def test_a_purchase_and_its_refund_have_receipts_without_an_award(platform):
    ann, shop = platform.customer(), platform.retailer()
    platform.earn(ann, 400)
    sale = shop.pay(ann.code()).json()["id"]
    bought = newest(ann)
    shop.post(f"/v1/authorizations/{sale}/refunds")

    receipt = receipt_of(ann, bought)
    verified = verify(receipt)

    assert receipt["postings"] == [{"asset": "spark", "account": "free", "micro_sparks": -100_000_000}]
    assert not verified.is_recomputed
    assert verify(receipt_of(ann, newest(ann))).index == newest(ann)


def test_somebody_else_s_entry_and_one_that_is_not_there_are_not_found(platform):
    ann, bob = platform.customer(), platform.customer()
    platform.earn(ann, 200)

    for index in (newest(ann), 10**6, "0", "-1", "x", "1e3", 10**30):
        assert bob.get(f"/v1/me/sparks/entries/{index}/receipt").json()["code"] == "not_found"


def test_a_release_tells_nothing_of_the_others_that_it_pays(database_url, tmp_path):
    with a_platform(database_url, tmp_path, reserve_cents=0) as platform:
        ann, bob = platform.customer(), platform.customer()
        platform.earn(ann, 200)
        platform.earn(bob, 200)
        deferred = receipt_of(ann, newest(ann))
        platform.do(DepositReserve(100_000_000, "late"))
        platform.advance_to(platform.clock.now_s() + 1, ann, bob)

        release = receipt_of(ann, newest(ann))

        assert verify(deferred).is_recomputed
        assert "They wait until the programme's reserve funds them." in deferred["words"]
        assert release["kind"] == "release_deferred"
        assert bob.id not in json.dumps(release)
        assert verify(release).index == release["index"]


def test_a_pack_that_was_refused_and_then_decided_again_has_a_receipt_for_both(platform):
    ann = a_holder(platform)
    too_much = an_interval(NOON_S - HOUR_S, pv_wh=700_000, load_wh=700_000)
    message = platform.signed(Pack("unit-1", 1, packs.FIRST_PREV, (too_much,)))
    (refused,) = platform.do(RecordPack("unit-1", message))
    platform.do(CorrectUnit("unit-1", 700_000, 10_000, 5_000, "toronto"))
    (again,) = platform.do(DecideAgain("unit-1", 1, message))

    first = receipt_of(ann, refused.index)

    assert verify(first).sentences[-2] == "Decided again from the readings, the pack is refused: above_nameplate."
    assert "Pack 1 was refused and earned nothing: above_nameplate." in first["words"]
    assert verify(receipt_of(ann, again.index)).is_recomputed


def test_a_new_holder_learns_nothing_of_what_the_one_before_measured(platform):
    ann, bob = a_holder(platform), platform.customer()
    before = an_interval(NOON_S - HOUR_S, pv_wh=1_000, load_wh=1_000)
    prev = platform.record_next(Pack("unit-1", 1, packs.FIRST_PREV, (before,)))
    bob.post("/v1/me/devices", {"claim_code": platform.new_claim("unit-1")})
    platform.advance_to(NOON_S + HOUR_S, ann, bob)
    hour = an_interval(NOON_S, pv_wh=1_000, load_wh=1_000)
    platform.record_next(Pack("unit-1", 2, prev, (hour,)))

    receipt = receipt_of(bob, newest(bob))

    assert receipt["pack"]["inputs"] == []
    assert ann.id not in json.dumps(receipt)
    assert verify(receipt).is_recomputed is False
