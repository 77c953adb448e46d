"""Reads payloads wherever they lie: in table `payloads`, or moved out of it into a segment file (`archiving`).

Everything that reads a payload does it here. Where the segments lie is an option of the engine
(`database.engine(url, segments=...)`).
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

from sqlalchemy import Connection, func, select, update
from sqlmodel import Session

from services.database import SEGMENTS_FOLDER, among
from services.ledger import segments
from services.ledger.segments import KEY_BYTES, NO_KEY, BadSegment, Payload, Written
from services.ledger.tables import PAYLOADS, SEGMENT_KEYS, SEGMENTS

KEYS_EACH: Final = 32
"""Keys in one row of `segment_keys`: 1 KiB, so that a row costs little beside them."""
READ_MAX: Final = 500
"""Indexes in one statement."""

_PARTS: Final = tuple(PAYLOADS.c[name] for name in Payload._fields)
_Place: TypeAlias = tuple[int, int, bytes]
"""(first entry, the one after the last, SHA-256 of the file)"""


def read(session: Session | Connection, indexes: Collection[int]) -> dict[int, Payload]:
    """The payloads of those of `indexes` of which this copy has one. Raises BadSegment."""
    connection = _connection(session)
    found: dict[int, Payload] = {}
    for part in _parts_of(sorted(indexes)):
        query = select(PAYLOADS.c.index, *_PARTS).where(among(connection, PAYLOADS.c.index, part))
        found.update((row[0], Payload(*row[1:])) for row in connection.execute(query))
        missing = [index for index in part if index not in found]
        if missing:
            found |= _archived(connection, missing)
    return found


def between(session: Session | Connection, first: int, after: int) -> dict[int, Payload]:
    """The payloads of the entries in [first, after). Raises BadSegment."""
    connection = _connection(session)
    query = select(PAYLOADS.c.index, *_PARTS).where(PAYLOADS.c.index >= first, PAYLOADS.c.index < after)
    found = {row[0]: Payload(*row[1:]) for row in connection.execute(query)}
    if len(found) < after - first:
        found |= _archived(connection, [index for index in range(first, after) if index not in found])
    return found


def forget_keys(session: Session, indexes: Iterable[int]) -> None:
    """Erase the keys of those of `indexes` that lie in segments: nobody can read their requests after that.

    To be called after table `payloads` was changed: what moves out of it meanwhile has its keys then.
    """
    by_row: dict[int, list[int]] = {}
    for index in indexes:
        by_row.setdefault(index // KEYS_EACH, []).append(index % KEYS_EACH)
    for part in _parts_of(sorted(by_row)):
        wanted = select(SEGMENT_KEYS).where(SEGMENT_KEYS.c.n.in_(part)).with_for_update()
        for n, keys in session.execute(wanted).all():
            left = bytearray(keys)
            for place in by_row[n]:
                left[place * KEY_BYTES : (place + 1) * KEY_BYTES] = NO_KEY
            session.execute(update(SEGMENT_KEYS).where(SEGMENT_KEYS.c.n == n).values(keys=bytes(left)))


def rows_of_keys(written: Written) -> Iterator[dict[str, Any]]:
    """The rows of `segment_keys` that hold the keys of a segment, which begins at a multiple of KEYS_EACH."""
    row_bytes = KEYS_EACH * KEY_BYTES
    for place in range(0, len(written.keys), row_bytes):
        n = (written.first + place // KEY_BYTES) // KEYS_EACH
        yield {"n": n, "keys": written.keys[place : place + row_bytes]}


def folder_of(connection: Connection) -> Path:
    """Where the segments of this database lie. Raises BadSegment if nobody said."""
    folder: Path | None = connection.get_execution_options().get(SEGMENTS_FOLDER)
    if folder is None:
        raise BadSegment("payloads were moved to segment files, and nothing says where they are")
    return folder


def _archived(connection: Connection, indexes: list[int]) -> dict[int, Payload]:
    """Those of `indexes`, which are sorted, that lie in segments."""
    places = _places(connection, indexes[0], indexes[-1])
    inside = {index: place for index in indexes if (place := _place_of(places, index)) is not None}
    if not inside:
        return {}
    folder = folder_of(connection)
    keys = _keys(connection, inside)
    found = {}
    for index, (_, _, sha256) in inside.items():
        payload = segments.opened(segments.path_of(folder, sha256)).read(index, keys[index])
        if payload is not None:
            found[index] = payload
    return found


def _places(connection: Connection, first: int, last: int) -> list[_Place]:
    table = SEGMENTS.c
    # Segments do not overlap: of those that begin before, only the last can reach into the span.
    before = select(func.max(table.first)).where(table.first <= first).scalar_subquery()
    query = select(table.first, table.after, table.sha256)
    query = query.where(table.first >= func.coalesce(before, first), table.first <= last)
    return [(found[0], found[1], bytes(found[2])) for found in connection.execute(query)]


def _place_of(places: Iterable[_Place], index: int) -> _Place | None:
    return next((place for place in places if place[0] <= index < place[1]), None)


def _keys(connection: Connection, indexes: Mapping[int, Any]) -> dict[int, bytes]:
    rows = {index // KEYS_EACH for index in indexes}
    found = {n: bytes(row) for n, row in connection.execute(select(SEGMENT_KEYS).where(SEGMENT_KEYS.c.n.in_(rows)))}
    keys = {}
    for index in indexes:
        row = found.get(index // KEYS_EACH, b"")
        start = index % KEYS_EACH * KEY_BYTES
        keys[index] = row[start : start + KEY_BYTES] or NO_KEY
    return keys


def _connection(session: Session | Connection) -> Connection:
    return session.connection() if isinstance(session, Session) else session


def _parts_of(indexes: list[int]) -> Iterator[list[int]]:
    for start in range(0, len(indexes), READ_MAX):
        yield indexes[start : start + READ_MAX]
