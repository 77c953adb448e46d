"""The programme's rules for one interval, written down once more for what the edge makes by itself."""

from contracts.wire.packs import Interval


def is_balanced(interval: Interval) -> bool:
    """Return whether programme.md's rule `balance` holds."""
    into_wh = interval.pv_wh + interval.import_wh + interval.discharge_wh
    out_wh = interval.load_wh + interval.export_wh + interval.charge_wh
    apart_wh = abs(into_wh - out_wh)
    return apart_wh <= 5 or 50 * apart_wh <= max(into_wh, out_wh)


def is_within_nameplate(interval: Interval, *, pv_nameplate_w: int, battery_power_w: int) -> bool:
    """Return whether programme.md's rule `nameplate` holds."""
    pv_limit = pv_nameplate_w * interval.duration_s * 125 + 360_000
    battery_limit = battery_power_w * interval.duration_s * 110 + 360_000
    return (
        interval.pv_wh * 360_000 <= pv_limit
        and interval.charge_wh * 360_000 <= battery_limit
        and interval.discharge_wh * 360_000 <= battery_limit
    )


def is_never_negative(interval: Interval) -> bool:
    """Return whether no energy is below zero."""
    flows = (interval.pv_wh, interval.load_wh, interval.charge_wh, interval.discharge_wh)
    return min(*flows, interval.import_wh, interval.export_wh) >= 0
