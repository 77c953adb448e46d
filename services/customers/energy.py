"""What a customer's units measured while they held them, as a series.

Energies in wh, times in Unix seconds. Only accepted packs count, and of these only intervals that begin and end within
a holding: what was measured before a claim, or after moving out, is another person's.
"""

import datetime
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from contracts.programmes import Programme
from contracts.recording import content_of
from contracts.state import Holdings
from contracts.units import DAY_S, HOUR_S, LocalDay, Seconds, UnixSeconds
from contracts.wire.packs import Interval, Pack
from services.ledger.client import Ledger

_EPOCH_ORDINAL: Final = datetime.date(1970, 1, 1).toordinal()
_READ_AT_ONCE_S: Final[Seconds] = 7 * DAY_S
"""Packs are read a week at a time, so that a year never lies in memory whole."""


class Resolution(StrEnum):
    """How long a step of a series is; days and months are the programme's local ones."""

    INTERVAL = "interval"
    HOUR = "hour"
    DAY = "day"
    MONTH = "month"


RANGE_S_MAX: Final = {
    Resolution.INTERVAL: 31 * DAY_S,
    Resolution.HOUR: 92 * DAY_S,
    Resolution.DAY: 366 * DAY_S,
    Resolution.MONTH: 366 * DAY_S,
}
"""The longest range that one call answers."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a series: from start_s to before end_s, and the sums in the order of FLOWS."""

    start_s: UnixSeconds
    end_s: UnixSeconds
    sums_wh: tuple[int, ...]


def measured(ledger: Ledger, holdings: Holdings, *, from_s: UnixSeconds, to_s: UnixSeconds) -> Iterator[Interval]:
    """The accepted intervals of the units held that begin in [from_s, to_s)."""
    for device_id, held_from_s, held_until_s in holdings.units:
        until_s = held_until_s or max(to_s + DAY_S, held_from_s)  # still held: no interval is as long as a day
        first_s, after_s = max(from_s, held_from_s), min(to_s, until_s)
        for read_from_s in range(first_s, after_s, _READ_AT_ONCE_S):
            read_to_s = min(read_from_s + _READ_AT_ONCE_S, after_s)
            for interval in _of_unit(ledger, device_id, read_from_s, read_to_s):
                if interval.start_s + interval.duration_s <= until_s:
                    yield interval


def series(intervals: Iterable[Interval], resolution: Resolution, programme: Programme) -> list[Step]:
    """The steps in which anything was measured, oldest first."""
    sums: dict[tuple[UnixSeconds, UnixSeconds], tuple[int, ...]] = {}
    for interval in intervals:
        span = _span(interval, resolution, programme)
        flows_wh = interval.flows_wh
        before = sums.get(span)
        sums[span] = flows_wh if before is None else tuple(map(int.__add__, before, flows_wh))
    return [Step(start_s, end_s, sums_wh) for (start_s, end_s), sums_wh in sorted(sums.items())]


def _of_unit(ledger: Ledger, device_id: str, from_s: UnixSeconds, to_s: UnixSeconds) -> Iterator[Interval]:
    for evidence in ledger.packs(device_id, from_s=from_s, to_s=to_s):
        content = content_of(evidence.message)
        if not isinstance(content, Pack):
            raise TypeError(f"pack {evidence.seq} of {device_id} was accepted but cannot be read")
        yield from (interval for interval in content.intervals if from_s <= interval.start_s < to_s)


def _span(interval: Interval, resolution: Resolution, programme: Programme) -> tuple[UnixSeconds, UnixSeconds]:
    """The step that the interval counts to. It never crosses a UTC hour, so it lies in one step whole."""
    match resolution:
        case Resolution.INTERVAL:
            return interval.start_s, interval.start_s + interval.duration_s
        case Resolution.HOUR:
            start_s = interval.start_s - interval.start_s % HOUR_S
            return start_s, start_s + HOUR_S
        case Resolution.DAY:
            day = programme.local_day(interval.start_s)
            return _midnight_s(programme, day), _midnight_s(programme, day + 1)
        case Resolution.MONTH:
            date = datetime.date.fromordinal(programme.local_day(interval.start_s) + _EPOCH_ORDINAL)
            first = date.replace(day=1)
            next_first = (first + datetime.timedelta(days=31)).replace(day=1)
            return _first_midnight_s(programme, first), _first_midnight_s(programme, next_first)


def _first_midnight_s(programme: Programme, date: datetime.date) -> UnixSeconds:
    return _midnight_s(programme, date.toordinal() - _EPOCH_ORDINAL)


def _midnight_s(programme: Programme, day: LocalDay) -> UnixSeconds:
    """When a local day begins."""
    noon_before_s = day * DAY_S - DAY_S // 2
    offset_s = programme.local_s(noon_before_s) - noon_before_s  # an hour off at most, so still in the day before
    return programme.next_local_midnight_s(noon_before_s - offset_s)
