"""Claiming a unit and moving out."""

from contracts import state
from contracts.state import Holdings
from contracts.units import DAY_S
from tests.services.customers.platform import NOON_S, an_interval

CLAIM_CODE_S = 90 * DAY_S


def test_a_claim_code_makes_the_unit_the_customers(platform):
    ann = platform.customer()
    code = platform.unit("unit-1")

    claimed = ann.post("/v1/me/devices", {"claim_code": f" {code.lower()} "})

    assert (claimed.status_code, claimed.json()) == (201, {"device_id": "unit-1"})
    assert ann.get("/v1/me/devices").json() == {
        "items": [
            {
                "device_id": "unit-1",
                "claimed_at": "2026-07-06T16:00:00Z",
                "zone": "toronto",
                "pv_nameplate_w": 500_000,
                "battery_capacity_wh": 10_000,
                "battery_power_w": 5_000,
                "suspended": False,
                "last_seq": 0,
                "last_interval_end_at": None,
            }
        ],
        "next_cursor": None,
    }


def test_a_unit_shows_how_far_its_packs_have_come(platform):
    ann = platform.customer()
    ann.post("/v1/me/devices", {"claim_code": platform.unit("unit-1")})
    platform.record("unit-1", an_interval(NOON_S - 7_200), an_interval(NOON_S - 3_600))

    (shown,) = ann.get("/v1/me/devices").json()["items"]

    assert (shown["last_seq"], shown["last_interval_end_at"]) == (2, "2026-07-06T16:00:00Z")


def test_a_claim_repeated_is_answered_alike_and_the_code_has_ended(platform):
    ann = platform.customer()
    body = {"claim_code": platform.unit("unit-1")}

    first, again = (ann.post("/v1/me/devices", body, key="k") for _ in range(2))

    assert (again.status_code, again.content) == (201, first.content)
    assert ann.post("/v1/me/devices", body, key="other").json()["code"] == "unknown_claim_code"
    assert ann.post("/v1/me/devices", {"claim_code": "other"}, key="k").status_code in (404, 422)


def test_codes_that_nobody_was_given_are_unknown(platform):
    ann = platform.customer()

    for code in ("0000-0000-0000-0000", "x", "\0", "\ud83d", "é" * 128):
        answered = ann.post("/v1/me/devices", {"claim_code": code})
        assert answered.json()["code"] in ("unknown_claim_code", "validation_failed", "malformed_body"), code


def test_a_code_is_good_for_90_days(platform):
    ann = platform.customer()
    code = platform.unit("unit-1")
    platform.advance_to(NOON_S + CLAIM_CODE_S, ann)

    answered = ann.post("/v1/me/devices", {"claim_code": code}, key="k")

    assert (answered.status_code, answered.json()["code"]) == (410, "claim_code_expired")
    assert ann.post("/v1/me/devices", {"claim_code": code}, key="k").content == answered.content


def test_moving_out_leaves_the_unit_to_nobody(platform):
    ann = platform.customer()
    ann.post("/v1/me/devices", {"claim_code": platform.unit("unit-1")})
    platform.clock.advance_to(NOON_S + 600)

    left = ann.delete("/v1/me/devices/unit-1")

    assert (left.status_code, left.content) == (204, b"")
    assert ann.get("/v1/me/devices").json()["items"] == []
    assert ann.delete("/v1/me/devices/unit-1").json()["code"] == "unknown_device"
    assert platform.ledger.rows([state.holdings_key(ann.id)]) == [Holdings((("unit-1", NOON_S, NOON_S + 600),))]


def test_a_name_that_no_unit_can_have_is_unknown(platform):
    ann = platform.customer()

    for name in ("%00", "UNIT", "x" * 65, "a%2Fb", "%F0%9F%98%80"):
        assert ann.delete(f"/v1/me/devices/{name}").status_code == 404, name
