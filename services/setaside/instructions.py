"""What units are to be told, kept until ingestion has sent it, and when each was last asked to send again.

`services.operations` puts instructions here in the transaction that makes them true; `services.ingestion`, which
holds the connection to the broker, sends them.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, delete, or_, select

from contracts.units import Seconds, UnixSeconds
from contracts.wire import receipts
from contracts.wire.receipts import Instruction
from services.setaside.batches import chunks, insert_into
from services.setaside.tables import InstructionRow, ResendAskedRow

_INSTRUCTIONS: Final = InstructionRow.__table__  # type: ignore[attr-defined]
_ASKED: Final = ResendAskedRow.__table__  # type: ignore[attr-defined]


@dataclass(frozen=True, slots=True)
class Pending:
    """An instruction that is not sent yet, as `contracts.wire.receipts.write` wrote it."""

    id: int
    device_id: str
    payload: bytes


def instruct(connection: Connection, instructions: Sequence[Instruction]) -> None:
    """Have these sent, each to the unit that it names."""
    for some in chunks(instructions):
        rows = [{"device_id": one.device_id, "payload": receipts.write(one)} for one in some]
        connection.execute(insert_into(connection, _INSTRUCTIONS).values(rows))


def pending(connection: Connection, *, limit: int) -> list[Pending]:
    """Return instructions that are not sent, oldest first; those that another worker has in hand are left out."""
    query = select(_INSTRUCTIONS).order_by(_INSTRUCTIONS.c.id).limit(limit).with_for_update(skip_locked=True)
    return [Pending(**row) for row in connection.execute(query).mappings()]


def sent(connection: Connection, ids: Sequence[int]) -> None:
    """Forget instructions that are sent."""
    for some in chunks(ids):
        connection.execute(delete(_INSTRUCTIONS).where(_INSTRUCTIONS.c.id.in_(some)))


def claim_asks(
    connection: Connection, device_ids: Collection[str], *, now_s: UnixSeconds, pause_s: Seconds
) -> set[str]:
    """Return those of the units that were not asked within `pause_s`, and note that they are asked now.

    A moment that lies ahead of `now_s` counts as long ago: the wall clock was set back.
    """
    claimed: set[str] = set()
    for some in chunks(sorted(device_ids)):
        rows = [{"device_id": device_id, "asked_s": now_s} for device_id in some]
        statement = insert_into(connection, _ASKED).values(rows)
        statement = statement.on_conflict_do_update(
            index_elements=["device_id"],
            set_={"asked_s": statement.excluded.asked_s},
            where=or_(_ASKED.c.asked_s <= now_s - pause_s, _ASKED.c.asked_s > now_s),
        )
        claimed.update(connection.execute(statement.returning(_ASKED.c.device_id)).scalars())
    return claimed
