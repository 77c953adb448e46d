"""`sparks replay`: measured homes through the whole embedded platform, as signed packs, on a clock that follows them.

interfaces.md 5, Replay. Every row is sent as it was measured; what became of each is read from the ledger.
"""

import os
import re
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any, Final, TextIO, TypeAlias

from contracts import state
from contracts.state import Decided
from contracts.units import DAY_S, HOUR_S
from contracts.wire.packs import FLOWS
from device_sim.fleet import Fleet, Provision
from device_sim.measured import flows
from device_sim.measured.rows import Measured, MeasuredHome, Unreadable, local_month
from device_sim.measured.timeline import Timeline, Turn
from device_sim.people import Customer
from device_sim.publisher import Login, broker_at
from services.harvest import Harvest, harvests
from services.rehearsal import Rehearsal

RESERVE_CENTS: Final = 100_000_000
UNDECIDED_MAX: Final = 1_500
"""How many packs may be on their way; enough that nobody waits, few enough that nothing piles up."""
STORED_AT_ONCE: Final = 100
PATIENCE_S: Final = 60
OnProgress: TypeAlias = Callable[[str, int, int], None]
"""What is going on, how much of it is done, how much there is."""


class ReplayStuck(Exception):
    """The platform decided nothing for a long time."""


@dataclass(frozen=True, slots=True)
class Unit:
    """A measured home and the unit that stands in it."""

    home: MeasuredHome
    provision: Provision


@dataclass(slots=True)
class Replayed:
    """What a replay found, ready for its summary and export."""

    measured: Measured
    units: list[Unit]
    harvests: dict[str, Harvest]
    quarantined: dict[str, dict[str, int]]
    ledger: dict[str, Any]

    def summary(self) -> dict[str, Any]:
        """The JSON object of interfaces.md 5, and every row that could not be read, of a home or of none."""
        unreadable = [
            {"file": str(row.file), "line": row.line, "reason": str(row.reason)}
            for row in unreadable_rows(self.measured)
        ]
        return {"homes": [self._home(unit) for unit in self.units], "unreadable": unreadable, "ledger": self.ledger}

    def export(self, path: Path) -> None:
        """Write what was accepted as a flows file, whole or not at all. Raises OSError."""
        with _replacing(path) as file:
            flows.write(
                file, ((unit.home.name, interval) for unit in self.units for interval in self._of(unit).intervals)
            )

    def _of(self, unit: Unit) -> Harvest:
        return self.harvests.get(unit.provision.device_id, Harvest())

    def _home(self, unit: Unit) -> dict[str, Any]:
        harvest = self._of(unit)
        return {
            "home": unit.home.name,
            "packs": len(unit.home.rows),
            "intervals": len(harvest.intervals),
            **{flow: harvest.flows_wh[flow] for flow in FLOWS},
            "months": {
                month: {flow: sums[flow] for flow in FLOWS} for month, sums in sorted(harvest.months_wh.items())
            },
            "refused": dict(harvest.refused),
            "quarantined": self.quarantined.get(unit.provision.device_id, {}),
            "unreadable": len(unit.home.unreadable),
            "micro_sparks": dict(harvest.micro_sparks),
        }


def check_export_path(path: Path) -> None:
    """Raise OSError if `export` could not write there; what is there stays as it is."""
    if path.exists():
        path.open("ab").close()
    if path.is_file() or not path.exists():
        partial = _partial(path)
        partial.open("wb").close()
        partial.unlink()


@contextmanager
def _replacing(path: Path) -> Iterator[TextIO]:
    """Open a file that takes the place of `path` once it is complete; a device or a pipe is written to as it is."""
    if path.exists() and not path.is_file():
        with path.open("w", newline="", encoding="utf-8") as file:
            yield file
        return
    partial = _partial(path)
    try:
        with partial.open("w", newline="", encoding="utf-8") as file:
            yield file
        partial.replace(path.resolve())
    finally:
        partial.unlink(missing_ok=True)


def _partial(path: Path) -> Path:
    """Beside the file itself, wherever a link leads to it, for a rename crosses no file system."""
    target = path.resolve()
    return target.with_name(f".{target.name}.{os.getpid()}.part")


def between(measured: Measured, *, from_s: int, to_s: int) -> Measured:
    """Only the rows that start in [from_s, to_s)."""
    return replace(measured, homes=tuple(home.between(from_s=from_s, to_s=to_s) for home in measured.homes))


def unreadable_rows(measured: Measured) -> Iterator[Unreadable]:
    """Every row that could not be read, of a home or of none."""
    yield from measured.unreadable
    for home in measured.homes:
        yield from home.unreadable


def first_moment_s(measured: Measured) -> int:
    """When the first row starts; any moment if there is none."""
    starts_s = [home.rows[0].start_s for home in measured.homes if home.rows]
    return max(min(starts_s, default=0), 0)


def units_of(homes: Sequence[MeasuredHome]) -> list[Unit]:
    """A unit for each home: a home's name is free text, a unit's id is not."""
    made = []
    for number, home in enumerate(homes, start=1):
        words = re.sub(r"[^a-z0-9]+", "-", home.name.lower()).strip("-")[:40]
        provision = Provision(
            device_id=f"{number:05d}-{words}".rstrip("-"),
            seed=number.to_bytes(32, "big"),
            pv_nameplate_w=home.pv_nameplate_w,
            battery_capacity_wh=home.battery_capacity_wh,
            battery_power_w=home.battery_power_w,
            zone=home.zone,
        )
        made.append(Unit(home, provision))
    return made


