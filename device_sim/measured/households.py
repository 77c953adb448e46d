"""Household folders: `homes.csv`, a `{home}.csv` with load and sun for each, perhaps `carbon_intensity.csv`.

A row has no time of its own: row i (lines that cannot be read count too, blank ones do not) starts i wall-clock
hours after midnight of the first day, in the programme's local time. An hour that the clocks leave out cannot be
read; one that they repeat is its first occurrence, so the second is a gap.

load = non_shiftable_load x 1000 wh, sun = solar_generation x pv_nominal_kw wh, both exact. The simulated battery of
homes.csv makes the other flows from these, or there is none and the grid does all. A row that cannot be read leaves
battery and running sums as they were.

Without a usable line of homes.csv no row of a home can be read, for nothing says how large its roof is: `bad_nameplate`
for every row of a home whose line is bad, `not_in_homes_csv` for the rows of a file that no line names. A file without
its columns is `missing_column` in every row, and takes nothing from the others.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from fractions import Fraction
from math import ceil, floor
from pathlib import Path
from typing import Final

from contracts.units import HOUR_S
from device_sim.battery import Battery, settle
from device_sim.carry import Carry
from device_sim.measured.cells import Line, exact, header_of, lines_of
from device_sim.measured.rows import (
    DEFAULT_ZONE,
    INTENSITY_MAX,
    LOCAL,
    NAMEPLATE_MAX,
    MeasuredHome,
    Reason,
    Row,
    Unreadable,
    UnreadableFile,
)

LOAD, SUN, INTENSITY = "non_shiftable_load", "solar_generation", "carbon_intensity"
HOME_COLUMNS: Final = (
    "home",
    "pv_nominal_kw",
    "battery_capacity_kwh",
    "battery_power_kw",
    "battery_round_trip_efficiency",
)
RESERVE_PCT: Final = 25  # the as-built batteries of the known source had 75 % depth of discharge
MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
YEAR_MONTH: Final = re.compile(rf"(?<!\d)([1-9]\d{{3}})_({'|'.join(MONTHS)})", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _House:
    """One line of homes.csv; losses of capacity and at rest are left out of the simulated battery."""

    name: str
    pv_nominal_kw: Fraction
    battery: Battery


@dataclass(frozen=True, slots=True)
class Folder:
    """What a household folder holds. `signals`: mg CO2e per wh by the hour's start, UTC seconds."""

    homes: list[MeasuredHome]
    unreadable: list[Unreadable]
    signals: dict[int, int]


def read(folder: Path, *, start: date | None, has_battery: bool) -> Folder:
    """Return the homes of a folder. Without `start` the first day is that of a `2016_aug` in the folder's name.

    Raises UnreadableFile if homes.csv cannot be used, no home has a file, or nothing says when the rows start.
    """
    first_day = start or _first_day(folder)
    houses, unreadable = _read_houses(folder / "homes.csv", has_battery=has_battery)
    homes = []
    for name, house in houses.items():
        path = folder / f"{name}.csv"
        if path.is_file():
            homes.append(_read_home(path, house, first_day) if house else _home_of_no_size(path))
        elif house:
            unreadable.append(Unreadable(path, 0, Reason.MISSING_FILE))
    if not homes:
        raise UnreadableFile(f"{folder}: no home of homes.csv has a file of its name")
    unreadable += _left_over(folder, set(houses))
    signals, without_signal = _read_signals(folder / "carbon_intensity.csv", first_day)
    return Folder(homes, unreadable + without_signal, signals)


def _first_day(folder: Path) -> date:
    match = YEAR_MONTH.search(folder.resolve().name)
    if match is None:
        raise UnreadableFile(f"{folder}: say with --start when its rows begin (its name has no part like 2016_aug)")
    return date(int(match[1]), 1 + MONTHS.index(match[2].lower()), 1)


