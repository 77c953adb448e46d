"""Simulated homes near Toronto: who lives there, what they use, and what their meters then show."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final
from zlib import crc32
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from contracts.wire.packs import Interval
from contracts.wire.receipts import EventCall
from device_sim.battery import Battery, is_inside, settle
from device_sim.carry import Carry
from device_sim.sun import Roof, air_temperature_c, generation_wh

LOCAL: Final = ZoneInfo("America/Toronto")
ZONE: Final = "toronto"
LATITUDES: Final = (43.58, 43.84)
LONGITUDES: Final = (-79.62, -79.20)
BATTERIES: Final = ((6_400, 3_300), (10_000, 5_000), (13_500, 5_000), (13_500, 7_000))  # capacity wh, power w
EFFICIENCY: Final = Fraction(9, 10)
COMFORT_C: Final = 21.0  # above it the air conditioner works

Calls = Callable[[str, int], Sequence[EventCall]]
"""The events that the unit of a home (its name) takes part in at a time (UTC seconds), the first to be served first."""


def no_calls(_home: str, _now_s: int) -> Sequence[EventCall]:
    """Return no event: nobody asks anything of anyone."""
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """One home of the simulated neighbourhood.

    base_w       what is never switched off
    appetite     1.0 is an average family; scales peaks and appliances
    cooling_w    what the air conditioner draws when it is hot; 0 without one
    """

    name: str
    zone: str
    roof: Roof
    battery: Battery
    base_w: float
    appetite: float
    cooling_w: float

    @property
    def pv_nameplate_w(self) -> int:
        return self.roof.pv_nameplate_w

    @property
    def battery_capacity_wh(self) -> int:
        return int(self.battery.capacity_wh)

    @property
    def battery_power_w(self) -> int:
        return int(self.battery.power_w)


def neighbourhood(count: int, *, seed: int) -> list[Home]:
    """Return `count` different homes near Toronto, each with solar and storage, named home-001, home-002, ..."""
    return [_home(number, seed=seed) for number in range(1, count + 1)]


def live(
    homes: Sequence[Home],
    *,
    start_s: int,
    interval_s: int,
    count: int,
    seed: int,
    calls: Calls = no_calls,
) -> dict[str, Iterator[Interval]]:
    """Return per home's name its `count` intervals from `start_s` (UTC) on, made one at a time.

    interval_s   divides an hour, and start_s is a multiple of it: no interval crosses one
    calls        asked anew for every interval, so an event that a unit hears of while its home lives is served
    Raises ValueError if the intervals would not fit into hours.
    """
    if interval_s < 60 or 3600 % interval_s or interval_s % 60 or start_s % interval_s:
        raise ValueError(f"intervals fit whole into an hour, got {interval_s} s from {start_s}")
    span = {"start_s": start_s, "interval_s": interval_s, "count": count, "seed": seed}
    generated_wh = generation_wh([home.roof for home in homes], **span)
    return {
        home.name: _intervals(
            home,
            pv_wh=pv_wh,
            load_wh=consumption_wh(home, **span),
            start_s=start_s,
            interval_s=interval_s,
            calls=calls,
        )
        for home, pv_wh in zip(homes, generated_wh, strict=True)
    }


def consumption_wh(home: Home, *, start_s: int, interval_s: int, count: int, seed: int) -> NDArray[np.float64]:
    """Return the home's energy use of each interval: base, two daily peaks, appliances and cooling."""
    chance = np.random.default_rng([seed, start_s, crc32(home.name.encode())])
    times = pd.DatetimeIndex(pd.to_datetime(start_s + interval_s * np.arange(count), unit="s", utc=True))
    local = times.tz_convert(LOCAL)
    hour = np.asarray(local.hour + local.minute / 60, dtype=np.float64)
    weekend = np.asarray(local.day_of_week >= 5)
    load_w = home.base_w * chance.uniform(0.85, 1.15, count)
    load_w += home.appetite * _peaks_w(hour, weekend) * chance.uniform(0.6, 1.4, count)
    load_w += home.appetite * _appliances_w(hour, interval_s, chance)
    warmth_c = air_temperature_c(times, longitude=home.roof.longitude) - COMFORT_C
    duty = np.clip(warmth_c / 8, 0, 1) * chance.uniform(0.5, 1.0, count)
    return np.asarray((load_w + home.cooling_w * duty) * interval_s / 3600, dtype=np.float64)


