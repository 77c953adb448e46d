"""All SQL of the writer: what it reads before it executes, and a whole batch written in one transaction."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from sqlalchemy import Engine, Table

from contracts import state
from contracts.state import Row
from contracts.units import UnixSeconds
from services import contract_sets
from services.contract_sets import ContractSet
from services.database import reading
from services.ledger import answers, entries, hashed, payloads, tiles
from services.ledger.answers import Known
from services.ledger.client import Accepted, Failed
from services.ledger.connection import connect
from services.ledger.entries import Entry
from services.ledger.hashed import Hashed
from services.ledger.lease import KeepWaiting, Lease
from services.ledger.segments import BadSegment
from services.ledger.tables import (
    CHECKPOINTS,
    ENTRIES,
    ERASURE_NOTICES,
    ERASURES,
    GIVEN,
    PACKS,
    PAYLOADS,
    POSTINGS,
    REJECTIONS,
    REQUESTS,
    ROW_VERSIONS,
    ROWS_READ,
    STATE,
    SUBJECTS,
    TILES,
)

PACK_PREFIX: Final = "pack/"


@dataclass(frozen=True, slots=True)
class Last:
    """The newest entry of the log."""

    index: int
    entry: Entry


class Written(NamedTuple):
    """The newest row under a key: the entry that wrote it, and the row with its bytes (None, None: it is gone)."""

    version: int
    row: Row | None
    data: bytes | None


@dataclass(slots=True)
class Batch:
    """Everything that one transaction adds; tuples are rows in the order of their table's columns."""

    entries: list[tuple[int, int, bytes]] = field(default_factory=list)
    payloads: list[tuple[int, bytes, bytes, bytes, bytes, bytes]] = field(default_factory=list)
    requests: list[tuple[bytes, bytes, int]] = field(default_factory=list)
    rejections: list[tuple[bytes, bytes, str, bytes, int, int, bytes]] = field(default_factory=list)
    postings: list[tuple[int, int, str, str, int]] = field(default_factory=list)
    rows: dict[str, Written] = field(default_factory=dict)
    versions: list[tuple[str, int, bytes]] = field(default_factory=list)
    rows_read: list[tuple[int, bytes]] = field(default_factory=list)
    subjects: list[tuple[int, str]] = field(default_factory=list)
    erasures: list[tuple[int, None]] = field(default_factory=list)
    notices: list[tuple[int, bytes, bytes]] = field(default_factory=list)
    given: list[tuple[int, str, int]] = field(default_factory=list)
    tiles: dict[tuple[int, int], bytes] = field(default_factory=dict)
    checkpoints: list[tuple[int, bytes]] = field(default_factory=list)

    def is_empty(self) -> bool:
        """Is there nothing to commit?"""
        return not self.entries and not self.rejections