def _columns(path: Path, header: list[str], wanted: tuple[str, ...]) -> list[int]:
    """Return where the wanted columns stand. Raises UnreadableFile if one is missing."""
    if missing := [name for name in wanted if name not in header]:
        raise UnreadableFile(f"{path}: the header lacks {', '.join(missing)}")
    return [header.index(name) for name in wanted]


def _shape_reason(line: Line, header: list[str]) -> Reason | None:
    if line.is_broken:
        return Reason.BAD_CSV
    return None if len(line.cells) == len(header) else Reason.WRONG_COLUMN_COUNT


def _read_houses(path: Path, *, has_battery: bool) -> tuple[dict[str, _House | None], list[Unreadable]]:
    """Return the homes by name, None for one whose only lines are bad, and the bad lines."""
    lines = lines_of(path)
    header = header_of(lines)
    columns = _columns(path, header, HOME_COLUMNS)
    houses: dict[str, _House | None] = {}
    unreadable = []
    for line in lines:
        reason = _shape_reason(line, header)
        house = reason or _house([line.cells[column] for column in columns], has_battery=has_battery)
        if isinstance(house, Reason):
            unreadable.append(Unreadable(path, line.number, house))
            if _is_name(name := "".join(line.cells[columns[0] : columns[0] + 1])):
                houses.setdefault(name, None)
        else:
            houses[house.name] = house
    return houses, unreadable


def _house(cells: list[str], *, has_battery: bool) -> _House | Reason:
    name, *numbers = cells
    pv_kw, capacity_kwh, power_kw, efficiency = (exact(text) for text in numbers)
    if not _is_name(name):
        return Reason.MISSING_HOME
    if pv_kw is None or capacity_kwh is None or power_kw is None or efficiency is None:
        return Reason.BAD_NAMEPLATE
    largest_kw = NAMEPLATE_MAX // 1_000
    if not all(0 <= size <= largest_kw for size in (pv_kw, capacity_kwh, power_kw)) or not 0 < efficiency <= 1:
        return Reason.BAD_NAMEPLATE
    size = 1_000 if has_battery else 0
    battery = Battery(
        capacity_wh=capacity_kwh * size, power_w=power_kw * size, efficiency=efficiency, reserve_pct=RESERVE_PCT
    )
    return _House(name, pv_kw, battery)


def _is_name(name: str) -> bool:
    """A home's name is that of a file in the folder, never a way out of it."""
    return bool(name) and "\0" not in name and Path(name).name == name


def _home_of_no_size(path: Path) -> MeasuredHome:
    return MeasuredHome(
        name=path.stem,
        pv_nameplate_w=0,
        battery_capacity_wh=0,
        battery_power_w=0,
        zone=DEFAULT_ZONE,
        rows=(),
        unreadable=_all_rows(path, Reason.BAD_NAMEPLATE),
    )


def _all_rows(path: Path, reason: Reason) -> tuple[Unreadable, ...]:
    lines = lines_of(path)
    header_of(lines)
    return tuple(Unreadable(path, line.number, reason) for line in lines)


def _read_home(path: Path, house: _House, first_day: date) -> MeasuredHome:
    rows: list[Row] = []
    unreadable: list[Unreadable] = []
    carry = Carry()
    stored_wh = house.battery.reserve_wh
    for line, start_s, seen in _measurements(path, first_day):
        if isinstance(seen, Reason):
            unreadable.append(Unreadable(path, line, seen))
            continue
        load_kwh, sun_w_per_kw = seen
        flows, stored_wh = settle(
            house.battery,
            stored_wh,
            pv_wh=sun_w_per_kw * house.pv_nominal_kw,
            load_wh=load_kwh * 1_000,
            duration_s=HOUR_S,
        )
        soc_pct = house.battery.soc_pct(stored_wh)
        interval = carry.interval(start_s=start_s, duration_s=HOUR_S, flows=flows, soc_pct=soc_pct)
        rows.append(Row(path, line, interval))
    return MeasuredHome(
        name=house.name,
        pv_nameplate_w=ceil(house.pv_nominal_kw * 1_000),
        battery_capacity_wh=ceil(house.battery.capacity_wh),
        battery_power_w=ceil(house.battery.power_w),
        zone=DEFAULT_ZONE,
        rows=tuple(rows),
        unreadable=tuple(unreadable),
    )


