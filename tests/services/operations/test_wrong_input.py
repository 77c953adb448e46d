"""What each call refuses before the ledger hears of it, or because the ledger knows nothing of it."""

import pytest

from services.encoding import text_of
from tests.services.operations.conftest import a_device, a_public_key, an_aside, code_of, put_aside

RETAILER = {"name": "Corner Grocery", "terminals": ["TILL0001"]}


@pytest.fixture
def database_url(sqlite_url):
    """What is refused is the same on every engine."""
    return sqlite_url


@pytest.mark.parametrize(
    "change",
    [
        {"name": ""},
        {"name": "a\0b"},
        {"terminals": []},
        {"terminals": ["till"]},
        {"terminals": ["TILL00001"]},
        {"bonus_bp": -1},
        {"bonus_bp": 10_001},
        {"bonus_bp": True},
        {"colour": "red"},
    ],
)
def test_a_retailer_that_no_till_could_name_is_refused(desk, change):
    assert code_of(desk.programme.post("/v1/retailers", {**RETAILER, **change})) == (422, "validation_failed")


@pytest.mark.parametrize("amount_cents", [0, -1, 1.5, "1", True, None, 10**13])
def test_a_deposit_that_is_no_amount_is_refused(desk, amount_cents):
    answer = desk.programme.post("/v1/reserve-deposits", {"amount_cents": amount_cents, "reference": "wire 17"})

    assert code_of(answer) == (422, "validation_failed")
    assert answer.json()["fields"][0]["field"] == "amount_cents"


@pytest.mark.parametrize("moment", ["2031-07-01T00:00:00", "2031-07-01T00:00:00+01:00", "2031-02-30T00:00:00Z", 1, ""])
def test_a_moment_that_is_not_in_utc_or_does_not_exist_is_refused(desk, moment):
    body = {"level": "verified", "provider": "bank-id", "expires_at": moment}

    answer = desk.programme.post("/v1/customers/customer-1/identity", body)

    assert code_of(answer) == (422, "validation_failed")


@pytest.mark.parametrize(
    ("hour", "intensity", "code"),
    [
        ("2026-07-01T14:30:00Z", 74, "invalid_hour"),
        ("2026-07-01", 74, "validation_failed"),
        ("2026-07-01T14:00:00Z", -1, "validation_failed"),
        ("2026-07-01T14:00:00Z", "74", "validation_failed"),
    ],
)
def test_a_grid_signal_of_no_hour_or_no_intensity_is_refused(desk, hour, intensity, code):
    answer = desk.programme.call("PUT", f"/v1/grid-signals/{hour}", json={"intensity_mg_per_wh": intensity})

    assert code_of(answer) == (422, code)


def test_more_units_than_a_call_may_hold_are_refused(desk):
    answer = desk.fleet.post("/v1/devices", {"devices": [a_device()] * 10_001})

    assert code_of(answer) == (422, "validation_failed")


@pytest.mark.parametrize("body", [{}, {"zone": ""}, {"pv_nameplate_w": -1}, {"pv_nameplate_w": 1.0}, {"colour": 1}])
def test_a_correction_that_makes_no_sense_is_refused(desk, body):
    desk.register("unit-1")

    answer = desk.fleet.call("PATCH", "/v1/devices/unit-1", json=body)

    assert code_of(answer) == (422, "validation_failed")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"public_key": "AAAA"}, "validation_failed"),
        ({"signature": "*"}, "validation_failed"),
        ({"from_seq": 0}, "validation_failed"),
        ({"signature": text_of(bytes(64))}, "bad_key_signature"),
    ],
)
def test_a_key_that_is_none_or_that_nobody_vouches_for_is_refused(desk, change, expected):
    desk.register("unit-1")
    body = {"public_key": text_of(a_public_key("new")), "from_seq": 7, **change}

    assert code_of(desk.fleet.post("/v1/devices/unit-1/keys", body)) == (422, expected)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "", None),
        ("PATCH", "", {"zone": "north"}),
        ("POST", "/suspend", None),
        ("POST", "/resume", None),
        ("POST", "/keys", {"public_key": text_of(a_public_key("new")), "from_seq": 7}),
        ("POST", "/claim-codes", None),
    ],
)
def test_a_unit_that_nobody_registered_is_unknown_to_every_call(desk, method, path, body):
    answer = desk.fleet.call(method, f"/v1/devices/nobody{path}", json=body, headers={"Idempotency-Key": "k"})

    assert code_of(answer) == (404, "unknown_device")


def test_a_name_that_is_no_device_id_never_reaches_the_ledger(desk):
    assert code_of(desk.fleet.get("/v1/devices/%00")) == (422, "validation_failed")


@pytest.mark.parametrize("body", [{}, {"reason": ""}, {"reason": 1}, {"reason": "x" * 201}])
def test_discarding_needs_a_reason(desk, body):
    row_id = put_aside(desk, an_aside())

    assert code_of(desk.fleet.post(f"/v1/quarantine/{row_id}/discard", body)) == (422, "validation_failed")


@pytest.mark.parametrize("row_id", ["999", "x", "-1", "9" * 30])
def test_a_row_that_is_not_there_is_not_found(desk, row_id):
    assert code_of(desk.fleet.post(f"/v1/quarantine/{row_id}/replay")) == (404, "not_found")
    assert code_of(desk.fleet.post(f"/v1/quarantine/{row_id}/discard", {"reason": "x"})) == (404, "not_found")