def replay(platform: Rehearsal, measured: Measured, *, level: str, folder: Path, on_progress: OnProgress) -> Replayed:
    """Send every readable row; returns once each is decided."""
    units = units_of(measured.homes)
    logins = _enrol(platform, measured, units, level, on_progress)
    fleet = Fleet(
        folder,
        [unit.provision for unit in units],
        broker=broker_at(platform.broker_url),
        logins=logins,
        platform=platform.unit_keys(),
        now_s=platform.simulated_clock.now_s,
        clock_s=time.monotonic,
        chance=Random(0),
    )
    with fleet:
        _Sender(platform, fleet, units, on_progress).send_all()
    head = platform.verified_head()
    return Replayed(measured, units, harvests(platform.recorded(), local_month), platform.quarantined(), head)


class _Sender:
    """Sends rows in the timeline's order, a bounded number ahead of what is decided.

    A pack that lies a little ahead of the clock waits until it is due, and its home's later packs behind it: those
    homes are not waited for until the clock has come so far, at the latest after the last row.
    """

    def __init__(self, platform: Rehearsal, fleet: Fleet, units: Sequence[Unit], on_progress: OnProgress) -> None:
        self._platform = platform
        self._clock = platform.simulated_clock
        self._fleet = fleet
        self._device_by_home = {unit.home.name: unit.provision.device_id for unit in units}
        self._timeline = Timeline([unit.home for unit in units], catch_up=self._catch_up)
        self._taken: list[Turn] = []
        self._undecided: deque[tuple[str, int, Turn]] = deque()
        self._waits_until_s: dict[str, int] = {}
        self._rows = sum(len(unit.home.rows) for unit in units)
        self._on_progress = on_progress

    def send_all(self) -> None:
        """Every row once; returns when all are decided."""
        for sent, turn in enumerate(self._timeline, start=1):
            self._taken.append(turn)
            if len(self._taken) >= STORED_AT_ONCE:
                self._send_taken()
            if len(self._undecided) >= UNDECIDED_MAX:
                self._wait_until_decided(len(self._undecided) - UNDECIDED_MAX // 2)
            self._on_progress("replaying", sent, self._rows)
        self._catch_up()
        self._clock.advance_to(max(self._waits_until_s.values(), default=0))
        self._catch_up()

    def _send_taken(self) -> None:
        """Measure the rows taken, as one durable commit of the units' outboxes."""
        with self._fleet.batch():
            for turn in self._taken:
                self._send(turn)
        self._taken.clear()

    def _send(self, turn: Turn) -> None:
        self._clock.advance_to(turn.clock_s)
        device_id = self._device_by_home[turn.home.name]
        outgoing = self._fleet.measure(device_id, [turn.row.interval])
        self._undecided.append((device_id, outgoing.seq, turn))
        if turn.clock_s < turn.row.end_s <= turn.clock_s + DAY_S:
            self._waits_until_s[device_id] = turn.row.end_s

    def _catch_up(self) -> None:
        self._send_taken()
        self._wait_until_decided(len(self._undecided))

    def _wait_until_decided(self, count: int) -> None:
        """Take the `count` oldest from the undecided, and report which of them were accepted."""
        oldest = [self._undecided.popleft() for _ in range(count)]
        now_s = self._clock.now_s()
        blocked = {device_id for device_id, until_s in self._waits_until_s.items() if until_s > now_s}
        self._undecided.extendleft(reversed([one for one in oldest if one[0] in blocked]))
        oldest = [one for one in oldest if one[0] not in blocked]
        last_seq = {device_id: seq for device_id, seq, _ in oldest}
        for device_id, seq in last_seq.items():
            if not self._platform.wait_until_decided(device_id, seq, timeout_s=PATIENCE_S):
                raise ReplayStuck(f"{device_id}: pack {seq} was not decided within {PATIENCE_S} s")
        keys = [state.pack_key(device_id, seq) for device_id, seq, _ in oldest]
        for (_, _, turn), row in zip(oldest, self._platform.ledger.rows(keys), strict=True):
            if isinstance(row, Decided) and not row.refusal:
                self._timeline.accepted(turn)


def _enrol(
    platform: Rehearsal, measured: Measured, units: Sequence[Unit], level: str, on_progress: OnProgress
) -> dict[str, Login]:
    """A customer for all homes, who holds every unit; a funded reserve; the folder's grid signals of their hours."""
    hours_s = {row.start_s - row.start_s % HOUR_S for home in measured.homes for row in home.rows}
    signals = [(hour_s, intensity) for hour_s, intensity in sorted(measured.signals.items()) if hour_s in hours_s]
    with closing(platform.operator()) as operator:
        operator.deposit(RESERVE_CENTS, "replay")
        for done, (hour_s, intensity) in enumerate(signals, start=1):
            hour = datetime.fromtimestamp(hour_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            operator.publish_signal(hour, intensity)
            on_progress("publishing grid signals", done, len(signals))
        items = operator.provision([unit.provision.enrolment() for unit in units])
        with closing(Customer(platform.base_url, email="replay@example.com", password="measured homes")) as customer:
            for item in items:
                if item.get("error"):
                    raise ReplayStuck(f"{item['device_id']} could not be registered: {item['error']}")
            customer.enroll(name="Replay", postal_code="L5B 4M7", level=level)
            for item in items:
                customer.claim(item["claim_code"])
    return {item["device_id"]: Login(username=item["mqtt_username"], password=item["mqtt_password"]) for item in items}
