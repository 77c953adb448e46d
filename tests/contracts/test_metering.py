"""Which intervals count, and where their watt-hours came from."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import metering, programmes
from contracts.metering import Refusal
from contracts.wire.packs import Interval
from tests.contracts.builders import MONDAY_NOON_S, a_unit, an_interval

PROGRAMME = programmes.load()
WH = st.integers(0, 6_000)


def refusal_of(interval: Interval, *, is_overlap: bool = False) -> Refusal | None:
    return metering.refusal_of(interval, a_unit(), PROGRAMME, is_overlap=is_overlap)


def test_a_balanced_interval_counts() -> None:
    assert refusal_of(an_interval()) is None


@pytest.mark.parametrize(
    ("interval", "reason"),
    [
        (an_interval(MONDAY_NOON_S + 1), Refusal.INTERVAL_SHAPE),
        (an_interval(duration_s=90), Refusal.INTERVAL_SHAPE),
        (an_interval(duration_s=0), Refusal.INTERVAL_SHAPE),
        (an_interval(duration_s=-60), Refusal.INTERVAL_SHAPE),
        (an_interval(duration_s=7_200), Refusal.INTERVAL_SHAPE),
        (an_interval(MONDAY_NOON_S + 60), Refusal.INTERVAL_CROSSES_HOUR),
        (an_interval(load_wh=-1), Refusal.NEGATIVE_ENERGY),
        (an_interval(pv_wh=6_252, load_wh=6_252), Refusal.ABOVE_NAMEPLATE),
        (an_interval(charge_wh=5_502, import_wh=5_502), Refusal.ABOVE_NAMEPLATE),
        (an_interval(discharge_wh=5_502, export_wh=5_502), Refusal.ABOVE_NAMEPLATE),
        (an_interval(pv_wh=900, load_wh=1_000), Refusal.ENERGY_IMBALANCE),
    ],
)
def test_the_first_reason_in_the_programmes_order_is_the_one(interval: Interval, reason: Refusal) -> None:
    assert refusal_of(interval) == reason


def test_an_overlap_comes_before_what_the_energies_say() -> None:
    assert refusal_of(an_interval(load_wh=-1), is_overlap=True) == Refusal.INTERVAL_OVERLAP


@pytest.mark.parametrize("interval", [an_interval(pv_wh=6_251, load_wh=6_251), an_interval(pv_wh=995, load_wh=1_000)])
def test_one_watt_hour_of_remainder_and_a_fiftieth_of_imbalance_are_allowed(interval: Interval) -> None:
    assert refusal_of(interval) is None


@given(st.tuples(WH, WH, WH, WH, WH, WH), st.integers(0, 10_000), st.integers(0, 10_000))
def test_watt_hours_attributed_never_exceed_watt_hours_measured(six: tuple[int, ...], green: int, grey: int) -> None:
    pv, load, charge, discharge, imported, export = six
    interval = an_interval(
        pv_wh=pv, load_wh=load, charge_wh=charge, discharge_wh=discharge, import_wh=imported, export_wh=export
    )

    flows = metering.attribute(interval, a_unit(), PROGRAMME, green_wh=green, grey_wh=grey)

    pv_charge = charge - flows.grid_charge_wh
    assert flows.pv_load_wh + pv_charge + flows.pv_export_wh <= pv
    assert flows.self_supply_wh <= load
    assert flows.pv_export_wh + flows.green_export_wh <= export
    assert flows.green_load_wh + flows.green_export_wh <= min(discharge, green)
    assert min(flows.green_wh, flows.grey_wh, flows.grid_charge_wh, flows.green_load_wh, flows.green_export_wh) >= 0
    assert flows.green_wh + flows.grey_wh <= 10_000


@given(st.lists(st.tuples(WH, WH, WH, WH, WH), max_size=40))
def test_green_energy_out_of_a_battery_never_exceeds_green_energy_in(
    history: list[tuple[int, int, int, int, int]],
) -> None:
    green_wh = grey_wh = green_in = green_out = 0
    for pv, load, charge, discharge, export in history:
        interval = an_interval(pv_wh=pv, load_wh=load, charge_wh=charge, discharge_wh=discharge, export_wh=export)
        flows = metering.attribute(interval, a_unit(), PROGRAMME, green_wh=green_wh, grey_wh=grey_wh)
        green_in += charge - flows.grid_charge_wh
        green_out += flows.green_load_wh + flows.green_export_wh
        green_wh, grey_wh = flows.green_wh, flows.grey_wh

    assert green_out + green_wh <= green_in


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 10)), max_size=20))
def test_runs_keep_every_minute_once(spans: list[tuple[int, int]]) -> None:
    runs: tuple[tuple[int, int], ...] = ()
    minutes: set[int] = set()
    for start, length in spans:
        assert metering.overlaps(start, start + length, runs) == bool(minutes & set(range(start, start + length)))
        runs = metering.joined(runs, start, start + length)
        minutes |= set(range(start, start + length))

    assert {minute for first, after in runs for minute in range(first, after)} == minutes
    assert all(before[1] < after[0] for before, after in itertools.pairwise(runs))
