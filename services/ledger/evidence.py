"""Everything behind one entry, out of the tables: what it commits to, its path, and the rows that decided an award."""

from collections.abc import Callable, Iterable
from contextlib import suppress

from sqlalchemy import select
from sqlmodel import Session

from services.contract_sets import ContractSet
from services.ledger import entries, past, tiles
from services.ledger.client import Evidence, Input, Proven
from services.ledger.tables import ENTRIES, PAYLOADS, TILES


def of_entry(
    session: Session, contracts_of: Callable[[bytes], ContractSet], index: int, *, size: int, note: bytes
) -> Evidence | None:
    """The evidence of entry `index` under the checkpoint `note` of `size`.

    None if the tree has no such entry, or its request is erased. Before which something was erased, the inputs are not
    told.

    contracts_of  the contract set of a version: each entry is executed again as it was executed
    """
    if not 0 <= index < size:
        return None
    payload = PAYLOADS.c
    told = select(payload.request, payload.request_salt, payload.result, ENTRIES.c.entry, ENTRIES.c.at_s)
    joined = told.join(ENTRIES, ENTRIES.c.index == payload.index).where(payload.index == index)
    request, request_salt, result, entry, at_s = session.execute(joined).one()
    if not request:
        return None
    read: dict[str, tuple[int, bytes]] = {}
    contracts = contracts_of(entries.from_bytes(entry).contract_version)
    with suppress(past.Forgotten):
        read = past.before(session, contracts_of, contracts, request, at_s=at_s, index=index).read
    proven = _proven(session, {index, *(by for by, _ in read.values())}, size)
    inputs = (Input(key, value, proven[by]) for key, (by, value) in sorted(read.items()))
    return Evidence(proven[index], request, request_salt, result, note, tuple(inputs))


def _proven(session: Session, indexes: Iterable[int], size: int) -> dict[int, Proven]:
    payload = PAYLOADS.c
    query = select(ENTRIES.c.index, ENTRIES.c.entry, payload.effects, payload.effects_salt)
    joined = query.join(PAYLOADS, payload.index == ENTRIES.c.index).where(ENTRIES.c.index.in_(indexes))
    return {
        index: Proven(index, entry, effects, salt, tuple(_path(session, index, size)))
        for index, entry, effects, salt in session.execute(joined)
    }


def _path(session: Session, index: int, size: int) -> list[bytes]:
    def tile(level: int, n: int) -> bytes:
        found = session.execute(select(TILES.c.hashes).where(TILES.c.level == level, TILES.c.n == n)).scalar()
        return found or b""

    return tiles.inclusion_proof(index, size, tile)