def _home(number: int, *, seed: int) -> Home:
    chance = np.random.default_rng([seed, number])
    capacity_wh, power_w = BATTERIES[int(chance.integers(len(BATTERIES)))]
    return Home(
        name=f"home-{number:03d}",
        zone=ZONE,
        roof=Roof(
            latitude=float(chance.uniform(*LATITUDES)),
            longitude=float(chance.uniform(*LONGITUDES)),
            tilt_deg=float(chance.uniform(18, 40)),
            azimuth_deg=float(chance.choice([135, 180, 180, 225, 250])),
            pv_nameplate_w=int(chance.integers(8, 21)) * 500,
        ),
        battery=Battery(
            capacity_wh=Fraction(capacity_wh),
            power_w=Fraction(power_w),
            efficiency=EFFICIENCY,
            reserve_pct=int(chance.choice([10, 20, 30])),
        ),
        base_w=float(chance.uniform(150, 350)),
        appetite=float(chance.uniform(0.6, 1.5)),
        cooling_w=float(chance.choice([0, 1_800, 2_400, 3_000])),
    )


def _peaks_w(hour: NDArray[np.float64], weekend: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return what people at home use by the hour: breakfast (later at weekends) and the evening."""
    breakfast_hour = np.where(weekend, 9.0, 7.3)
    morning = 700 * np.exp(-(((hour - breakfast_hour) / 1.1) ** 2))
    evening = 1_300 * np.exp(-(((hour - 19.0) / 2.0) ** 2))
    daytime = np.where(weekend & (hour > 10) & (hour < 17), 350, 100)
    return np.asarray(morning + evening + daytime * (hour > 6) * (hour < 23), dtype=np.float64)


def _appliances_w(hour: NDArray[np.float64], interval_s: int, chance: np.random.Generator) -> NDArray[np.float64]:
    """Return runs of dishwasher, washer, dryer and oven: now and then, by day, a whole run at a time."""
    load_w = np.zeros_like(hour)
    for power_w, runs_per_day, minutes in ((1_800, 0.9, 60), (500, 0.7, 50), (3_000, 0.6, 45), (2_400, 0.8, 40)):
        awake = (hour >= 8) & (hour < 22)
        starts = chance.random(hour.size) < awake * runs_per_day * interval_s / (14 * 3600)
        lasts = max(1, minutes * 60 // interval_s)
        for first in np.flatnonzero(starts):
            load_w[first : first + lasts] += power_w
    return load_w


def _intervals(
    home: Home,
    *,
    pv_wh: NDArray[np.float64],
    load_wh: NDArray[np.float64],
    start_s: int,
    interval_s: int,
    calls: Calls,
) -> Iterator[Interval]:
    stored_wh = home.battery.reserve_wh  # at first it holds nothing that anybody could take out
    carry = Carry()
    for index in range(len(pv_wh)):
        at_s = start_s + index * interval_s
        inside = (e for e in calls(home.name, at_s) if is_inside(e, start_s=at_s, duration_s=interval_s))
        event = next(inside, None)
        flows, stored_wh = settle(
            home.battery,
            stored_wh,
            pv_wh=_milli(pv_wh[index]),
            load_wh=_milli(load_wh[index]),
            duration_s=interval_s,
            event=event,
        )
        soc_pct = home.battery.soc_pct(stored_wh)
        yield carry.interval(start_s=at_s, duration_s=interval_s, flows=flows, soc_pct=soc_pct)


def _milli(energy_wh: float) -> Fraction:
    """Return what a meter with three decimals shows: from here on the arithmetic is exact."""
    return Fraction(round(energy_wh * 1_000), 1_000)
