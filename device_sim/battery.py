"""A home battery behind the meter: stores what the roof leaves over, serves the house, obeys an event.

Energies are exact (`Fraction`, wh at the battery's terminals); rounding is the business of `carry`.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from contracts.wire.receipts import EventCall
from device_sim.carry import NOTHING_WH, ExactFlows

SECONDS_PER_HOUR: Final = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Battery:
    """What the nameplate and the owner say.

    capacity_wh   energy it holds when full; 0 is a home without a battery
    power_w       largest charge and largest discharge
    efficiency    round trip, 0 < efficiency <= 1; all of the loss is taken on the way in
    reserve_pct   the owner's floor: below it nothing is taken out, whoever asks
    """

    capacity_wh: Fraction
    power_w: Fraction
    efficiency: Fraction
    reserve_pct: int

    def __post_init__(self) -> None:
        if self.capacity_wh < 0 or self.power_w < 0:
            raise ValueError(f"capacity and power are never negative, got {self.capacity_wh}, {self.power_w}")
        if not 0 < self.efficiency <= 1:
            raise ValueError(f"0 < efficiency <= 1, got {self.efficiency}")
        if not 0 <= self.reserve_pct <= 100:
            raise ValueError(f"reserve_pct lies in 0-100, got {self.reserve_pct}")

    @property
    def reserve_wh(self) -> Fraction:
        """Energy kept for the owner."""
        return self.capacity_wh * self.reserve_pct / 100

    def soc_pct(self, stored_wh: Fraction) -> int | None:
        """Return the state of charge in whole percent, floored; None without a battery."""
        return int(stored_wh * 100 // self.capacity_wh) if self.capacity_wh else None


def is_inside(event: EventCall, *, start_s: int, duration_s: int) -> bool:
    """Return whether the interval lies wholly inside the event: only such a one is paid for responding."""
    return event.start_s <= start_s and start_s + duration_s <= event.end_s


def settle(
    battery: Battery,
    stored_wh: Fraction,
    *,
    pv_wh: Fraction,
    load_wh: Fraction,
    duration_s: int,
    event: EventCall | None = None,
) -> tuple[ExactFlows, Fraction]:
    """Return the interval's flows, which balance exactly, and what the battery holds after it.

    Outside an event the house serves itself: the surplus charges, the shortfall discharges, the grid does the
    rest. In an event the battery does not charge, and gives at least what was asked, or all its power if no figure was,
    even if the house needs less; the higher of the owner's reserve and the event's holds.
    """
    surplus_wh = pv_wh - load_wh
    charge_wh = discharge_wh = NOTHING_WH
    if event is not None or surplus_wh < 0:
        discharge_wh = _discharge_wh(battery, stored_wh, -surplus_wh, duration_s, event)
    else:
        charge_wh = _charge_wh(battery, stored_wh, surplus_wh, duration_s)
    net_wh = surplus_wh + discharge_wh - charge_wh
    flows = ExactFlows(
        pv_wh=pv_wh,
        load_wh=load_wh,
        charge_wh=charge_wh,
        discharge_wh=discharge_wh,
        import_wh=max(-net_wh, NOTHING_WH),
        export_wh=max(net_wh, NOTHING_WH),
    )
    return flows, stored_wh + charge_wh * battery.efficiency - discharge_wh


def _charge_wh(battery: Battery, stored_wh: Fraction, surplus_wh: Fraction, duration_s: int) -> Fraction:
    room_wh = (battery.capacity_wh - stored_wh) / battery.efficiency
    return min(surplus_wh, _at_power_wh(battery.power_w, duration_s), room_wh)


def _discharge_wh(
    battery: Battery, stored_wh: Fraction, shortfall_wh: Fraction, duration_s: int, event: EventCall | None
) -> Fraction:
    limit_wh = _at_power_wh(battery.power_w, duration_s)
    wanted_wh, reserve_wh = shortfall_wh, battery.reserve_wh
    if event is not None:
        asked_w = battery.power_w if event.discharge_w is None else Fraction(event.discharge_w)
        wanted_wh = max(shortfall_wh, _at_power_wh(asked_w, duration_s))
        reserve_wh = max(reserve_wh, battery.capacity_wh * event.reserve_pct / 100)
    return max(NOTHING_WH, min(wanted_wh, limit_wh, stored_wh - reserve_wh))


def _at_power_wh(power_w: Fraction, duration_s: int) -> Fraction:
    return power_w * duration_s / SECONDS_PER_HOUR
