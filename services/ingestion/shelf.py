"""What ingestion reads to judge: rows of the ledger, and what waits in the parking place. Waits until they answer."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from sqlalchemy import Connection, Engine

from contracts import state
from contracts.state import Decided, Meter, Row, Unit
from contracts.units import UnixSeconds
from services.database import reading
from services.ingestion.arrivals import Arrival, Became
from services.ingestion.lanes import RUN_MAX, Numbered
from services.ingestion.patience import Patience
from services.ledger.client import Ledger
from services.setaside import parking
from services.setaside.parking import Parked

T = TypeVar("T")

Place: TypeAlias = tuple[str, int]
"""A unit's id and one of its numbers."""


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of some units as committed; a unit that nothing was decided of has a fresh meter."""

    units: Mapping[str, Unit | None]
    meters: Mapping[str, Meter]


class Shelf:
    """Reads many rows with one call or statement."""

    def __init__(self, *, ledger: Ledger, engine: Engine, patience: Patience) -> None:
        self._ledger = ledger
        self._engine = engine
        self._patience = patience

    def rows(self, device_ids: Collection[str]) -> Rows:
        """The units and their meters."""
        ids = sorted(device_ids)
        keys = [state.unit_key(device_id) for device_id in ids] + [state.meter_key(device_id) for device_id in ids]
        found = self._read(keys)
        units = {device_id: row if isinstance(row, Unit) else None for device_id, row in zip(ids, found, strict=False)}
        meters = {
            device_id: row if isinstance(row, Meter) else Meter()
            for device_id, row in zip(ids, found[len(ids) :], strict=True)
        }
        return Rows(units, meters)

    def decided(self, places: Iterable[Place]) -> dict[Place, Decided]:
        """What became of these numbers; void ones, and those that are not decided, are left out."""
        wanted = sorted(set(places))
        rows = self._read([state.pack_key(device_id, seq) for device_id, seq in wanted])
        return {place: row for place, row in zip(wanted, rows, strict=True) if isinstance(row, Decided)}

    def hashes(self, places: Collection[Place]) -> dict[Place, bytes]:
        """The SHA-256 of what waits under these numbers."""

        def look(connection: Connection) -> dict[Place, bytes]:
            return parking.hashes_at(connection, places) if parking.is_used(connection) else {}

        return self.look(look) if places else {}

    def waiting(self, seq_by_device: Mapping[str, int], *, at_s: UnixSeconds) -> dict[str, list[Numbered]]:
        """What waits of each unit from this number on, if the number itself does and is due by `at_s`."""

        def look(connection: Connection) -> dict[str, list[Numbered]]:
            if not parking.is_used(connection):
                return {}
            return {
                first.device_id: _numbered(parking.from_number(connection, first.device_id, first.seq, limit=RUN_MAX))
                for first in parking.next_of(connection, seq_by_device)
                if (first.due_s or 0) <= at_s
            }

        return self.look(look) if seq_by_device else {}

    def numbers(self, device_ids: Collection[str]) -> dict[str, tuple[int, ...]]:
        """The numbers that wait, by unit."""
        return self.look(lambda connection: parking.seqs_by_device(connection, list(device_ids))) if device_ids else {}

    def overtaken(self, device_ids: Collection[str]) -> list[Numbered]:
        """What waits although its number is decided."""
        seq_by_device = {device_id: meter.seq for device_id, meter in self.rows(device_ids).meters.items()}
        return _numbered(self.look(lambda connection: parking.overtaken(connection, seq_by_device)))

    def look(self, function: Callable[[Connection], T]) -> T:
        """What `function` reads of the database."""

        def read() -> T:
            with reading(self._engine) as session:
                return function(session.connection())

        return self._patience.call(read)

    def _read(self, keys: list[str]) -> list[Row | None]:
        return self._patience.call(lambda: self._ledger.rows(keys)) if keys else []


def _numbered(packs: list[Parked]) -> list[Numbered]:
    return [Numbered(Arrival(p.device_id, p.message, Became.WAITING), p.seq, p.due_s) for p in packs]
