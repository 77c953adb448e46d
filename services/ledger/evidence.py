"""Everything behind one entry, out of the tables: what it commits to, its path, and the rows that decided an award."""

from collections.abc import Callable, Collection
from contextlib import suppress

from sqlalchemy import select
from sqlmodel import Session

from services.contract_sets import ContractSet
from services.ledger import entries, past, paths, payloads
from services.ledger.client import Evidence, Input, Proven
from services.ledger.tables import ENTRIES


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
    payload = payloads.read(session, [index])[index]
    if not payload.request:
        return None
    entry, at_s = session.execute(select(ENTRIES.c.entry, ENTRIES.c.at_s).where(ENTRIES.c.index == index)).one()
    read: dict[str, tuple[int, bytes]] = {}
    contracts = contracts_of(entries.from_bytes(entry).contract_version)
    with suppress(past.Forgotten):
        read = past.before(session, contracts_of, contracts, payload.request, at_s=at_s, index=index).read
    proven = _proven(session, {index, *(by for by, _ in read.values())}, size)
    inputs = (Input(key, value, proven[by]) for key, (by, value) in sorted(read.items()))
    return Evidence(proven[index], payload.request, payload.request_salt, payload.result, note, tuple(inputs))


def _proven(session: Session, indexes: Collection[int], size: int) -> dict[int, Proven]:
    told = payloads.read(session, indexes)
    query = select(ENTRIES.c.index, ENTRIES.c.entry).where(ENTRIES.c.index.in_(indexes))
    proven = {}
    for index, entry in session.execute(query).all():
        path = tuple(paths.inclusion_proof(session, index, size))
        proven[index] = Proven(index, entry, told[index].effects, told[index].effects_salt, path)
    return proven
