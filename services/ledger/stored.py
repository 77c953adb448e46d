"""The ledger's tables as they lie there, for whoever compares them: by pages of entries, or a whole table as a stream.

Reads one moment of the database, however long it takes, and never all of a table at once.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, Row, Select, Table, func, or_, select, text, tuple_

from services.database import is_sqlite, translated
from services.ledger import payloads
from services.ledger.lease import MEMBER
from services.ledger.segments import BadSegment, Payload
from services.ledger.tables import (
    CHECKPOINTS,
    ENTRIES,
    EPOCHS,
    ERASURE_NOTICES,
    GIVEN,
    PACKS,
    PAYLOADS,
    POSTINGS,
    REQUESTS,
    ROW_VERSIONS,
    ROWS_READ,
    SEGMENTS,
    SUBJECTS,
    TILES,
)

STREAM_ROWS: Final = 1_000
_ENTRY_INDEX: Final = "entry_index"


def _all_of(table: Table) -> Select[Any]:
    """Every column; `index` under another name, because a row is a sequence with a method of that name."""
    columns = [column.label(_ENTRY_INDEX) if column.name == "index" else column for column in table.columns]
    return select(*columns)


@dataclass(frozen=True, slots=True)
class Page:
    """What the tables hold of the entries in [first, after); checkpoints by size, the rest by index."""

    entries: dict[int, Row[Any]]
    payloads: dict[int, Payload]
    postings: dict[int, list[Row[Any]]]
    versions: dict[int, dict[str, bytes]]
    subjects: dict[int, set[str]]
    rows_read: dict[int, bytes]
    checkpoints: dict[int, bytes]


class Stored:
    """One moment of the tables."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def size(self) -> int:
        """How many entries there are, if none is missing between them."""
        return int(self._connection.scalar(select(func.count()).where(ENTRIES.c.index >= 0)) or 0)

    def rows_read_since(self) -> int:
        """The first entry of which the table `rows_read` has a row, or one past all."""
        first = self._connection.scalar(select(func.min(ROWS_READ.c.index)))
        return self.size() if first is None else int(first)

    def page(self, first: int, after: int) -> Page:
        """What there is of these entries."""
        postings: defaultdict[int, list[Row[Any]]] = defaultdict(list)
        for posting in self._between(POSTINGS, first, after).all():
            postings[posting.entry_index].append(posting)
        versions: defaultdict[int, dict[str, bytes]] = defaultdict(dict)
        at = ROW_VERSIONS.c.version
        for kept in self._connection.execute(select(ROW_VERSIONS).where(at >= first, at < after)):
            versions[kept.version][kept.key] = kept.value
        subjects: defaultdict[int, set[str]] = defaultdict(set)
        for named in self._between(SUBJECTS, first, after):
            subjects[named.entry_index].add(named.subject)
        sizes = CHECKPOINTS.c.size
        checkpoints = self._connection.execute(select(CHECKPOINTS).where(sizes > first, sizes <= after))
        return Page(
            entries={row.entry_index: row for row in self._between(ENTRIES, first, after)},
            payloads=self._payloads(first, after),
            postings=postings,
            versions=versions,
            subjects=subjects,
            rows_read={row.entry_index: row.rows for row in self._between(ROWS_READ, first, after)},
            checkpoints={row.size: row.note for row in checkpoints},
        )

    def _payloads(self, first: int, after: int) -> dict[int, Payload]:
        try:
            return payloads.between(self._connection, first, after)
        except BadSegment:
            return {index: found for index in range(first, after) if (found := self._payload(index)) is not None}

    def _payload(self, index: int) -> Payload | None:
        with suppress(BadSegment):
            return payloads.read(self._connection, [index]).get(index)
        return None

    def segments(self) -> Iterable[Row[Any]]:
        """The catalogue of segments, in order."""
        return self._connection.execute(select(SEGMENTS).order_by(SEGMENTS.c.first)).all()

    def segments_folder(self) -> Path:
        """Where the segments lie. Raises BadSegment."""
        return payloads.folder_of(self._connection)

    def payloads_twice(self, first: int, after: int) -> int:
        """How many payloads in [first, after), which a segment has, table `payloads` has too."""
        inside = (PAYLOADS.c.index >= first, PAYLOADS.c.index < after)
        return int(self._connection.scalar(select(func.count()).select_from(PAYLOADS).where(*inside)) or 0)

    def requests(self, ids: Sequence[bytes]) -> dict[bytes, Row[Any]]:
        """The rows of `requests` with these ids."""
        found = self._connection.execute(_all_of(REQUESTS).where(REQUESTS.c.id.in_(ids)))
        return {row.id: row for row in found}

    def packs(self, places: Sequence[tuple[str, int]]) -> dict[tuple[str, int], Row[Any]]:
        """The rows of `packs` for these units and numbers."""
        place = tuple_(PACKS.c.device_id, PACKS.c.seq)
        found = self._connection.execute(_all_of(PACKS).where(place.in_(places)))
        return {(row.device_id, row.seq): row for row in found}

    def tiles(self, places: Sequence[tuple[int, int]]) -> dict[tuple[int, int], bytes]:
        """The tiles at these levels and numbers."""
        place = tuple_(TILES.c.level, TILES.c.n)
        found = self._connection.execute(select(TILES).where(place.in_(places)))
        return {(row.level, row.n): row.hashes for row in found}

    def count(self, table: Table) -> int:
        """How many rows a table has."""
        return int(self._connection.scalar(select(func.count()).select_from(table)) or 0)

    def outside(self, table: Table, size: int) -> Iterable[Row[Any]]:
        """Rows whose `index` names no entry of a log of `size`."""
        stray = or_(table.c.index < 0, table.c.index >= size)
        return self._connection.execute(_all_of(table).where(stray).order_by(table.c.index))

    def versions_outside(self, size: int) -> Iterable[Row[Any]]:
        """Kept rows that no entry of a log of `size` can have written."""
        at = ROW_VERSIONS.c.version
        return self._connection.execute(select(ROW_VERSIONS).where(or_(at < 0, at >= size)).order_by(at))

    def checkpoints_outside(self, size: int) -> Iterable[Row[Any]]:
        """Checkpoints of trees that a log of `size` never had."""
        sizes = CHECKPOINTS.c.size
        return self._connection.execute(select(CHECKPOINTS).where(or_(sizes <= 0, sizes > size)).order_by(sizes))

    def newest_checkpoint(self, size: int) -> int:
        """The size of the largest tree up to `size` that there is a checkpoint of, 0 without any."""
        newest = select(func.max(CHECKPOINTS.c.size)).where(CHECKPOINTS.c.size <= size)
        return int(self._connection.scalar(newest) or 0)

    def is_members(self) -> bool:
        """Has a member's node written here last, and not the log's writer?"""
        last = select(EPOCHS.c.holder).order_by(EPOCHS.c.epoch.desc()).limit(1)
        return bool(self._connection.scalar(last) == MEMBER)

    def scope(self) -> Any:
        """The row of a copy that is given some collections only; None of one of all."""
        return self._connection.execute(select(GIVEN.c.collections, GIVEN.c.executed)).first()

    def notices(self) -> dict[int, Row[Any]]:
        """What such a copy was told to erase, by the entry that erases it."""
        return {row.entry_index: row for row in self._connection.execute(_all_of(ERASURE_NOTICES))}

    def stream(self, table: Table) -> Iterable[Row[Any]]:
        """Every row of a table, ordered by its key."""
        statement = _all_of(table).order_by(*table.primary_key.columns)
        return self._connection.execute(statement, execution_options={"yield_per": STREAM_ROWS})

    def requests_with_payload(self) -> Iterator[tuple[bytes, int, bytes]]:
        """Of every row of `requests` its id, the entry, and the request that this answered (empty: no such entry)."""
        statement = select(REQUESTS.c.id, REQUESTS.c.index).order_by(REQUESTS.c.id)
        found = self._connection.execute(statement, execution_options={"yield_per": STREAM_ROWS})
        for rows in found.partitions():
            told = payloads.read(self._connection, {index for _, index in rows})
            yield from ((id, index, told[index].request if index in told else b"") for id, index in rows)

    def _between(self, table: Table, first: int, after: int) -> Any:
        wanted = (table.c.index >= first, table.c.index < after)
        return self._connection.execute(_all_of(table).where(*wanted).order_by(*table.primary_key.columns))


@contextmanager
def opened(engine: Engine) -> Iterator[Stored]:
    """Give the tables as they are at this moment. Raises DatabaseUnavailable."""
    with moment(engine) as connection:
        if not is_sqlite(engine):
            yield Stored(connection)
            return
        # Text that is no longer UTF-8 must be found, and not stop the search.
        driver: Any = connection.connection.driver_connection
        driver.text_factory = _text
        try:
            yield Stored(connection)
        finally:
            driver.text_factory = str


@contextmanager
def moment(engine: Engine) -> Iterator[Connection]:
    """Give a connection that sees the database as it is now, however long it reads. Raises DatabaseUnavailable."""
    options = {} if is_sqlite(engine) else {"isolation_level": "REPEATABLE READ"}
    with translated(), engine.connect().execution_options(**options) as connection:
        if not is_sqlite(engine):
            # A part of the table that is dropped meanwhile would be missing in this moment, too: dropping has no past.
            connection.execute(text("LOCK TABLE payloads IN ACCESS SHARE MODE"))
        try:
            yield connection
        finally:
            connection.rollback()


def _text(data: bytes) -> str:
    return data.decode(errors="surrogateescape")
