"""Does an interval count, and where did its watt-hours come from.

programme.md, "An interval is accepted when" and "Where the watt-hours came from". The sun serves the house first, then
the battery, then the grid; what the battery holds is tracked by origin.
"""

from enum import StrEnum
from typing import NamedTuple

from contracts.programmes import Programme
from contracts.state import Unit
from contracts.units import BP_ONE, HOUR_S, UnixSeconds, Wh
from contracts.wire.packs import Interval


class Refusal(StrEnum):
    """Why a pack in its place is refused; the first that applies, in this order (interfaces.md 1, programme.md)."""

    MALFORMED_PACK = "malformed_pack"
    WRONG_DEVICE = "wrong_device"
    BROKEN_CHAIN = "broken_chain"
    CLOCK_AHEAD = "clock_ahead"
    TOO_LATE = "too_late"
    INTERVAL_SHAPE = "interval_shape"
    INTERVAL_CROSSES_HOUR = "interval_crosses_hour"
    INTERVAL_OVERLAP = "interval_overlap"
    NEGATIVE_ENERGY = "negative_energy"
    ABOVE_NAMEPLATE = "above_nameplate"
    ENERGY_IMBALANCE = "energy_imbalance"


class Flows(NamedTuple):
    """An interval's watt-hours by way and origin; the battery's stock after it."""

    pv_load_wh: Wh
    pv_export_wh: Wh
    green_load_wh: Wh
    green_export_wh: Wh
    grid_charge_wh: Wh
    green_wh: Wh
    grey_wh: Wh

    @property
    def self_supply_wh(self) -> Wh:
        """Green energy that the home itself used."""
        return self.pv_load_wh + self.green_load_wh


def refusal_of(interval: Interval, unit: Unit, programme: Programme, *, is_overlap: bool) -> Refusal | None:
    """The first reason why the interval does not count, or None if it does.

    is_overlap  it shares a moment with an accepted interval (how that is told depends on the decision)
    """
    if not _has_shape(interval, programme):
        return Refusal.INTERVAL_SHAPE
    if interval.start_s % HOUR_S + interval.duration_s > HOUR_S:
        return Refusal.INTERVAL_CROSSES_HOUR
    if is_overlap:
        return Refusal.INTERVAL_OVERLAP
    if min(interval.flows_wh) < 0:
        return Refusal.NEGATIVE_ENERGY
    if _is_above_nameplate(interval, unit, programme):
        return Refusal.ABOVE_NAMEPLATE
    if not _is_balanced(interval, programme):
        return Refusal.ENERGY_IMBALANCE
    return None


def attribute(interval: Interval, unit: Unit, programme: Programme, *, green_wh: Wh, grey_wh: Wh) -> Flows:
    """Follow an accepted interval's watt-hours; `green_wh` and `grey_wh` are the stock before it."""
    pv_load = min(interval.pv_wh, interval.load_wh)
    pv_charge = min(interval.pv_wh - pv_load, interval.charge_wh)
    pv_export = min(interval.pv_wh - pv_load - pv_charge, interval.export_wh)
    grid_charge = interval.charge_wh - pv_charge

    discharge = interval.discharge_wh
    stock = green_wh + grey_wh
    green_out = min(green_wh, discharge * green_wh // stock) if stock else 0
    grey_out = min(grey_wh, discharge - green_out)
    discharge_to_load = min(discharge, interval.load_wh - pv_load)
    green_load = green_out * discharge_to_load // discharge if discharge else 0
    green_export = min(green_out - green_load, interval.export_wh - pv_export)

    green_after = green_wh + pv_charge * programme.charge_efficiency_bp // BP_ONE - green_out
    grey_after = grey_wh + grid_charge * programme.charge_efficiency_bp // BP_ONE - grey_out
    excess = max(0, green_after + grey_after - unit.battery_capacity_wh)
    grey_excess = min(excess, grey_after)
    return Flows(
        pv_load_wh=pv_load,
        pv_export_wh=pv_export,
        green_load_wh=green_load,
        green_export_wh=green_export,
        grid_charge_wh=grid_charge,
        green_wh=green_after - (excess - grey_excess),
        grey_wh=grey_after - grey_excess,
    )


def attribute_panel(interval: Interval, *, green_wh: Wh, grey_wh: Wh) -> Flows:
    """The second decision: only what the panel fed to the house and the grid counts; the stock stays as it is."""
    pv_load = min(interval.pv_wh, interval.load_wh)
    pv_charge = min(interval.pv_wh - pv_load, interval.charge_wh)
    return Flows(
        pv_load_wh=pv_load,
        pv_export_wh=min(interval.pv_wh - pv_load - pv_charge, interval.export_wh),
        green_load_wh=0,
        green_export_wh=0,
        grid_charge_wh=interval.charge_wh - pv_charge,
        green_wh=green_wh,
        grey_wh=grey_wh,
    )


def overlaps(start_s: UnixSeconds, end_s: UnixSeconds, runs: tuple[tuple[UnixSeconds, UnixSeconds], ...]) -> bool:
    """Does [start_s, end_s) share a moment with one of the runs?"""
    return any(start_s < run_end and run_start < end_s for run_start, run_end in runs)


def joined(
    runs: tuple[tuple[UnixSeconds, UnixSeconds], ...], start_s: UnixSeconds, end_s: UnixSeconds
) -> tuple[tuple[UnixSeconds, UnixSeconds], ...]:
    """The runs with [start_s, end_s) added, in order, neighbours merged."""
    if not runs or runs[-1][1] < start_s:
        return (*runs, (start_s, end_s))
    if runs[-1][1] == start_s:
        return (*runs[:-1], (runs[-1][0], end_s))
    merged: list[tuple[UnixSeconds, UnixSeconds]] = []
    for run in sorted((*runs, (start_s, end_s))):
        if merged and merged[-1][1] >= run[0]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], run[1]))
        else:
            merged.append(run)
    return tuple(merged)


def _has_shape(interval: Interval, programme: Programme) -> bool:
    step_s = programme.interval_s_step
    return (
        interval.start_s % step_s == 0
        and interval.duration_s % step_s == 0
        and programme.interval_s_min <= interval.duration_s <= programme.interval_s_max
    )


def _is_above_nameplate(interval: Interval, unit: Unit, programme: Programme) -> bool:
    # One watt-hour of slack, because a unit carries remainders into the next interval.
    one_wh = HOUR_S * 100
    pv_max = unit.pv_nameplate_w * interval.duration_s * programme.pv_margin_percent + one_wh
    storage_max = unit.battery_power_w * interval.duration_s * programme.storage_margin_percent + one_wh
    return interval.pv_wh * one_wh > pv_max or max(interval.charge_wh, interval.discharge_wh) * one_wh > storage_max


def _is_balanced(interval: Interval, programme: Programme) -> bool:
    into = interval.pv_wh + interval.import_wh + interval.discharge_wh
    out = interval.load_wh + interval.export_wh + interval.charge_wh
    gap = abs(into - out)
    return gap <= programme.imbalance_wh_max or programme.imbalance_divisor * gap <= max(into, out)
