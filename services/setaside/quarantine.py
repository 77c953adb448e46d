"""Messages that count for nothing, kept for people: with the reason, the bytes, and what was done about them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Connection, case, delete, func, select, update

from contracts.units import UnixSeconds
from services.database import among
from services.setaside.batches import chunks, insert_into
from services.setaside.tables import QuarantineRow

RAW_BYTES_MAX: Final = 32 * 1024
"""No message of the wire is longer; of one that is, the beginning and the size are kept."""

_QUARANTINE: Final = QuarantineRow.__table__  # type: ignore[attr-defined]


class State(StrEnum):
    """Where a row stands."""

    OPEN = "open"
    REPLAY_REQUESTED = "replay_requested"
    REPLAYED = "replayed"
    DISCARDED = "discarded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Aside:
    """A message to be set aside.

    seq          the number it claims, if that could be read
    entry_index  of the ledger's entry that refused it, else None
    raw          the bytes as received, or None if they are not to be kept (`too_far_ahead`)
    size_bytes   of the whole message
    """

    device_id: str
    sha256: bytes
    reason: str
    raw: bytes | None
    size_bytes: int
    seen_s: UnixSeconds
    seq: int | None = None
    entry_index: int | None = None
    count: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantined:
    """A row of the quarantine."""

    id: int
    device_id: str
    sha256: bytes
    reason: str
    seq: int | None
    entry_index: int | None
    count: int
    first_seen_s: UnixSeconds
    last_seen_s: UnixSeconds
    raw: bytes | None
    size_bytes: int
    state: State
    note: str

    @property
    def is_whole(self) -> bool:
        """Are all bytes of the message here?"""
        return self.raw is not None and len(self.raw) == self.size_bytes


def put_aside(connection: Connection, messages: Sequence[Aside]) -> None:
    """Keep the messages, one row for each unit, SHA-256 and reason, with a count.

    A row whose replay was asked for is open again: the replay came to the same end.
    """
    for rows in chunks(_merged(messages)):
        statement = insert_into(connection, _QUARANTINE).values(list(rows))
        again = {
            "count": _QUARANTINE.c.count + statement.excluded.count,
            "last_seen_s": _later(_QUARANTINE.c.last_seen_s, statement.excluded.last_seen_s),
            "state": case((_QUARANTINE.c.state == State.DISCARDED, State.DISCARDED.value), else_=State.OPEN.value),
        }
        connection.execute(
            statement.on_conflict_do_update(index_elements=["device_id", "sha256", "reason"], set_=again)
        )


def keep(connection: Connection, messages: Sequence[Aside]) -> None:
    """Keep messages of which no row is there yet; a row that is there stays as it is."""
    for rows in chunks(_merged(messages)):
        statement = insert_into(connection, _QUARANTINE).values(list(rows))
        connection.execute(statement.on_conflict_do_nothing(index_elements=["device_id", "sha256", "reason"]))


def refusals_after(connection: Connection, seq_by_device: Mapping[str, int]) -> dict[str, list[tuple[int, str]]]:
    """Return (number, reason) of the refused packs above these numbers, in order, by unit."""
    found: dict[str, list[tuple[int, str]]] = {}
    for some in chunks(sorted(seq_by_device.items())):
        query = select(_QUARANTINE.c.device_id, _QUARANTINE.c.seq, _QUARANTINE.c.reason).where(
            among(connection, _QUARANTINE.c.device_id, [device_id for device_id, _ in some]),
            _QUARANTINE.c.entry_index.is_not(None),
            _QUARANTINE.c.seq > min(seq for _, seq in some),
        )
        for device_id, seq, reason in connection.execute(query.order_by(_QUARANTINE.c.seq)):
            if seq > seq_by_device[device_id]:
                found.setdefault(device_id, []).append((seq, reason))
    return found


def find(
    connection: Connection,
    *,
    reason: str | None = None,
    device_id: str | None = None,
    states: Sequence[State] = (State.OPEN, State.REPLAY_REQUESTED),
    after_id: int = 0,
    limit: int = 100,
) -> list[Quarantined]:
    """Return rows in the order in which they were first set aside, beginning after `after_id`."""
    query = select(_QUARANTINE).where(_QUARANTINE.c.id > after_id, _QUARANTINE.c.state.in_([str(s) for s in states]))
    if reason is not None:
        query = query.where(_QUARANTINE.c.reason == reason)
    if device_id is not None:
        query = query.where(_QUARANTINE.c.device_id == device_id)
    rows = connection.execute(query.order_by(_QUARANTINE.c.id).limit(limit)).mappings()
    return [_quarantined(row) for row in rows]


def get(connection: Connection, row_id: int) -> Quarantined | None:
    """Return the row, or None."""
    row = connection.execute(select(_QUARANTINE).where(_QUARANTINE.c.id == row_id)).mappings().first()
    return None if row is None else _quarantined(row)


def move(connection: Connection, row_id: int, *, to: State, states: Sequence[State], note: str = "") -> bool:
    """Move a row that is in one of `states`; return whether it was."""
    statement = update(_QUARANTINE).where(
        _QUARANTINE.c.id == row_id, _QUARANTINE.c.state.in_([str(state) for state in states])
    )
    return connection.execute(statement.values(state=to.value, note=note)).rowcount == 1


def counts_by_device(connection: Connection) -> dict[str, dict[str, int]]:
    """By unit, how many messages are here for which reason; packs that the ledger refused are not counted."""
    query = (
        select(_QUARANTINE.c.device_id, _QUARANTINE.c.reason, func.sum(_QUARANTINE.c.count))
        .where(_QUARANTINE.c.entry_index.is_(None))
        .group_by(_QUARANTINE.c.device_id, _QUARANTINE.c.reason)
    )
    found: dict[str, dict[str, int]] = {}
    for device_id, reason, n in connection.execute(query):
        found.setdefault(device_id, {})[reason] = int(n)
    return found


def last_seen(connection: Connection, device_ids: Sequence[str]) -> dict[str, UnixSeconds]:
    """Return when a message of each of these units was last set aside; a unit without one is left out."""
    found: dict[str, UnixSeconds] = {}
    for some in chunks(list(device_ids)):
        query = select(_QUARANTINE.c.device_id, func.max(_QUARANTINE.c.last_seen_s))
        query = query.where(_QUARANTINE.c.device_id.in_(some)).group_by(_QUARANTINE.c.device_id)
        found.update((row[0], row[1]) for row in connection.execute(query))
    return found


def forget(connection: Connection, device_id: str, *, from_s: UnixSeconds, until_s: UnixSeconds) -> None:
    """Remove what a unit said in [from_s, until_s] (0: until now) that is set aside, bytes and all."""
    statement = delete(_QUARANTINE).where(_QUARANTINE.c.device_id == device_id, _QUARANTINE.c.last_seen_s >= from_s)
    if until_s:
        statement = statement.where(_QUARANTINE.c.first_seen_s <= until_s)
    connection.execute(statement)


def _merged(messages: Sequence[Aside]) -> list[dict[str, Any]]:
    """Each row once, in one order: a statement may not touch a row twice, nor two workers wait in a circle."""
    merged: dict[tuple[str, bytes, str], dict[str, Any]] = {}
    for message in messages:
        values = _values(message)
        row = merged.setdefault((message.device_id, message.sha256, message.reason), values)
        if row is not values:
            row["count"] += message.count
            row["first_seen_s"] = min(row["first_seen_s"], message.seen_s)
            row["last_seen_s"] = max(row["last_seen_s"], message.seen_s)
    return [merged[key] for key in sorted(merged)]


def _values(message: Aside) -> dict[str, Any]:
    return {
        "device_id": message.device_id,
        "sha256": message.sha256,
        "reason": message.reason,
        "seq": message.seq,
        "entry_index": message.entry_index,
        "count": message.count,
        "first_seen_s": message.seen_s,
        "last_seen_s": message.seen_s,
        "raw": None if message.raw is None else message.raw[:RAW_BYTES_MAX],
        "size_bytes": message.size_bytes,
        "state": State.OPEN.value,
        "note": "",
    }


def _later(one: Any, other: Any) -> Any:
    return case((one > other, one), else_=other)


def _quarantined(row: Any) -> Quarantined:
    return Quarantined(**{**row, "state": State(row["state"])})
