"""Erases what entries say of a customer, once an entry on the ledger has named them; any copy does it like this.

Erased are the request with its salt, the rows that it read and the result; kept are the public entry, the effects with
their salt, and what follows from them. An erasure is remembered from the entry on, in the same transaction: a crash in
between is repaired when the copy is opened next, before it serves anything. Erasing what is erased changes nothing.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Engine, delete, select, update
from sqlmodel import Session

from contracts import commands, state
from contracts.commands import EraseCustomer
from contracts.units import UnixSeconds
from contracts.wire import cbor
from services.database import reading, transaction
from services.ledger import hashed, payloads, rows_read
from services.ledger.hashed import Hashed
from services.ledger.segments import BadSegment
from services.ledger.tables import (
    ERASURE_NOTICES,
    ERASURES,
    PAYLOADS,
    REQUESTS,
    ROW_VERSIONS,
    ROWS_READ,
    STATE,
    SUBJECTS,
)

AT_ONCE: Final = 400
"""Entries in one transaction, so that nobody waits long for the database."""
_OF_A_PERSON: Final = ("customer/", "spending/", "code/", "purchase/")


def finish(engine: Engine, now_s: UnixSeconds) -> list[int]:
    """Do every erasure that is not done here; return the entries that asked for them. Raises DatabaseUnavailable."""
    with reading(engine) as session:
        pending = list(session.scalars(select(ERASURES.c.index).where(ERASURES.c.erased_s.is_(None))))
        asked = [_asked(session, index) for index in sorted(pending)]
    for one in asked:
        for part in _parts(one.erased):
            with transaction(engine) as session:
                if one.customer_id is None:
                    _forget_rows(session, part)
                _erase(session, part, one.customer_id)
        with transaction(engine) as session:
            session.execute(update(ERASURES).where(ERASURES.c.index == one.index).values(erased_s=now_s))
    return [one.index for one in asked]


@dataclass(frozen=True, slots=True)
class Erased:
    """An erasure that was done here.

    customer_hash  SHA-256 of the pseudonym of whom it forgets
    """

    index: int
    customer_hash: bytes
    erased_s: UnixSeconds


def done(engine: Engine) -> list[Erased]:
    """Every erasure that was done here, in the order of their entries. Raises DatabaseUnavailable."""
    query = select(ERASURES.c.index, ERASURES.c.erased_s).where(ERASURES.c.erased_s.is_not(None))
    with reading(engine) as session:
        found = session.execute(query.order_by(ERASURES.c.index)).all()
        return [Erased(index, _asked(session, index).customer_hash, erased_s) for index, erased_s in found]


@dataclass(frozen=True, slots=True)
class _Asked:
    """What an entry erases here, and for whom; customer_id is None in a copy that does not see that entry."""

    index: int
    customer_hash: bytes
    erased: Sequence[int]
    customer_id: str | None


def _asked(session: Session, index: int) -> _Asked:
    notice = select(ERASURE_NOTICES.c.customer_hash, ERASURE_NOTICES.c.erased).where(ERASURE_NOTICES.c.index == index)
    told = session.execute(notice).first()
    if told is not None:
        return _Asked(index, told[0], cbor.decode(told[1]), None)
    command = commands.from_bytes(payloads.read(session, [index])[index].request).command
    if not isinstance(command, EraseCustomer):
        raise TypeError(f"entry {index} erases nothing: it is a {command.KIND}")
    customer_hash = hashlib.sha256(command.customer_id.encode()).digest()
    return _Asked(index, customer_hash, command.erased, command.customer_id)


def _erase(session: Session, indexes: Sequence[int], customer_id: str | None) -> None:
    try:
        told = payloads.read(session, indexes).values()
        ids = [cbor.decode(payload.request)[1] for payload in told if payload.request]  # of any contract set
        asked = REQUESTS.c.id.in_(ids)
    except BadSegment:
        asked = REQUESTS.c.index.in_(indexes)  # slower, and needs to read nothing that may be lost
    here = PAYLOADS.c.index.in_(indexes)
    session.execute(update(PAYLOADS).where(here).values(request=b"", request_salt=b"", result=b""))
    payloads.forget_keys(session, indexes)
    session.execute(delete(REQUESTS).where(asked))
    session.execute(delete(ROWS_READ).where(ROWS_READ.c.index.in_(indexes)))
    session.execute(delete(ROW_VERSIONS).where(ROW_VERSIONS.c.version.in_(indexes)))
    if customer_id is not None:
        mine = (SUBJECTS.c.index.in_(indexes), SUBJECTS.c.subject == state.customer_key(customer_id))
        session.execute(delete(SUBJECTS).where(*mine))


def _forget_rows(session: Session, indexes: Sequence[int]) -> None:
    """Of the rows about a person that entries read, keep the hashes: a copy that is given a part has seen them there.

    In a copy of all collections, executing the erasure drops those that nobody needs.
    """
    read = session.scalars(select(ROWS_READ.c.rows).where(ROWS_READ.c.index.in_(indexes))).all()
    keys = sorted({key for rows in read for key in rows_read.from_bytes(rows) if key.startswith(_OF_A_PERSON)})
    for part in _parts(keys):
        found = session.execute(select(STATE.c.key, STATE.c.value).where(STATE.c.key.in_(part))).all()
        for key, value in found:
            if hashed.from_bytes(value) is None:
                data = hashed.to_bytes(Hashed(hashlib.sha256(value).digest()))
                session.execute(update(STATE).where(STATE.c.key == key).values(value=data, due_s=None))


def _parts(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(values), AT_ONCE):
        yield values[start : start + AT_ONCE]
