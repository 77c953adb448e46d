"""Exact flows become whole watt-hours."""

from fractions import Fraction
from math import floor

from hypothesis import given
from hypothesis import strategies as st

from contracts.wire.packs import FLOWS
from device_sim.carry import Carry, ExactFlows

ENERGIES_WH = st.fractions(min_value=-5_000, max_value=5_000, max_denominator=10_000)


def the_same(energy_wh: Fraction) -> ExactFlows:
    return ExactFlows(**dict.fromkeys(FLOWS, energy_wh))


@given(st.lists(st.tuples(*[ENERGIES_WH] * 6), max_size=30))
def test_each_flow_sends_what_its_running_sum_has_grown_by_in_whole_watt_hours(
    rows: list[tuple[Fraction, ...]],
) -> None:
    carry = Carry()
    sums_wh = dict.fromkeys(FLOWS, Fraction(0))

    for row in rows:
        exact = dict(zip(FLOWS, row, strict=True))
        interval = carry.interval(start_s=0, duration_s=300, flows=ExactFlows(**exact))

        for name in FLOWS:
            before_wh, sums_wh[name] = sums_wh[name], sums_wh[name] + exact[name]
            assert getattr(interval, name) == floor(sums_wh[name]) - floor(before_wh)


def test_three_thirds_of_a_watt_hour_arrive_as_one() -> None:
    carry = Carry()

    sent_wh = [carry.interval(start_s=0, duration_s=60, flows=the_same(Fraction(1, 3))).pv_wh for _ in range(6)]

    assert sent_wh == [0, 0, 1, 0, 0, 1]


def test_a_negative_flow_is_floored_like_any_other() -> None:
    carry = Carry()

    sent_wh = [carry.interval(start_s=0, duration_s=60, flows=the_same(Fraction(-1, 2))).pv_wh for _ in range(4)]

    assert sent_wh == [-1, 0, -1, 0]
