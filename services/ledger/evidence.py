"""Everything behind one entry, out of the tables: what it commits to, its path, and the rows that decided an award."""

from collections.abc import Iterable
from contextlib import suppress

from sqlalchemy import select
from sqlmodel import Session

from contracts import commands, state
from contracts.execute import version
from contracts.programmes import Programme
from services.ledger import entries, past, tiles
from services.ledger.client import Evidence, Input, Proven
from services.ledger.tables import ENTRIES, PAYLOADS, TILES


def of_entry(session: Session, programme: Programme, index: int, *, size: int, note: bytes) -> Evidence | None:
    """The evidence of entry `index` under the checkpoint `note` of `size`.

    None if the tree has no such entry, or its request is erased. Of an entry that other contracts than this program's
    executed, or before which something was erased, the inputs are not told.
    """
    if not 0 <= index < size:
        return None
    payload = PAYLOADS.c
    told = select(payload.request, payload.request_salt, payload.result, ENTRIES.c.entry, ENTRIES.c.at_s)
    joined = told.join(ENTRIES, ENTRIES.c.index == payload.index).where(payload.index == index)
    request, request_salt, result, entry, at_s = session.execute(joined).one()
    if not request:
        return None
    read: dict[str, tuple[int, state.Row]] = {}
    if entries.from_bytes(entry).contract_version == version(programme.name):
        command = commands.from_bytes(request).command
        with suppress(past.Forgotten):
            read = past.before(session, programme, command, at_s=at_s, index=index).read
    proven = _proven(session, {index, *(by for by, _ in read.values())}, size)
    inputs = (Input(key, state.to_bytes(row), proven[by]) for key, (by, row) in sorted(read.items()))
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
