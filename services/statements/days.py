"""Local days as numbers (days since 1970-01-01) and as dates."""

from datetime import date, timedelta
from typing import Final

from contracts import programmes
from contracts.units import LocalDay
from services.clock import SystemClock

_EPOCH: Final = date(1970, 1, 1)


def day_of(day: date) -> LocalDay:
    """The number of a calendar day."""
    return (day - _EPOCH).days


def yesterday() -> date:
    """The calendar day that is just over where the programme is, by the machine's clock."""
    return date_of(programmes.load().local_day(SystemClock().now_s()) - 1)


def date_of(day: LocalDay) -> date:
    """The calendar day of a number; ValueError beyond the year 9999 or before the year 1."""
    try:
        return _EPOCH + timedelta(days=day)
    except OverflowError as error:
        raise ValueError(f"there is no day {day}") from error
