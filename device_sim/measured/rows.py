"""What reading gives: homes with their rows, and the rows that could not be read, with the reason."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from enum import StrEnum
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from contracts.wire.packs import Interval

LOCAL: Final = ZoneInfo("America/Toronto")  # the programme's local time
DEFAULT_ZONE: Final = "ontario"
NAMEPLATE_MAX: Final = 1_000_000_000
"""W or wh: the platform registers no unit with more. An interval that can be sent needs far less."""
INTENSITY_MAX: Final = 1_000_000
"""mg/wh: the platform takes no more for an hour."""


class UnreadableFile(Exception):
    """Nothing of this path can be used; the message is one line for whoever named it."""


class Reason(StrEnum):
    """Why a row cannot be read."""

    BAD_CSV = "bad_csv"
    WRONG_COLUMN_COUNT = "wrong_column_count"
    MISSING_COLUMN = "missing_column"
    MISSING_HOME = "missing_home"
    BAD_START = "bad_start"
    MISSING_OFFSET = "missing_offset"
    BAD_INTERVAL = "bad_interval"
    BAD_ENERGY = "bad_energy"
    BAD_SOC = "bad_soc"
    BAD_NAMEPLATE = "bad_nameplate"
    BAD_INTENSITY = "bad_intensity"
    NONEXISTENT_LOCAL_TIME = "nonexistent_local_time"
    MISSING_FILE = "missing_file"
    NOT_IN_HOMES_CSV = "not_in_homes_csv"


@dataclass(frozen=True, slots=True)
class Unreadable:
    """One row that cannot be read. `line` counts the file's lines from 1; 0 stands for the whole file."""

    file: Path
    line: int
    reason: Reason


@dataclass(frozen=True, slots=True)
class Row:
    """One row as it is sent. `file` and `line` (from 1) say where it was measured."""

    file: Path
    line: int
    interval: Interval

    @property
    def start_s(self) -> int:
        return self.interval.start_s

    @property
    def end_s(self) -> int:
        return self.interval.start_s + self.interval.duration_s


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredHome:
    """One home: its nameplates, its readable rows in file order, and the others."""

    name: str
    pv_nameplate_w: int
    battery_capacity_wh: int
    battery_power_w: int
    zone: str
    rows: tuple[Row, ...]
    unreadable: tuple[Unreadable, ...] = ()

    def between(self, *, from_s: int, to_s: int) -> "MeasuredHome":
        """Return the home with the rows that start in from_s <= start < to_s; nameplates stay those of all rows."""
        return replace(self, rows=tuple(row for row in self.rows if from_s <= row.start_s < to_s))


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """All that was read.

    homes        by name
    unreadable   rows that belong to no home
    signals      grid intensity in mg CO2e per wh by the hour's start (UTC seconds)
    """

    homes: tuple[MeasuredHome, ...]
    unreadable: tuple[Unreadable, ...]
    signals: Mapping[int, int]


def local_midnight_s(day: date) -> int:
    """Return when `day` begins in the programme's local time, in UTC seconds."""
    return int(datetime(day.year, day.month, day.day, tzinfo=LOCAL).timestamp())


def local_month(start_s: int) -> str:
    """Return the programme's local month of a time in UTC seconds, such as `2016-08`."""
    return f"{datetime.fromtimestamp(start_s, LOCAL):%Y-%m}"
