"""A battery behind the meter: limits, losses, the owner's reserve, events."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.wire.receipts import EventCall
from device_sim.battery import Battery, is_inside, settle
from device_sim.carry import Carry
from tests.device_sim.acceptance import is_balanced, is_never_negative, is_within_nameplate

HOUR_S = 3600
ENERGIES_WH = st.fractions(min_value=0, max_value=6_000, max_denominator=1_000)
BATTERIES = st.builds(
    Battery,
    capacity_wh=st.integers(0, 20_000).map(Fraction),
    power_w=st.integers(0, 8_000).map(Fraction),
    efficiency=st.fractions(min_value=Fraction(1, 2), max_value=1, max_denominator=100),
    reserve_pct=st.integers(0, 100),
)


def a_battery(reserve_pct: int = 20) -> Battery:
    return Battery(
        capacity_wh=Fraction(10_000), power_w=Fraction(5_000), efficiency=Fraction(9, 10), reserve_pct=reserve_pct
    )


def an_event(discharge_w: int | None = 3_000, reserve_pct: int = 0) -> EventCall:
    return EventCall(
        device_id="home-001",
        id="heat-wave",
        issued_s=0,
        expires_s=HOUR_S,
        start_s=0,
        end_s=HOUR_S,
        discharge_w=discharge_w,
        reserve_pct=reserve_pct,
    )


EVENTS = st.none() | st.builds(an_event, st.none() | st.integers(0, 10_000), st.integers(0, 100))


@given(BATTERIES, st.lists(st.tuples(ENERGIES_WH, ENERGIES_WH, EVENTS), max_size=30))
def test_every_interval_of_any_battery_would_be_accepted(
    battery: Battery, days: list[tuple[Fraction, Fraction, EventCall | None]]
) -> None:
    stored_wh, carry = battery.reserve_wh, Carry()

    for pv_wh, load_wh, event in days:
        flows, stored_wh = settle(battery, stored_wh, pv_wh=pv_wh, load_wh=load_wh, duration_s=HOUR_S, event=event)
        interval = carry.interval(start_s=0, duration_s=HOUR_S, flows=flows)

        into_wh = flows.pv_wh + flows.import_wh + flows.discharge_wh
        assert into_wh == flows.load_wh + flows.export_wh + flows.charge_wh
        assert battery.reserve_wh <= stored_wh <= battery.capacity_wh
        assert is_balanced(interval)
        assert is_never_negative(interval)
        assert is_within_nameplate(interval, pv_nameplate_w=6_000, battery_power_w=int(battery.power_w))


def test_the_surplus_charges_and_the_loss_is_taken_on_the_way_in() -> None:
    flows, stored_wh = settle(
        a_battery(), Fraction(2_000), pv_wh=Fraction(3_000), load_wh=Fraction(1_000), duration_s=HOUR_S
    )

    assert (flows.charge_wh, flows.export_wh, stored_wh) == (2_000, 0, 3_800)


def test_the_house_is_served_down_to_the_owners_reserve_and_then_by_the_grid() -> None:
    flows, stored_wh = settle(
        a_battery(), Fraction(2_500), pv_wh=Fraction(0), load_wh=Fraction(1_200), duration_s=HOUR_S
    )

    assert (flows.discharge_wh, flows.import_wh, stored_wh) == (500, 700, 2_000)


def test_an_event_is_served_with_what_it_asks_although_the_house_needs_less() -> None:
    flows, _ = settle(
        a_battery(),
        Fraction(9_000),
        pv_wh=Fraction(500),
        load_wh=Fraction(400),
        duration_s=HOUR_S,
        event=an_event(discharge_w=3_000),
    )

    assert (flows.discharge_wh, flows.charge_wh, flows.export_wh) == (3_000, 0, 3_100)


def test_an_event_that_names_no_power_gets_all_of_it() -> None:
    flows, _ = settle(
        a_battery(),
        Fraction(9_000),
        pv_wh=Fraction(0),
        load_wh=Fraction(0),
        duration_s=HOUR_S,
        event=an_event(discharge_w=None),
    )

    assert flows.discharge_wh == 5_000


@pytest.mark.parametrize(("owners_pct", "events_pct"), [(60, 0), (10, 60)])
def test_the_higher_reserve_holds_in_an_event(owners_pct: int, events_pct: int) -> None:
    _, stored_wh = settle(
        a_battery(owners_pct),
        Fraction(7_000),
        pv_wh=Fraction(0),
        load_wh=Fraction(0),
        duration_s=HOUR_S,
        event=an_event(reserve_pct=events_pct),
    )

    assert stored_wh == 6_000


@pytest.mark.parametrize(("start_s", "lies_inside"), [(0, True), (3_300, True), (3_301, False), (-1, False)])
def test_only_an_interval_wholly_within_an_event_is_inside(start_s: int, lies_inside: bool) -> None:
    assert is_inside(an_event(), start_s=start_s, duration_s=300) is lies_inside


@pytest.mark.parametrize(
    ("capacity_wh", "power_w", "efficiency", "reserve_pct"),
    [
        (-1, 1, Fraction(1), 0),
        (1, -1, Fraction(1), 0),
        (1, 1, Fraction(0), 0),
        (1, 1, Fraction(2), 0),
        (1, 1, Fraction(1), -1),
        (1, 1, Fraction(1), 101),
    ],
)
def test_an_impossible_battery_cannot_be_made(
    capacity_wh: int, power_w: int, efficiency: Fraction, reserve_pct: int
) -> None:
    with pytest.raises(ValueError, match="got"):
        Battery(
            capacity_wh=Fraction(capacity_wh),
            power_w=Fraction(power_w),
            efficiency=efficiency,
            reserve_pct=reserve_pct,
        )
