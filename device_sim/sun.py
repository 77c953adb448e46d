"""What the sky gives a neighbourhood's roofs: pvlib's clear sky, seeded clouds, panels and inverters.

Source of the models: pvlib (Haurwitz clear sky, Erbs decomposition, Hay-Davies transposition, PVWatts).
Floats are at home here: this is weather, not value.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import cos, radians
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pvlib import clearsky, inverter, irradiance, pvsystem, solarposition, temperature

from contracts.units import DAY_S, HOUR_S

Watts = NDArray[np.float64]

ALTITUDE_M: Final = 150
CLOUDS_PER_DAY: Final = 30
CLOUD_MINUTES: Final = (4, 35)  # shortest and longest time that one cloud covers one roof
CLOUD_DIMMING: Final = (0.15, 0.75)  # part of the clear sky that one cloud takes away
CLOUD_DRIFT_M_PER_S: Final = 8.0  # from west to east, so neighbours are dimmed one after the other
DARKEST_SKY: Final = 0.12
METRES_PER_DEGREE: Final = 111_320
COEFFICIENT_PER_C: Final = -0.0035  # power lost per degree of cell temperature, crystalline silicon
SYSTEM_LOSS: Final = 0.10
INVERTER_EFFICIENCY: Final = 0.96
WIND_M_PER_S: Final = 2.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Roof:
    """Where the panels lie and where they look: azimuth 180 is south, nameplate is DC and AC alike."""

    latitude: float
    longitude: float
    tilt_deg: float
    azimuth_deg: float
    pv_nameplate_w: int


def generation_wh(
    roofs: Sequence[Roof], *, start_s: int, interval_s: int, count: int, seed: int
) -> list[NDArray[np.float64]]:
    """Return per roof the AC energy of each of `count` intervals from `start_s` (UTC) on.

    The power at the middle of an interval stands for all of it. The same arguments give the same weather.
    """
    middles_s = start_s + interval_s * np.arange(0.5, count, dtype=np.float64)
    times = pd.DatetimeIndex(pd.to_datetime(middles_s, unit="s", utc=True))
    clouds = _Clouds.over(start_s=start_s, days=1 + interval_s * count // DAY_S, seed=seed)
    return [_ac_power_w(roof, times, clouds.clearness(roof, middles_s)) * interval_s / HOUR_S for roof in roofs]


def air_temperature_c(times: pd.DatetimeIndex, *, longitude: float) -> NDArray[np.float64]:
    """Return a typical air temperature of southern Ontario: warmest in late July and in mid-afternoon."""
    solar_hour = np.asarray(times.hour + times.minute / 60) + longitude / 15
    season = np.cos(2 * np.pi * (np.asarray(times.day_of_year) - 205) / 365)
    daily = np.cos(2 * np.pi * (solar_hour - 15) / 24)
    return np.asarray(9.0 + 14.0 * season + 5.5 * daily, dtype=np.float64)


@dataclass(frozen=True, slots=True)
class _Clouds:
    """Clouds that pass the meridian 79.4 W: when (UTC seconds), for how long, and how much they dim."""

    passes_s: NDArray[np.float64]
    lasts_s: NDArray[np.float64]
    dims: NDArray[np.float64]

    @classmethod
    def over(cls, *, start_s: int, days: int, seed: int) -> "_Clouds":
        chance = np.random.default_rng([seed, start_s])
        number = int(chance.poisson(CLOUDS_PER_DAY * days))
        return cls(
            passes_s=start_s + chance.uniform(0, days * DAY_S, number),
            lasts_s=60 * chance.uniform(*CLOUD_MINUTES, number),
            dims=chance.uniform(*CLOUD_DIMMING, number),
        )

    def clearness(self, roof: Roof, times_s: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the part of the clear sky that reaches `roof` at each time; clouds that overlap multiply."""
        east_m = (roof.longitude + 79.4) * METRES_PER_DEGREE * cos(radians(roof.latitude))
        arrives_s = self.passes_s + east_m / CLOUD_DRIFT_M_PER_S
        clearness = np.ones_like(times_s)
        for arrival_s, lasts_s, dim in zip(arrives_s, self.lasts_s, self.dims, strict=True):
            overhead = (times_s >= arrival_s) & (times_s < arrival_s + lasts_s)
            clearness[overhead] *= 1 - dim
        return np.maximum(clearness, DARKEST_SKY)


def _ac_power_w(roof: Roof, times: pd.DatetimeIndex, clearness: NDArray[np.float64]) -> Watts:
    sun = solarposition.get_solarposition(times, roof.latitude, roof.longitude, altitude=ALTITUDE_M)
    zenith_deg = sun["apparent_zenith"].to_numpy()
    plane_w_per_m2 = _plane_irradiance(roof, times, zenith_deg, sun["azimuth"].to_numpy(), clearness)
    air_c = air_temperature_c(times, longitude=roof.longitude)
    cell_c = temperature.pvsyst_cell(plane_w_per_m2, air_c, wind_speed=WIND_M_PER_S)
    dc_w = pvsystem.pvwatts_dc(plane_w_per_m2, cell_c, roof.pv_nameplate_w, COEFFICIENT_PER_C)
    dc_limit_w = roof.pv_nameplate_w / INVERTER_EFFICIENCY
    ac_w = inverter.pvwatts(dc_w * (1 - SYSTEM_LOSS), pdc0=dc_limit_w, eta_inv_nom=INVERTER_EFFICIENCY)
    return np.asarray(np.clip(np.nan_to_num(ac_w), 0, roof.pv_nameplate_w), dtype=np.float64)


def _plane_irradiance(
    roof: Roof,
    times: pd.DatetimeIndex,
    zenith_deg: NDArray[np.float64],
    azimuth_deg: NDArray[np.float64],
    clearness: NDArray[np.float64],
) -> NDArray[np.float64]:
    extra = irradiance.get_extra_radiation(times).to_numpy()
    ghi = clearsky.haurwitz(pd.Series(zenith_deg))["ghi"].to_numpy() * clearness
    split = irradiance.erbs(ghi, zenith_deg, times, max_zenith=85)
    plane = irradiance.get_total_irradiance(
        roof.tilt_deg,
        roof.azimuth_deg,
        zenith_deg,
        azimuth_deg,
        split["dni"],
        ghi,
        split["dhi"],
        dni_extra=extra,
        model="haydavies",
    )
    return np.nan_to_num(np.asarray(plane["poa_global"], dtype=np.float64))
