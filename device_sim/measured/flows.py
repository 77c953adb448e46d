"""Flows files: CSV, one row per home and interval, the six energies in wh as decimals.

Beside a flows file an optional `homes.csv` gives the nameplates. A home without a usable line in it gets what its own
rows need, over all files read together: `pv_nameplate_w` is the largest pv power of a row, `battery_power_w` the
largest charge or discharge power, ceil(wh * 3600 / interval_s) of the measured decimals; the capacity is 4 h of that.
"""

import csv
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fractions import Fraction
from math import ceil, floor
from pathlib import Path
from typing import Final, TextIO

from contracts.units import HOUR_S
from contracts.wire.packs import FLOWS, Interval
from device_sim.carry import Carry, ExactFlows
from device_sim.measured.cells import Line, exact, header_of, lines_of, whole
from device_sim.measured.rows import DEFAULT_ZONE, NAMEPLATE_MAX, MeasuredHome, Reason, Row, Unreadable, UnreadableFile

HEADER: Final = ["home", "start", "interval_s", *FLOWS]
HEADER_WITH_SOC: Final = [*HEADER, "soc_pct"]
HOMES_HEADER: Final = ["home", "pv_nameplate_w", "battery_capacity_wh", "battery_power_w", "zone"]
CAPACITY_HOURS: Final = 4
ZONE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._:-]{0,63}", re.ASCII)  # as units are registered
FIRST_SECOND_S: Final = int(datetime.min.replace(tzinfo=UTC).timestamp())
LAST_SECOND_S: Final = int(datetime.max.replace(microsecond=0, tzinfo=UTC).timestamp())
RFC3339: Final = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.0+)?(?:([Zz])|([+-](?:[01]\d|2[0-3]):[0-5]\d))?", re.ASCII
)


@dataclass(frozen=True, slots=True)
class Nameplate:
    """What a line of homes.csv, or the largest flow of the rows, says of a home."""

    pv_nameplate_w: int
    battery_capacity_wh: int
    battery_power_w: int
    zone: str


@dataclass(frozen=True, slots=True)
class Measurement:
    """The cells of one row behind its home, read but not yet rounded."""

    start_s: int
    duration_s: int
    flows: ExactFlows
    soc_pct: int | None


@dataclass(frozen=True, slots=True)
class _Failed:
    """A row that cannot be read, and the home in its first cell.

    is_sure   the line is whole, so the name is too; half a line counts only for a home that is known otherwise
    """

    home: str
    is_sure: bool
    row: Unreadable


@dataclass(slots=True)
class _Gathered:
    """One home while its rows are read, perhaps from several files."""

    carry: Carry = field(default_factory=Carry)
    rows: list[Row] = field(default_factory=list)
    pv_w_max: Fraction = Fraction(0)
    battery_w_max: Fraction = Fraction(0)

    def take(self, file: Path, line: int, seen: Measurement) -> None:
        if seen.duration_s > 0:
            per_hour = Fraction(HOUR_S, seen.duration_s)
            self.pv_w_max = max(self.pv_w_max, seen.flows.pv_wh * per_hour)
            battery_wh = max(seen.flows.charge_wh, seen.flows.discharge_wh)
            self.battery_w_max = max(self.battery_w_max, battery_wh * per_hour)
        interval = self.carry.interval(
            start_s=seen.start_s, duration_s=seen.duration_s, flows=seen.flows, soc_pct=seen.soc_pct
        )
        self.rows.append(Row(file, line, interval))

    def nameplate(self) -> Nameplate:
        """What the rows need, as far as it can be registered.

        One mistyped row may ask for more than that. To leave it out changes no decision: a row counts only with at
        most 10^6 wh a flow in at least 60 s, which is 6 x 10^7 W.
        """
        pv_w, power_w = ceil(self.pv_w_max), ceil(self.battery_w_max)
        pv_w, capacity_wh, power_w = (min(size, NAMEPLATE_MAX) for size in (pv_w, CAPACITY_HOURS * power_w, power_w))
        return Nameplate(pv_w, capacity_wh, power_w, DEFAULT_ZONE)


def read(paths: Sequence[Path]) -> tuple[list[MeasuredHome], list[Unreadable]]:
    """Return the homes of flows files, read in the order given, and the unreadable rows that belong to no home.

    A home that is in several files goes on from one to the next, running sums included.
    Raises UnreadableFile if a file cannot be opened or its header is another.
    """
    gathered: dict[str, _Gathered] = {}
    nameplates: dict[str, Nameplate] = {}
    failed: list[_Failed] = []
    for path in paths:
        failed += _read_rows(path, gathered)
    for homes_csv in dict.fromkeys(path.with_name("homes.csv") for path in paths):
        if homes_csv.exists():
            failed += _read_nameplates(homes_csv, nameplates)
    names = dict.fromkeys([*gathered, *(one.home for one in failed if one.is_sure)])
    homes = [_home(name, gathered.get(name, _Gathered()), nameplates.get(name), failed) for name in names]
    return homes, [one.row for one in failed if one.home not in names]


def export_row(home: str, interval: Interval) -> list[str]:
    """Return the cells of one interval under HEADER_WITH_SOC; reading them gives the same interval."""
    start = datetime.fromtimestamp(interval.start_s, UTC).isoformat()
    energies = [str(getattr(interval, name)) for name in FLOWS]
    soc = "" if interval.soc_pct is None else str(interval.soc_pct)
    return [home, start, str(interval.duration_s), *energies, soc]


