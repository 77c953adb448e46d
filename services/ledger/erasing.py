"""Erases what entries say of a customer, once an entry on the ledger has named them; any copy does it like this.

Erased are the request with its salt, the rows that it read and the result; kept are the public entry, the effects with
their salt, and what follows from them. An erasure is remembered from the entry on, in the same transaction: a crash in
between is repaired when the copy is opened next, before it serves anything. Erasing what is erased changes nothing.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Engine, delete, select, update
from sqlmodel import Session

from contracts import commands, state
from contracts.commands import EraseCustomer
from contracts.units import UnixSeconds
from contracts.wire import cbor
from services.database import reading, transaction
from services.ledger.tables import ERASURES, PAYLOADS, REQUESTS, ROW_VERSIONS, ROWS_READ, SUBJECTS

AT_ONCE: Final = 400
"""Entries in one transaction, so that nobody waits long for the database."""


def finish(engine: Engine, now_s: UnixSeconds) -> list[int]:
    """Do every erasure that is not done here; return the entries that asked for them. Raises DatabaseUnavailable."""
    with reading(engine) as session:
        pending = list(session.scalars(select(ERASURES.c.index).where(ERASURES.c.erased_s.is_(None))))
        asked = [(index, _command(session, index)) for index in sorted(pending)]
    for index, command in asked:
        for part in _parts(command.erased):
            with transaction(engine) as session:
                _erase(session, part, state.customer_key(command.customer_id))
        with transaction(engine) as session:
            session.execute(update(ERASURES).where(ERASURES.c.index == index).values(erased_s=now_s))
    return [index for index, _ in asked]


@dataclass(frozen=True, slots=True)
class Erased:
    """An erasure that was done here."""

    index: int
    customer_id: str
    erased_s: UnixSeconds


def done(engine: Engine) -> list[Erased]:
    """Every erasure that was done here, in the order of their entries. Raises DatabaseUnavailable."""
    query = select(ERASURES.c.index, ERASURES.c.erased_s).where(ERASURES.c.erased_s.is_not(None))
    with reading(engine) as session:
        found = session.execute(query.order_by(ERASURES.c.index)).all()
        return [Erased(index, _command(session, index).customer_id, erased_s) for index, erased_s in found]


def _erase(session: Session, indexes: Sequence[int], subject: str) -> None:
    here = PAYLOADS.c.index.in_(indexes)
    requests = session.scalars(select(PAYLOADS.c.request).where(here, PAYLOADS.c.request != b"")).all()
    ids = [cbor.decode(request)[1] for request in requests]  # of any contract set
    session.execute(update(PAYLOADS).where(here).values(request=b"", request_salt=b"", result=b""))
    session.execute(delete(REQUESTS).where(REQUESTS.c.id.in_(ids)))
    session.execute(delete(ROWS_READ).where(ROWS_READ.c.index.in_(indexes)))
    session.execute(delete(ROW_VERSIONS).where(ROW_VERSIONS.c.version.in_(indexes)))
    session.execute(delete(SUBJECTS).where(SUBJECTS.c.index.in_(indexes), SUBJECTS.c.subject == subject))


def _command(session: Session, index: int) -> EraseCustomer:
    request = session.scalars(select(PAYLOADS.c.request).where(PAYLOADS.c.index == index)).one()
    command = commands.from_bytes(request).command
    if not isinstance(command, EraseCustomer):
        raise TypeError(f"entry {index} erases nothing: it is a {command.KIND}")
    return command


def _parts(indexes: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(indexes), AT_ONCE):
        yield indexes[start : start + AT_ONCE]
