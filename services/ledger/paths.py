"""Rows of the tree out of the database: one of them, or at once all that lie between an entry and the root."""

from sqlalchemy import select, tuple_
from sqlmodel import Session

from services.ledger import tiles
from services.ledger.tables import TILES


def row(session: Session, level: int, n: int) -> bytes:
    """All hashes that there are of a tile; none if there is no such tile."""
    found = session.execute(select(TILES.c.hashes).where(TILES.c.level == level, TILES.c.n == n)).scalar()
    return found or b""


def inclusion_proof(session: Session, index: int, size: int) -> list[bytes]:
    """The path from entry `index` to the root of the tree of `size`; see `tiles.inclusion_proof`."""
    wanted = tuple_(TILES.c.level, TILES.c.n).in_(tiles.between(index, size))
    query = select(TILES.c.level, TILES.c.n, TILES.c.hashes).where(wanted)
    rows = {(level, n): hashes for level, n, hashes in session.execute(query)}
    return tiles.inclusion_proof(index, size, lambda level, n: rows.get((level, n), b""))
