"""Series of energy: sums, bounds, and nothing that is another person's."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import programmes
from contracts.units import DAY_S, HOUR_S
from contracts.wire.packs import FLOWS, Interval
from services.customers.energy import Resolution, series
from tests.services.customers.platform import NOON_S, Platform, Who, an_interval

ONTARIO = programmes.load()
FALL_BACK_S = 1_793_505_600  # 2026-11-01 04:00 UTC: midnight in Toronto, of a day of 25 hours


def hours_of_sun(start_s: int, count: int, pv_wh: int = 1_000) -> list[Interval]:
    return [an_interval(start_s + hour * HOUR_S, pv_wh=pv_wh, load_wh=pv_wh) for hour in range(count)]


def holder(platform: Platform, device_id: str = "unit-1") -> Who:
    who = platform.customer(name="holder")
    assert who.post("/v1/me/devices", {"claim_code": platform.unit(device_id)}).status_code == 201
    return who


def asked(who: Who, **params: str) -> list[tuple[str, str, int]]:
    answered = who.get("/v1/me/energy", params={name.rstrip("_"): value for name, value in params.items()})
    assert answered.status_code == 200, answered.text
    return [(step["start_at"], step["end_at"], step["pv_wh"]) for step in answered.json()["items"]]


def test_hours_and_days_sum_up_what_all_units_measured(platform):
    ann = holder(platform)
    ann.post("/v1/me/devices", {"claim_code": platform.unit("unit-2")})
    platform.advance_to(NOON_S + 3 * HOUR_S, ann)
    quarters = [
        an_interval(NOON_S + place * 900, duration_s=900, pv_wh=100, load_wh=90, export_wh=10) for place in range(8)
    ]
    platform.record("unit-1", *quarters)
    platform.record("unit-2", *hours_of_sun(NOON_S, 1, 5_000))

    answered = ann.get("/v1/me/energy").json()

    assert (answered["resolution"], answered["from"], answered["to"]) == (
        "hour",
        "2026-07-05T19:00:00Z",
        "2026-07-06T19:00:00Z",
    )
    first, second = answered["items"]
    assert first == {
        "start_at": "2026-07-06T16:00:00Z",
        "end_at": "2026-07-06T17:00:00Z",
        "pv_wh": 5_400,
        "load_wh": 5_360,
        "charge_wh": 0,
        "discharge_wh": 0,
        "import_wh": 0,
        "export_wh": 40,
    }
    assert second["pv_wh"] == 400
    assert asked(ann, resolution="day") == [("2026-07-06T04:00:00Z", "2026-07-07T04:00:00Z", 5_800)]
    assert asked(ann, resolution="month") == [("2026-07-01T04:00:00Z", "2026-08-01T04:00:00Z", 5_800)]
    steps = asked(ann, resolution="interval", from_="2026-07-06T16:15:00Z", to="2026-07-06T16:45:00Z")
    assert steps == [
        ("2026-07-06T16:15:00Z", "2026-07-06T16:30:00Z", 100),
        ("2026-07-06T16:30:00Z", "2026-07-06T16:45:00Z", 100),
    ]


def test_nothing_is_shown_from_before_a_claim_or_after_moving_out(platform):
    ann = holder(platform)
    platform.advance_to(NOON_S + 2 * HOUR_S, ann)
    ann.delete("/v1/me/devices/unit-1")
    platform.advance_to(NOON_S + 4 * HOUR_S, ann)
    platform.record("unit-1", *hours_of_sun(NOON_S - 2 * HOUR_S, 6))

    hours = [start for start, _, _ in asked(ann)]

    assert hours == ["2026-07-06T16:00:00Z", "2026-07-06T17:00:00Z"]


def test_an_interval_that_reaches_past_moving_out_is_not_shown(platform):
    ann = holder(platform)
    platform.advance_to(NOON_S + 90 * 60, ann)
    ann.delete("/v1/me/devices/unit-1")
    platform.advance_to(NOON_S + 4 * HOUR_S, ann)
    platform.record("unit-1", *hours_of_sun(NOON_S, 2))

    assert [start for start, _, _ in asked(ann)] == ["2026-07-06T16:00:00Z"]


def test_weeks_of_packs_are_each_counted_once(platform):
    ann = holder(platform)
    platform.advance_to(NOON_S + 20 * DAY_S, ann)
    platform.record("unit-1", *(hours_of_sun(NOON_S + place * 8 * HOUR_S, 1)[0] for place in range(60)))

    days = asked(ann, resolution="day", from_="2026-07-01T00:00:00Z", to="2026-07-27T00:00:00Z")

    assert sum(pv_wh for _, _, pv_wh in days) == 60_000
    assert len(days) == 21


WRONG_RANGES = [
    {"from": "2026-07-07T00:00:00Z", "to": "2026-07-06T00:00:00Z"},
    {"from": "2026-07-06T00:00:00Z", "to": "2026-07-06T00:00:00Z"},
    {"from": "2026-01-01T00:00:00Z", "to": "2026-02-02T00:00:00Z", "resolution": "interval"},
    {"from": "2026-01-01T00:00:00Z", "to": "2026-07-01T00:00:00Z"},
    {"from": "2025-01-01T00:00:00Z", "to": "2026-07-01T00:00:00Z", "resolution": "month"},
    {"from": "1969-12-31T00:00:00Z"},
    {"to": "9999-12-31T23:59:59Z"},
    {"to": "1970-01-01T00:00:01Z"},
    {"from": "yesterday"},
    {"from": "2026-07-06T00:00:00-04:00"},
    {"resolution": "week"},
]


@pytest.mark.parametrize("wrong", WRONG_RANGES, ids=str)
def test_a_range_that_cannot_be_answered_is_a_clear_problem(a_customer, wrong):
    answered = a_customer.get("/v1/me/energy", params=wrong)

    assert (answered.status_code, answered.json()["code"]) == (422, "validation_failed")
    assert answered.json()["fields"][0]["field"].removeprefix("query.") in wrong


def test_a_local_day_has_25_hours_when_the_clocks_go_back():
    (day,) = series(hours_of_sun(FALL_BACK_S, 25), Resolution.DAY, ONTARIO)

    assert (day.start_s, day.end_s, day.sums_wh[0]) == (FALL_BACK_S, FALL_BACK_S + 25 * HOUR_S, 25_000)


@given(
    starts=st.lists(st.integers(NOON_S // HOUR_S, NOON_S // HOUR_S + 24 * 500), unique=True, max_size=30),
    resolution=st.sampled_from(Resolution),
)
def test_a_series_loses_no_watt_hour_and_its_steps_never_overlap(starts, resolution):
    intervals = [an_interval(hour * HOUR_S, pv_wh=place) for place, hour in enumerate(starts)]

    steps = series(intervals, resolution, ONTARIO)

    for flow, name in enumerate(FLOWS):
        assert sum(step.sums_wh[flow] for step in steps) == sum(getattr(interval, name) for interval in intervals)
    for step, following in pairwise(steps):
        assert step.start_s < step.end_s <= following.start_s
    for interval in intervals:
        assert any(step.start_s <= interval.start_s < step.end_s for step in steps)