class Store:
    """The writer's window on the database; it can be read before the lease is taken, and while a batch is committed.

    contracts  the set whose rows these are; the caller changes it when another becomes active

    Every method raises DatabaseUnavailable; what `commit` was doing may then have happened, unless it is LeaseLost.
    """

    def __init__(self, engine: Engine, contracts: ContractSet) -> None:
        self.contracts = contracts
        self._engine = engine
        self._connection = connect(engine, upserted=(STATE, PACKS, TILES, GIVEN))
        try:
            self._reading = connect(engine, upserted=())
        except BaseException:
            self._connection.close()
            raise

    def close(self) -> None:
        """Give up the lease."""
        self._reading.close()
        self._connection.close()

    # The lease

    def take_lease(self, holder: str, keep_waiting: KeepWaiting) -> Lease:
        """Become the writer; raises AnotherWriter once `keep_waiting` says to give up."""
        return self._connection.take_lease(holder, keep_waiting)

    def keep_lease(self) -> None:
        """Renew it if nothing was committed for a while. Raises LeaseLost."""
        self._connection.keep_lease()

    def lease_renewed_s(self) -> UnixSeconds | None:
        """When whoever holds the lease last renewed it, by the database's clock; None of a new ledger."""
        found = self._reading.all("SELECT renewed_ms / 1000 FROM lease")
        return found[0][0] if found else None

    # Reading

    def last(self) -> Last | None:
        """The newest entry, or None of an empty log."""
        found = self._reading.all('SELECT "index", entry FROM entries ORDER BY "index" DESC LIMIT 1')
        return Last(found[0][0], entries.from_bytes(found[0][1])) if found else None

    def frontier(self, size: int) -> dict[int, bytes]:
        """The partial tile of each level of the tree of `size`."""
        return tiles.rightmost_rows(size, self.tile)

    def tile(self, level: int, n: int) -> bytes:
        """The row of hashes at this place, empty if there is none."""
        found = self._reading.all(f"SELECT hashes FROM tiles WHERE level = {level:d} AND n = {n:d}")
        return bytes(found[0][0]) if found else b""

    def rows(self, keys: Iterable[str]) -> dict[str, Row]:
        """The rows under those of `keys` that there are."""
        return {key: newest.row for key, newest in self.written(keys).items() if newest.row is not None}

    def written(self, keys: Iterable[str]) -> dict[str, Written]:
        """The rows under those of `keys` that there are, each with the entry that wrote it."""
        packs: list[str] = []
        others: list[str] = []
        for key in keys:
            (packs if key.startswith(PACK_PREFIX) else others).append(key)
        found = {key: pack for key in packs if (pack := self._pack(key)) is not None}
        if others:
            select = self._reading.select('SELECT "key", version, value FROM state WHERE "key" = {key}', others)
            from_bytes = self.contracts.state.from_bytes
            for key, version, data in select:
                row: Any = hashed.from_bytes(data) or from_bytes(key, data)
                found[key] = Written(version, row, data)
        return found

    def _pack(self, key: str) -> Written | None:
        # Packs are read one at a time: only a message that comes again asks for one.
        device_id, seq = pack_place(key)
        statement = f"{_PACK_COLUMNS} WHERE seq = {seq:d} AND device_id = {{key}}"
        found = self._reading.select(statement, [device_id])
        if not found:
            return None
        version, *decided = found[0]
        row = self.contracts.state.Decided(*decided)
        return Written(version, row, self.contracts.state.to_bytes(row))

    def known(self, ids: Sequence[bytes]) -> dict[bytes, Known]:
        """How those of the requests `ids` that were answered before were answered."""
        found = {row[0]: row for row in self._reading.select(_ANSWERED, ids)}
        known = {
            id: Known(digest, answers.declined(reason, facts)) for id, digest, reason, facts in self._declined(ids)
        }
        if found:
            results = self._accepted([index for _, _, index in found.values()])
            known |= {id: Known(digest, results[index]) for id, digest, index in found.values()}
        return known

    def _accepted(self, indexes: Sequence[int]) -> dict[int, Accepted | Failed]:
        """The answers that the entries at `indexes` were given, some of them perhaps long ago."""
        accepted = self._reading.select(_ACCEPTED, indexes)
        answered: dict[int, Accepted | Failed] = {
            index: Accepted(index, at_s, answers.result_of(result)) for index, at_s, result in accepted
        }
        archived = [index for index in indexes if index not in answered]
        if archived:
            at = dict(self._reading.select('SELECT "index", at_s FROM entries WHERE "index" = {key}', archived))
            answered |= {index: self._archived_answer(index, at[index]) for index in archived}
        return answered

    def _archived_answer(self, index: int, at_s: UnixSeconds) -> Accepted | Failed:
        """One by one, because a segment that is lost is a reason to fail one request, and not the writer."""
        try:
            with reading(self._engine) as session:
                result = payloads.read(session, [index])[index].result
        except BadSegment as error:
            return Failed(str(error))
        return Accepted(index, at_s, answers.result_of(result))

    def _declined(self, ids: Sequence[bytes]) -> list[tuple[Any, ...]]:
        return self._reading.select("SELECT id, digest, reason, facts FROM rejections WHERE id = {key}", ids)

    def entries(self, indexes: Sequence[int]) -> dict[int, Entry]:
        """Those of the entries at `indexes` that there are."""
        found = self._reading.select('SELECT "index", entry FROM entries WHERE "index" = {key}', indexes)
        return {index: entries.from_bytes(entry) for index, entry in found}

    def rows_read(self, indexes: Sequence[int]) -> dict[int, bytes]:
        """What the entries at `indexes` read, of those of which it is kept."""
        return dict(self._reading.select('SELECT "index", rows FROM rows_read WHERE "index" = {key}', indexes))

    def given(self) -> tuple[frozenset[str], int] | None:
        """Of which collections this copy is, and how many entries it was given; None: it is of all."""
        found = self._reading.all("SELECT collections, executed FROM given")
        return (frozenset(found[0][0].split()), found[0][1]) if found else None

    def first_due_s(self) -> UnixSeconds | None:
        """When the first row is due, or None if no row ever is."""
        due_s: UnixSeconds | None = self._reading.all("SELECT min(due_s) FROM state WHERE due_s IS NOT NULL")[0][0]
        return due_s

    def due_keys(self, at_s: UnixSeconds, *, limit: int) -> list[str]:
        """Keys of rows that are due at `at_s`, the earliest first."""
        found = self._reading.all(
            f'SELECT "key" FROM state WHERE due_s <= {at_s:d} ORDER BY due_s, "key" LIMIT {limit:d}'
        )
        return [key for (key,) in found]

    def activated(self, batch: Batch, programme: str) -> ContractSet | None:
        """The contract set that `batch` makes active, if it does; loaded before anything is committed.

        Raises UnusableBundle, and nothing of it may be committed then.
        """
        active: Any = batch.rows.get(state.ACTIVE_KEY)
        if active is None:
            return None
        carried: Any = batch.rows[state.contracts_key(active.row.version)].row
        return contract_sets.load(carried.files, programme=programme, version=active.row.version)

    # Writing

    def commit(self, batch: Batch) -> None:
        """Write all of `batch`, or nothing."""
        packs, rows, gone = _by_table(self.contracts, batch.rows)
        with self._connection.transaction():
            self._insert(ENTRIES, batch.entries)
            self._insert(PAYLOADS, batch.payloads)
            self._insert(REQUESTS, batch.requests)
            self._insert(REJECTIONS, batch.rejections)
            self._insert(POSTINGS, batch.postings)
            self._insert(PACKS, [row for row in packs if _is_first_decision(row)])
            self._upsert(PACKS, [row for row in packs if not _is_first_decision(row)])
            self._upsert(STATE, rows)
            self._insert(ROW_VERSIONS, batch.versions)
            self._insert(ROWS_READ, batch.rows_read)
            self._insert(SUBJECTS, batch.subjects)
            self._insert(ERASURES, batch.erasures)
            self._insert(ERASURE_NOTICES, batch.notices)
            self._upsert(GIVEN, batch.given)
            if gone:
                self._connection.delete(STATE, gone)
            self._upsert(TILES, [(level, n, hashes) for (level, n), hashes in batch.tiles.items()])
            self._insert(CHECKPOINTS, batch.checkpoints)

    def _insert(self, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
        if rows:
            self._connection.insert(table, rows)

    def _upsert(self, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
        if rows:
            self._connection.upsert(table, rows)


_PACK_COLUMNS: Final = 'SELECT version, sha256, refusal, "index", start_s, end_s, again_at FROM packs'
_ANSWERED: Final = 'SELECT id, digest, "index" FROM requests WHERE id = {key}'
_ACCEPTED: Final = """
    SELECT payloads."index", entries.at_s, payloads.result
    FROM payloads JOIN entries ON entries."index" = payloads."index" WHERE payloads."index" = {key}
"""
_AGAIN_AT: Final = -1


def pack_place(key: str) -> tuple[str, int]:
    """The unit and the number that the key of a `Decided` names."""
    device_id, _, seq = key.removeprefix(PACK_PREFIX).rpartition("/")
    return device_id, int(seq)


def _by_table(
    contracts: ContractSet,
    written: dict[str, Written],
) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]], list[str]]:
    """Rows of `packs`, rows of `state`, and keys that are gone from `state`."""
    packs: list[tuple[Any, ...]] = []
    rows: list[tuple[Any, ...]] = []
    gone: list[str] = []
    due_s, values = contracts.state.due_s, contracts.state.values
    for key, newest in written.items():
        row: Any = newest.row
        if row is None:
            gone.append(key)
        elif not key.startswith(PACK_PREFIX):
            rows.append((key, newest.version, newest.data, due_s(row)))
        elif not isinstance(row, Hashed):  # else an erased entry decided it, and nobody told what
            packs.append(_pack_row(key, newest.version, values(row)))
    return packs, rows, gone


def _pack_row(key: str, version: int, values: tuple[Any, ...]) -> tuple[Any, ...]:
    sha256, refusal, *rest = values
    # A driver may write a member of an enumeration by another name than its value.
    return (*pack_place(key), version, sha256, str(refusal), *rest)


def _is_first_decision(pack: tuple[Any, ...]) -> bool:
    return pack[_AGAIN_AT] is None