def write(file: TextIO, rows: Iterable[tuple[str, Interval]]) -> None:
    """Write intervals, each with its home's name, as a flows file. Open `file` with newline=''."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(HEADER_WITH_SOC)
    writer.writerows(export_row(home, interval) for home, interval in rows)


def _home(name: str, one: _Gathered, known: Nameplate | None, failed: Sequence[_Failed]) -> MeasuredHome:
    nameplate = known or one.nameplate()
    return MeasuredHome(
        name=name,
        pv_nameplate_w=nameplate.pv_nameplate_w,
        battery_capacity_wh=nameplate.battery_capacity_wh,
        battery_power_w=nameplate.battery_power_w,
        zone=nameplate.zone,
        rows=tuple(one.rows),
        unreadable=tuple(other.row for other in failed if other.home == name),
    )


def _read_rows(path: Path, gathered: dict[str, _Gathered]) -> list[_Failed]:
    """Add the file's readable rows to their homes and return the others."""
    lines = lines_of(path)
    header = header_of(lines)
    if header not in (HEADER, HEADER_WITH_SOC):
        raise UnreadableFile(f"{path}: the header must be {','.join(HEADER)}[,soc_pct]")
    failed = []
    for line in lines:
        seen = _measurement(line, columns=len(header))
        home = line.cells[0]
        if isinstance(seen, Measurement):
            gathered.setdefault(home, _Gathered()).take(path, line.number, seen)
        else:
            is_sure = bool(home) and not line.is_broken and len(line.cells) == len(header)
            failed.append(_Failed(home, is_sure, Unreadable(path, line.number, seen)))
    return failed


def _measurement(line: Line, *, columns: int) -> Measurement | Reason:
    """Return what a row says, or the first reason why it cannot be read."""
    if (reason := _shape_reason(line, columns=columns)) is not None:
        return reason
    _, start, interval, *rest = line.cells
    start_s = _start_s(start)
    if isinstance(start_s, Reason):
        return start_s
    duration_s = whole(interval)
    if duration_s is None or not FIRST_SECOND_S <= start_s + duration_s <= LAST_SECOND_S:
        return Reason.BAD_INTERVAL
    energies_wh = {name: exact(text) for name, text in zip(FLOWS, rest, strict=False)}
    readable_wh = {name: wh for name, wh in energies_wh.items() if wh is not None}
    if len(readable_wh) < len(FLOWS):
        return Reason.BAD_ENERGY
    soc = rest[len(FLOWS)] if len(rest) > len(FLOWS) else ""
    soc_pct = exact(soc)
    if soc and soc_pct is None:
        return Reason.BAD_SOC
    soc_floor_pct = None if soc_pct is None else floor(soc_pct)
    return Measurement(start_s, duration_s, ExactFlows(**readable_wh), soc_floor_pct)


def _shape_reason(line: Line, *, columns: int) -> Reason | None:
    if line.is_broken:
        return Reason.BAD_CSV
    if len(line.cells) != columns:
        return Reason.WRONG_COLUMN_COUNT
    return None if line.cells[0] else Reason.MISSING_HOME


def _start_s(text: str) -> int | Reason:
    """Return an RFC 3339 time as UTC seconds, or why it is none; a part of a second cannot be kept."""
    match = RFC3339.fullmatch(text)
    if match is None:
        return Reason.BAD_START
    day, time, zulu, offset = match.groups()
    if not zulu and not offset:
        return Reason.MISSING_OFFSET
    try:
        return int(datetime.fromisoformat(f"{day}T{time}{offset or '+00:00'}").timestamp())
    except (ValueError, OverflowError):
        return Reason.BAD_START


def _read_nameplates(path: Path, nameplates: dict[str, Nameplate]) -> list[_Failed]:
    """Add what homes.csv says and return its rows that cannot be read; their homes are taken from the flows."""
    lines = lines_of(path)
    if header_of(lines) != HOMES_HEADER:
        raise UnreadableFile(f"{path}: the header must be {','.join(HOMES_HEADER)}")
    failed = []
    for line in lines:
        nameplate = _nameplate(line)
        if isinstance(nameplate, Nameplate):
            nameplates[line.cells[0]] = nameplate
        else:
            failed.append(_Failed("", False, Unreadable(path, line.number, nameplate)))
    return failed


def _nameplate(line: Line) -> Nameplate | Reason:
    if (reason := _shape_reason(line, columns=len(HOMES_HEADER))) is not None:
        return reason
    _, *numbers, zone = line.cells
    pv_w, capacity_wh, power_w = (whole(text) for text in numbers)
    if pv_w is None or capacity_wh is None or power_w is None:
        return Reason.BAD_NAMEPLATE
    if min(pv_w, capacity_wh, power_w) < 0 or max(pv_w, capacity_wh, power_w) > NAMEPLATE_MAX:
        return Reason.BAD_NAMEPLATE
    zone = zone or DEFAULT_ZONE
    return Nameplate(pv_w, capacity_wh, power_w, zone) if ZONE.fullmatch(zone) else Reason.BAD_NAMEPLATE
