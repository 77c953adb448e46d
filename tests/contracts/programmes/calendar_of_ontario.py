"""Writes the calendar part of `contracts/programmes/ontario.toml` from well-kept libraries.

Run `python -m tests.contracts.programmes.calendar_of_ontario` and paste what it prints; the test beside it fails when
the file and the libraries differ. The parameter file carries the result, so that no member needs these libraries.
"""

import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import holidays

YEARS = range(2015, 2041)
ZONE = ZoneInfo("America/Toronto")
IN_ORDER = (
    "New Year's Day",
    "Family Day",
    "Good Friday",
    "Victoria Day",
    "Canada Day",
    "Civic Holiday",
    "Labor Day",
    "Thanksgiving Day",
    "Christmas Day",
    "Boxing Day",
)


def offset_changes() -> list[tuple[datetime, int]]:
    """(UTC moment, offset in seconds from then on), beginning with the one in force at the start of 2015."""
    moment = datetime(YEARS[0] - 1, 12, 31, tzinfo=UTC)
    changes = [(moment, _offset_s(moment))]
    while moment.year <= YEARS[-1]:
        moment += timedelta(hours=1)
        if _offset_s(moment) != changes[-1][1]:
            changes.append((moment, _offset_s(moment)))
    return changes


def holidays_kept() -> list[date]:
    """Every day that counts as a holiday: one on a weekend moves to the next weekday that is none itself."""
    return [day for year in YEARS for day in sorted(_kept_in(year))]


def seasons() -> list[tuple[date, str]]:
    """(first day, season), winter first."""
    changes = [(date(YEARS[0] - 1, 11, 1), "winter")]
    for year in YEARS:
        changes += [(date(year, 5, 1), "summer"), (date(year, 11, 1), "winter")]
    return changes


def text() -> str:
    """The calendar part of the parameter file."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "offsets = ["
    for moment, offset_s in offset_changes():
        yield f"  {{ from = {moment:%Y-%m-%dT%H:%M:%SZ}, offset_s = {offset_s} }},"
    yield "]"
    yield "seasons = ["
    for day, season in seasons():
        yield f'  {{ from = {day}, hours = "{season}" }},'
    yield "]"
    yield "holidays = ["
    for year in YEARS:
        yield "  " + " ".join(f"{day}," for day in sorted(_kept_in(year)))
    yield "]"


def _offset_s(moment: datetime) -> int:
    offset = moment.astimezone(ZONE).utcoffset()
    assert offset is not None
    return int(offset.total_seconds())


def _kept_in(year: int) -> set[date]:
    calendar = holidays.country_holidays(
        "CA", subdiv="ON", years=year, observed=False, categories=("public", "optional", "government")
    )
    dated = {name: day for day, name in calendar.items() if day.year == year}
    own = {dated[name] for name in IN_ORDER}
    kept = {day for day in own if day.weekday() < 5}
    for name in IN_ORDER:
        day = dated[name]
        if day.weekday() >= 5:
            while day.weekday() >= 5 or day in kept:
                day += timedelta(days=1)
            kept.add(day)
    return kept


if __name__ == "__main__":
    sys.stdout.write(text())
