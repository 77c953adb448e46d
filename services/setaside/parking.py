"""Packs that came before their turn or their time, durably, the first bytes of a number winning."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any, Final

from sqlalchemy import Connection, Select, and_, bindparam, delete, func, or_, select, tuple_, update

from contracts.units import UnixSeconds
from services.database import among
from services.setaside.batches import chunks, insert_into
from services.setaside.tables import ParkedRow

_PARKED: Final = ParkedRow.__table__  # type: ignore[attr-defined]
_PLACE: Final = (_PARKED.c.device_id, _PARKED.c.seq)
_ALTERNATIVES_MAX: Final = 200  # SQLite's expressions are at most 1,000 deep


@dataclass(frozen=True, slots=True)
class Parked:
    """A pack that waits.

    sha256    of `message`
    message   the COSE bytes as received; their signature was checked
    due_s     ledger time from which it may be decided; None: only the order is missing
    parked_s  when it came
    """

    device_id: str
    seq: int
    sha256: bytes
    message: bytes
    due_s: UnixSeconds | None
    parked_s: UnixSeconds


def park(connection: Connection, packs: Sequence[Parked]) -> set[tuple[str, int]]:
    """Keep the packs; return the (unit, number) of those that are kept now. The others' numbers were taken before.

    Of two with the same number in `packs` the first is kept.
    """
    kept: set[tuple[str, int]] = set()
    for some in chunks(packs):
        rows = [_values(pack) for pack in some]
        statement = insert_into(connection, _PARKED).values(rows).on_conflict_do_nothing()
        kept.update((row[0], row[1]) for row in connection.execute(statement.returning(*_PLACE)))
    return kept


def hashes_at(connection: Connection, places: Collection[tuple[str, int]]) -> dict[tuple[str, int], bytes]:
    """Return the SHA-256 of what waits under these (unit, number); where nothing does, the place is left out."""
    hashes: dict[tuple[str, int], bytes] = {}
    for some in chunks(sorted(places)):
        query = select(*_PLACE, _PARKED.c.sha256).where(
            among(connection, _PARKED.c.device_id, {device_id for device_id, _ in some}),
            among(connection, _PARKED.c.seq, {seq for _, seq in some}),
        )
        hashes.update(((row[0], row[1]), row[2]) for row in connection.execute(query))
    return {place: sha256 for place, sha256 in hashes.items() if place in places}


def from_number(connection: Connection, device_id: str, seq: int, *, limit: int) -> list[Parked]:
    """Return what waits of a unit under `seq` and higher numbers, in order."""
    query = select(_PARKED).where(_PARKED.c.device_id == device_id, _PARKED.c.seq >= seq)
    return _read(connection, query.order_by(_PARKED.c.seq).limit(limit))


def overtaken(connection: Connection, seq_by_device: Mapping[str, int]) -> list[Parked]:
    """Return what waits under these or lower numbers: it was decided, and nobody has let it go yet."""
    found: list[Parked] = []
    for some in chunks(sorted(seq_by_device.items())):
        for few in (some[start : start + _ALTERNATIVES_MAX] for start in range(0, len(some), _ALTERNATIVES_MAX)):
            places = [and_(_PARKED.c.device_id == device_id, _PARKED.c.seq <= seq) for device_id, seq in few]
            found += _read(connection, select(_PARKED).where(or_(*places)))
    return found


def next_of(connection: Connection, seq_by_device: Mapping[str, int]) -> list[Parked]:
    """Return the packs that wait under exactly these numbers."""
    found: list[Parked] = []
    wanted = list(seq_by_device.items())
    for some in chunks(wanted):
        query = select(_PARKED).where(
            among(connection, _PARKED.c.device_id, [device_id for device_id, _ in some]),
            among(connection, _PARKED.c.seq, {seq for _, seq in some}),
        )
        found += [pack for pack in _read(connection, query) if seq_by_device[pack.device_id] == pack.seq]
    return found


def set_due(connection: Connection, due_s_by_pack: Mapping[tuple[str, int], UnixSeconds | None]) -> None:
    """Say from when on packs that wait (by unit and number) may be decided."""
    if not due_s_by_pack:
        return
    which = (_PARKED.c.device_id == bindparam("of_device"), _PARKED.c.seq == bindparam("of_seq"))
    statement = update(_PARKED).where(*which).values(due_s=bindparam("from_s"))
    connection.execute(
        statement,
        [{"of_device": device_id, "of_seq": seq, "from_s": at_s} for (device_id, seq), at_s in due_s_by_pack.items()],
    )


def take(connection: Connection, places: Collection[tuple[str, int]]) -> set[tuple[str, int]]:
    """Let what waits under these (unit, number) go; return those that were there (another worker may be quicker)."""
    taken: set[tuple[str, int]] = set()
    for some in chunks(sorted(places)):
        statement = delete(_PARKED).where(tuple_(*_PLACE).in_(some)).returning(*_PLACE)
        taken.update((row[0], row[1]) for row in connection.execute(statement))
    return taken


def seqs_of(connection: Connection, device_id: str) -> tuple[int, ...]:
    """Return the numbers of a unit that wait, in order."""
    return seqs_by_device(connection, [device_id]).get(device_id, ())


def seqs_by_device(connection: Connection, device_ids: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Return the numbers that wait, in order, by unit; a unit of which none does is left out."""
    found: dict[str, tuple[int, ...]] = {}
    for some in chunks(list(device_ids)):
        query = select(_PARKED.c.device_id, _PARKED.c.seq).where(among(connection, _PARKED.c.device_id, some))
        rows = connection.execute(query.order_by(_PARKED.c.device_id, _PARKED.c.seq))
        for device_id, of_unit in groupby(rows, key=itemgetter(0)):
            found[device_id] = tuple(seq for _, seq in of_unit)
    return found


def highest_seqs(connection: Connection, device_ids: Sequence[str]) -> dict[str, int]:
    """Return the highest number that waits, by unit; a unit of which none does is left out."""
    highest: dict[str, int] = {}
    for some in chunks(list(device_ids)):
        query = select(_PARKED.c.device_id, func.max(_PARKED.c.seq)).where(among(connection, _PARKED.c.device_id, some))
        highest.update((row[0], row[1]) for row in connection.execute(query.group_by(_PARKED.c.device_id)))
    return highest


def devices(connection: Connection) -> list[str]:
    """Return the units of which anything waits."""
    query = select(_PARKED.c.device_id).distinct().order_by(_PARKED.c.device_id)
    return list(connection.execute(query).scalars())


def is_used(connection: Connection) -> bool:
    """Does anything wait at all? Mostly not, and then nothing more needs to be asked."""
    return connection.execute(select(_PARKED.c.seq).limit(1)).first() is not None


def waiting(connection: Connection) -> int:
    """Return how many packs wait."""
    return connection.execute(select(func.count()).select_from(_PARKED)).scalar_one()


def _values(pack: Parked) -> dict[str, Any]:
    return {
        "device_id": pack.device_id,
        "seq": pack.seq,
        "sha256": pack.sha256,
        "message": pack.message,
        "due_s": pack.due_s,
        "parked_s": pack.parked_s,
    }


def _read(connection: Connection, query: Select[Any]) -> list[Parked]:
    return [Parked(**row) for row in connection.execute(query).mappings()]
