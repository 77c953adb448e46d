"""How many messages ended in each way, and which receipt each unit had last."""

from collections.abc import Mapping, Sequence
from typing import Final

from sqlalchemy import Connection, select

from services.database import among
from services.setaside.batches import chunks, insert_into
from services.setaside.tables import MessageCountRow, ReceiptSentRow

_COUNTS: Final = MessageCountRow.__table__  # type: ignore[attr-defined]
_RECEIPTS: Final = ReceiptSentRow.__table__  # type: ignore[attr-defined]


def count(connection: Connection, n_by_outcome: Mapping[str, int]) -> None:
    """Add to the counts of what became of messages."""
    # In one order everywhere, so that two workers never wait for each other's rows in a circle.
    rows = [{"outcome": outcome, "n": n} for outcome, n in sorted(n_by_outcome.items()) if n]
    if rows:
        statement = insert_into(connection, _COUNTS).values(rows)
        added = {"n": _COUNTS.c.n + statement.excluded.n}
        connection.execute(statement.on_conflict_do_update(index_elements=["outcome"], set_=added))


def counts(connection: Connection) -> dict[str, int]:
    """Return how many messages ended in each way."""
    return {row.outcome: row.n for row in connection.execute(select(_COUNTS))}


def note_receipts(connection: Connection, seq_by_device: Mapping[str, int]) -> None:
    """Remember up to which number each unit has a receipt."""
    rows = [{"device_id": device_id, "seq": seq} for device_id, seq in sorted(seq_by_device.items())]
    for some in chunks(rows):
        statement = insert_into(connection, _RECEIPTS).values(some)
        newest = {"seq": statement.excluded.seq}
        connection.execute(statement.on_conflict_do_update(index_elements=["device_id"], set_=newest))


def receipts_of(connection: Connection, device_ids: Sequence[str]) -> dict[str, int]:
    """Return up to which number each of these units has a receipt; a unit that has none is left out."""
    found: dict[str, int] = {}
    for some in chunks(list(device_ids)):
        query = select(_RECEIPTS).where(among(connection, _RECEIPTS.c.device_id, some))
        found.update((row.device_id, row.seq) for row in connection.execute(query))
    return found
