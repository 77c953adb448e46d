"""What a programme has agreed: every rate, period, limit, holiday and UTC offset, read from one TOML file.

Owns the parameters only; the rules that use them are in the contracts beside it.
No time-zone database is used: the file lists the offsets and holidays (programme.md), so that every member
computes the same period from the same bytes.
"""

import tomllib
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final

from contracts.units import DAY_S, HOUR_S, Bp, Cents, LocalDay, MgPerWh, MicroSparks, Seconds, UnixSeconds

_UNIX_EPOCH_ORDINAL: Final = 719_163

PERIODS: Final = ("off", "mid", "on")
ALL_COLLECTIONS: Final = "all"
"""In the place of a role's collections: all there are. Such a member re-executes every entry on its own state."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpendingLimit:
    """What one identity level may spend: cents in a local day, cents in thirty of them."""

    day_cents: Cents
    thirty_days_cents: Cents


@dataclass(frozen=True, slots=True, kw_only=True)
class Programme:
    """The parameters of one programme; field names carry the units."""

    name: str
    offset_from_s: tuple[UnixSeconds, ...]
    offset_s: tuple[Seconds, ...]
    holidays: frozenset[LocalDay]
    season_from: tuple[LocalDay, ...]
    season_hours: tuple[tuple[str, ...], ...]
    interval_s_min: Seconds
    interval_s_max: Seconds
    interval_s_step: Seconds
    pv_margin_percent: int
    storage_margin_percent: int
    imbalance_wh_max: int
    imbalance_divisor: int
    charge_efficiency_bp: Bp
    clock_ahead_s_due: Seconds
    clock_ahead_s_max: Seconds
    late_s_max: Seconds
    seq_ahead_max: int
    micro_sparks_per_wh: Mapping[str, Mapping[str, int]]
    micro_sparks_per_avoided_mg: int
    micro_sparks_per_response_wh: int
    default_intensity_mg_per_wh: MgPerWh
    levels_bp: Mapping[str, Bp]
    first_level: str
    day_micro_sparks_max: MicroSparks
    event_notice_s_min: Seconds
    baseline_window_s: Seconds
    baseline_s_min: Seconds
    event_kept_s: Seconds
    claim_code_s: Seconds
    release_awards_max: int
    spending: Mapping[str, SpendingLimit]
    code_s: Seconds
    code_declines_max: int
    code_max_cents_default: Cents
    amount_cents_max: Cents
    hold_s: Seconds
    refund_s_max: Seconds
    settlement_fee_bp: Bp
    final_above_cents: Cents
    retailer_levels: Sequence[str]
    approvals_above_bp: Bp
    member_keys_max: int
    member_key_s_default: Seconds
    member_key_s_max: Seconds
    member_key_forecast_s: Seconds
    role_collections: Mapping[str, Sequence[str]]

    def local_s(self, at_s: UnixSeconds) -> int:
        """Seconds since 1970-01-01 00:00 on the wall clock of the programme."""
        place = bisect_right(self.offset_from_s, at_s) - 1
        return at_s + self.offset_s[max(place, 0)]

    def local_day(self, at_s: UnixSeconds) -> LocalDay:
        """The programme's calendar day that `at_s` lies in."""
        return self.local_s(at_s) // DAY_S

    def next_local_midnight_s(self, at_s: UnixSeconds) -> UnixSeconds:
        """The first moment after `at_s` at which a local day begins."""
        day_start_local_s = (self.local_day(at_s) + 1) * DAY_S
        for offset_s in sorted(set(self.offset_s), reverse=True):
            candidate_s = day_start_local_s - offset_s
            if candidate_s > at_s and self.local_s(candidate_s) == day_start_local_s:
                return candidate_s
        raise ValueError(f"no local midnight follows {at_s}: the offsets of {self.name} change at midnight")

    def period(self, at_s: UnixSeconds) -> str:
        """`off`, `mid` or `on`: Ontario's time-of-use period of the moment (programme.md, What it earns)."""
        local_s = self.local_s(at_s)
        day = local_s // DAY_S
        if (day + 3) % 7 >= 5 or day in self.holidays:
            return "off"
        season = max(bisect_right(self.season_from, day) - 1, 0)
        return self.season_hours[season][local_s % DAY_S // HOUR_S]


def parse(text: str) -> Programme:
    """Read a programme from the text of its TOML file; a missing or unknown name raises."""
    return read(tomllib.loads(text))


def read(tables: Mapping[str, Any]) -> Programme:
    """A programme from the tables of its TOML file; a missing or unknown name raises."""
    raw = dict(tables)
    offsets = raw.pop("offsets")
    spending = {level: SpendingLimit(**limit) for level, limit in raw.pop("spending").items()}
    hours = {season: _hours(spans) for season, spans in raw.pop("hours").items()}
    seasons = raw.pop("seasons")
    return Programme(
        offset_from_s=tuple(_unix_s(change["from"]) for change in offsets),
        offset_s=tuple(change["offset_s"] for change in offsets),
        holidays=frozenset(_day(date) for date in raw.pop("holidays")),
        season_from=tuple(_day(season["from"]) for season in seasons),
        season_hours=tuple(hours[season["hours"]] for season in seasons),
        spending=spending,
        **{name: value for part in raw.values() for name, value in part.items()},
    )


@cache
def load(name: str = "ontario") -> Programme:
    """The programme whose file lies in this package."""
    return parse(source(name))


def source(name: str = "ontario") -> str:
    """The text of a programme's file, as it counts towards the contract set's version."""
    return files(__name__).joinpath(f"{name}.toml").read_text(encoding="utf-8")


def _hours(spans: list[list[Any]]) -> tuple[str, ...]:
    """Spell out spans of [from hour, to hour, period] into the 24 hours of a day; `off` elsewhere."""
    hours = ["off"] * 24
    for first, after, period in spans:
        if period not in PERIODS:
            raise ValueError(f"a period is one of {PERIODS}, got {period!r}")
        hours[first:after] = [period] * (after - first)
    return tuple(hours)


def _unix_s(moment: Any) -> UnixSeconds:
    """Unix seconds of a UTC date-time as tomllib gives it, without going through a float."""
    if moment.utcoffset() is None or moment.utcoffset().total_seconds() != 0:
        raise ValueError(f"an offset change is given in UTC, got {moment}")
    return _day(moment) * DAY_S + int(moment.hour) * HOUR_S + int(moment.minute) * 60 + int(moment.second)


def _day(date: Any) -> LocalDay:
    """Days since 1970-01-01 of a date as tomllib gives it."""
    return int(date.toordinal()) - _UNIX_EPOCH_ORDINAL