def _measurements(path: Path, first_day: date) -> Iterator[tuple[int, int, tuple[Fraction, Fraction] | Reason]]:
    """Yield (line, start, (load in kWh, sun in W per kW) or why not); the start of an unreadable row is 0."""
    lines = lines_of(path)
    header = header_of(lines)
    columns = [header.index(name) for name in (LOAD, SUN) if name in header]
    for index, line in enumerate(lines):
        start_s = _hour_s(first_day, index)
        if len(columns) < len((LOAD, SUN)):
            yield line.number, 0, Reason.MISSING_COLUMN
        elif start_s is None:
            yield line.number, 0, Reason.NONEXISTENT_LOCAL_TIME
        elif (reason := _shape_reason(line, header)) is not None:
            yield line.number, 0, reason
        else:
            load_kwh, sun_w_per_kw = (exact(line.cells[column]) for column in columns)
            if load_kwh is None or sun_w_per_kw is None:
                yield line.number, 0, Reason.BAD_ENERGY
            else:
                yield line.number, start_s, (load_kwh, sun_w_per_kw)


def _hour_s(first_day: date, index: int) -> int | None:
    """Return when local hour number `index` starts, in UTC seconds; None if clocks or calendar leave it out."""
    try:
        wall = datetime.combine(first_day, time.min) + timedelta(hours=index)
        first_occurrence = wall.replace(tzinfo=LOCAL, fold=0).astimezone(UTC)
    except OverflowError:  # the calendar ends with the year 9999
        return None
    exists = first_occurrence.astimezone(LOCAL).replace(tzinfo=None) == wall
    return int(first_occurrence.timestamp()) if exists else None


def _left_over(folder: Path, names: set[str]) -> list[Unreadable]:
    """Return the rows of the files that look like a home's but whose home is not in homes.csv."""
    others = [path for path in sorted(folder.glob("*.csv")) if path.stem not in names]
    homes = [path for path in others if {LOAD, SUN} <= set(header_of(lines_of(path)))]
    return [row for path in homes for row in _all_rows(path, Reason.NOT_IN_HOMES_CSV)]


def _read_signals(path: Path, first_day: date) -> tuple[dict[int, int], list[Unreadable]]:
    """Return the intensity of each hour, kg/kWh to whole mg/wh (a thousand times as many), halves upwards."""
    if not path.is_file():
        return {}, []
    lines = lines_of(path)
    header = header_of(lines)
    if INTENSITY not in header:
        return {}, list(_all_rows(path, Reason.MISSING_COLUMN))
    column = header.index(INTENSITY)
    signals: dict[int, int] = {}
    unreadable = []
    for index, line in enumerate(lines):
        start_s = _hour_s(first_day, index)
        reason = Reason.NONEXISTENT_LOCAL_TIME if start_s is None else _shape_reason(line, header)
        mg_per_wh = _mg_per_wh(line.cells[column]) if reason is None else None
        if start_s is not None and mg_per_wh is not None:
            signals[start_s] = mg_per_wh
        else:
            unreadable.append(Unreadable(path, line.number, reason or Reason.BAD_INTENSITY))
    return signals, unreadable


def _mg_per_wh(text: str) -> int | None:
    """Return an intensity in kg/kWh as whole mg/wh, halves upwards; None if it is none that an hour can have."""
    intensity = exact(text)
    if intensity is None or not 0 <= intensity * 1_000 <= INTENSITY_MAX:
        return None
    return floor(intensity * 1_000 + Fraction(1, 2))
