"""Packs that came before their turn or their time, durably, the first bytes of a number winning."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any, Final

from sqlalchemy import Connection, Select, bindparam, delete, func, select, update

from contracts.units import UnixSeconds
from services.setaside.batches import chunks, insert_into
from services.setaside.tables import ParkedRow

_PARKED: Final = ParkedRow.__table__  # type: ignore[attr-defined]


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


def park(connection: Connection, packs: Sequence[Parked]) -> list[Parked]:
    """Keep the packs; return those that lost their number to other bytes, parked before (or earlier in `packs`).

    A pack that waits already is left as it is and not returned.
    """
    for some in chunks(packs):
        rows = [_values(pack) for pack in some]
        connection.execute(insert_into(connection, _PARKED).values(rows).on_conflict_do_nothing())
    winners = _hashes(connection, packs)
    return [pack for pack in packs if winners[pack.device_id, pack.seq] != pack.sha256]


def parked_of(connection: Connection, device_ids: Sequence[str]) -> list[Parked]:
    """Return all that waits of these units, by unit and number."""
    found: list[Parked] = []
    for some in chunks(sorted(device_ids)):
        query = select(_PARKED).where(_PARKED.c.device_id.in_(some)).order_by(_PARKED.c.device_id, _PARKED.c.seq)
        found += _read(connection, query)
    return found


def next_of(connection: Connection, seq_by_device: Mapping[str, int]) -> list[Parked]:
    """Return the packs that wait under exactly these numbers."""
    found: list[Parked] = []
    wanted = list(seq_by_device.items())
    for some in chunks(wanted):
        query = select(_PARKED).where(_PARKED.c.device_id.in_([device_id for device_id, _ in some]))
        seqs = {seq for _, seq in some}
        query = query.where(_PARKED.c.seq.in_(seqs))
        found += [pack for pack in _read(connection, query) if seq_by_device[pack.device_id] == pack.seq]
    return found


def due(connection: Connection, at_s: UnixSeconds, *, limit: int) -> list[Parked]:
    """Return packs whose time has come, the longest due first."""
    query = select(_PARKED).where(_PARKED.c.due_s <= at_s).order_by(_PARKED.c.due_s).limit(limit)
    return _read(connection, query)


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


def take(connection: Connection, packs: Sequence[tuple[str, int]]) -> None:
    """Let packs (unit, number) go: they are decided."""
    if not packs:
        return
    which = (_PARKED.c.device_id == bindparam("of_device"), _PARKED.c.seq == bindparam("of_seq"))
    connection.execute(
        delete(_PARKED).where(*which), [{"of_device": device_id, "of_seq": seq} for device_id, seq in packs]
    )


def seqs_of(connection: Connection, device_id: str) -> tuple[int, ...]:
    """Return the numbers of a unit that wait, in order."""
    return seqs_by_device(connection, [device_id]).get(device_id, ())


def seqs_by_device(connection: Connection, device_ids: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Return the numbers that wait, in order, by unit; a unit of which none does is left out."""
    found: dict[str, tuple[int, ...]] = {}
    for some in chunks(list(device_ids)):
        query = select(_PARKED.c.device_id, _PARKED.c.seq).where(_PARKED.c.device_id.in_(some))
        rows = connection.execute(query.order_by(_PARKED.c.device_id, _PARKED.c.seq))
        for device_id, of_unit in groupby(rows, key=itemgetter(0)):
            found[device_id] = tuple(seq for _, seq in of_unit)
    return found


def highest_seqs(connection: Connection, device_ids: Sequence[str]) -> dict[str, int]:
    """Return the highest number that waits, by unit; a unit of which none does is left out."""
    highest: dict[str, int] = {}
    for some in chunks(list(device_ids)):
        query = select(_PARKED.c.device_id, func.max(_PARKED.c.seq)).where(_PARKED.c.device_id.in_(some))
        highest.update((row[0], row[1]) for row in connection.execute(query.group_by(_PARKED.c.device_id)))
    return highest


def devices(connection: Connection) -> list[str]:
    """Return the units of which anything waits."""
    query = select(_PARKED.c.device_id).distinct().order_by(_PARKED.c.device_id)
    return list(connection.execute(query).scalars())


def waiting(connection: Connection) -> int:
    """Return how many packs wait."""
    return connection.execute(select(func.count()).select_from(_PARKED)).scalar_one()


def _hashes(connection: Connection, packs: Sequence[Parked]) -> dict[tuple[str, int], bytes]:
    hashes: dict[tuple[str, int], bytes] = {}
    for some in chunks(packs):
        query = select(_PARKED.c.device_id, _PARKED.c.seq, _PARKED.c.sha256).where(
            _PARKED.c.device_id.in_({pack.device_id for pack in some}), _PARKED.c.seq.in_({pack.seq for pack in some})
        )
        hashes.update(((row[0], row[1]), row[2]) for row in connection.execute(query))
    return hashes


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
