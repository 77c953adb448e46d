"""The read side: rows, entries, packs and the log as committed. A query costs what it returns, not what there is."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import partial
from typing import Any, Final

from sqlalchemy import Engine, RowMapping, Select, func, or_, select, union_all
from sqlmodel import Session

from contracts import commands, state
from contracts.effects import Posting
from contracts.programmes import Programme
from contracts.state import ContractFiles, Decided, Membership, Row
from contracts.units import Seconds, UnixSeconds
from contracts.wire import cbor
from contracts.wire.packs import INTERVALS_MAX
from services import database
from services.contract_sets import CarriedSets, parameters_of
from services.database import DatabaseUnavailable
from services.ledger import (
    answers,
    checkpoints,
    entries,
    erasable,
    evidence,
    paths,
    payloads,
    proofs,
    tiles,
    trial_balance,
)
from services.ledger.client import Erasable, Evidence, Head, LedgerUnavailable, PackEvidence, Recorded
from services.ledger.merkle import HASH_BYTES
from services.ledger.store import PACK_PREFIX, pack_place
from services.ledger.stored import moment
from services.ledger.tables import CHECKPOINTS, COSIGNATURES, ENTRIES, GIVEN, PACKS, POSTINGS, STATE

KEYS_MAX: Final = 500
"""Keys in one statement."""
SETS_MAX: Final = 1_000
"""Contract sets that a ledger carries; members will hardly agree on as many."""
COSIGNATURES_LOOKED_AT: Final = 200
"""Of the newest ones: an old checkpoint that became final is of no use to anybody."""
FINAL_RECENT_S: Final = 30
"""A final checkpoint that is older is not shown before a newer one, nor one that says it comes from the future: members
whose clocks are ahead would otherwise hold back everybody who follows."""

_DECIDED = (PACKS.c.sha256, PACKS.c.refusal, PACKS.c.index, PACKS.c.start_s, PACKS.c.end_s, PACKS.c.again_at)


@dataclass(frozen=True, slots=True)
class Scope:
    """The collections whose payloads a copy is given, and how many entries it was given."""

    collections: frozenset[str]
    executed: int


@dataclass(frozen=True, slots=True)
class FinalCheckpoint:
    """A checkpoint with the cosignatures of a quorum; `at_s` is when the last of them was made."""

    size: int
    note: bytes
    at_s: UnixSeconds


class Queries:
    """Everything that is read of a ledger; threads may share one. Raises LedgerUnavailable without a database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.sets: Final = CarriedSets(self.stored)
        self._longest: tuple[Programme, Seconds] | None = None

    @contextmanager
    def _reading(self) -> Iterator[Session]:
        try:
            with database.reading(self._engine) as session:
                yield session
        except DatabaseUnavailable as error:
            raise LedgerUnavailable("the ledger cannot be read now") from error

    # State

    def rows(self, keys: Sequence[str]) -> list[Row | None]:
        """See `client.Ledger.rows`."""
        stored = zip(keys, self.stored(keys), strict=True)
        return [None if data is None else state.from_bytes(key, data) for key, data in stored]

    def stored(self, keys: Sequence[str]) -> list[bytes | None]:
        """The committed rows under these keys as bytes, for who passes them on."""
        with self._reading() as session:
            return _stored(session, keys)

    def find(self, kind: str, *, after: str = "", limit: int = 100) -> list[tuple[str, Row]]:
        """See `client.Ledger.find`."""
        first, end = f"{kind}/", f"{kind}0"  # "0" is the character after "/"
        query = (
            select(STATE.c.key, STATE.c.value)
            .where(STATE.c.key >= first, STATE.c.key > after, STATE.c.key < end)
            .order_by(STATE.c.key)
            .limit(limit)
        )
        with self._reading() as session:
            return [(key, state.from_bytes(key, data)) for key, data in session.execute(query)]

    # Entries

    def scope(self) -> Scope | None:
        """What this copy is given; None: everything."""
        with self._reading() as session:
            found = session.execute(select(GIVEN.c.collections, GIVEN.c.executed)).first()
        return Scope(frozenset(found[0].split()), found[1]) if found else None

    def entry(self, index: int) -> Recorded | None:
        """See `client.Ledger.entry`."""
        with self._reading() as session:
            recorded = _recorded(session, [index])
        return recorded[0] if recorded else None

    def recorded(self, first: int, after: int) -> list[Recorded]:
        """The entries with first <= index < after, in order."""
        with self._reading() as session:
            return _recorded(session, range(first, after))

    def entries_of(self, accounts: Sequence[str], *, before: int | None = None, limit: int = 50) -> list[Recorded]:
        """See `client.Ledger.entries_of`."""
        if not accounts or limit < 1:
            return []
        newest = union_all(*(_newest_on(account, before, limit).subquery().select() for account in set(accounts)))
        with self._reading() as session:
            indexes = sorted({index for (index,) in session.execute(newest)}, reverse=True)[:limit]
            return _recorded(session, indexes)

    def evidence(self, index: int) -> Evidence | None:
        """See `client.Ledger.evidence`. Costs at most the packs of one local day of the unit (`past`)."""
        with self._reading() as session:
            size, note = _checkpoint_over(session, index)
            contracts_of = partial(self.sets.of, stored=partial(_stored, session))
            return evidence.of_entry(session, contracts_of, index, size=size, note=note)

    # Packs

    def packs(self, device_id: str, *, from_s: UnixSeconds, to_s: UnixSeconds) -> list[PackEvidence]:
        """See `client.Ledger.packs`."""
        query = (
            select(PACKS.c.seq, PACKS.c.index, PACKS.c.again_at, PACKS.c.start_s, PACKS.c.end_s)
            .where(PACKS.c.device_id == device_id)
            .where(or_(PACKS.c.refusal == "", PACKS.c.again_at.is_not(None)))
            # The first bound says nothing new: it lets the index begin where a pack could still reach into the span.
            .where(PACKS.c.start_s > from_s - self._pack_span_s_max(), PACKS.c.start_s < to_s)
            .where(PACKS.c.end_s > from_s)
            .order_by(PACKS.c.start_s, PACKS.c.seq)
        )
        with self._reading() as session:
            found = [
                (seq, index if again_at is None else again_at, start_s, end_s)
                for seq, index, again_at, start_s, end_s in session.execute(query)
            ]
            told = payloads.read(session, [index for _, index, _, _ in found])
        return [
            PackEvidence(device_id, seq, index, start_s, end_s, _message(told[index].request))
            for seq, index, start_s, end_s in found
            if told[index].request  # else it is erased
        ]

    def _pack_span_s_max(self) -> Seconds:
        """No pack is longer that any contract set of this ledger has accepted."""
        active = self.sets.programme()
        if self._longest is None or self._longest[0] is not active:
            carried = (row for _, row in self.find("contracts", limit=SETS_MAX) if isinstance(row, ContractFiles))
            intervals_s = [parameters_of(row.files, active.name).interval_s_max for row in carried]
            self._longest = active, INTERVALS_MAX * max([active.interval_s_max, *intervals_s])
        return self._longest[1]

    def refusals(self, device_id: str, *, after_seq: int, to_seq: int) -> list[tuple[int, Decided]]:
        """See `client.Ledger.refusals`."""
        query = (
            select(PACKS.c.seq, *_DECIDED)
            .where(PACKS.c.device_id == device_id, PACKS.c.refusal != "")
            .where(PACKS.c.seq > after_seq, PACKS.c.seq <= to_seq)
            .order_by(PACKS.c.seq)
        )
        with self._reading() as session:
            return [(seq, Decided(*decided)) for seq, *decided in session.execute(query)]

    # Erasure

    def erasable(self, customer_id: str) -> Erasable:
        """See `client.Ledger.erasable`."""
        with self._reading() as session:
            return erasable.erasable(session, customer_id)

    # Accounts

    def balances(self, index: int, *, after: str = "", limit: int = 10_000) -> list[tuple[str, int]]:
        """See `client.Ledger.balances`."""
        try:
            with moment(self._engine) as connection:
                return trial_balance.balances(connection, index, after=after, limit=limit)
        except DatabaseUnavailable as error:
            raise LedgerUnavailable("the ledger cannot be read now") from error

    # The log

    def checkpoint(self) -> bytes:
        """The newest checkpoint as a signed note."""
        return self.newest_checkpoint()[1]

    def newest_checkpoint(self) -> tuple[int, bytes]:
        """The newest checkpoint: its size, and the note that the log alone has signed."""
        with self._reading() as session:
            return _newest_checkpoint(session)

    def final(self) -> FinalCheckpoint | None:
        """The newest checkpoint that a quorum of members has co-signed, if there is one among the last."""
        with self._reading() as session:
            return _final(session)

    def published(self, now_s: UnixSeconds) -> bytes:
        """The checkpoint to show: the newest final one if it is recent, else the newest, as the log signed it."""
        with self._reading() as session:
            size, note = _newest_checkpoint(session)
            final = _final(session)
        is_recent = final is not None and (final.size == size or abs(now_s - final.at_s) <= FINAL_RECENT_S)
        return final.note if final is not None and is_recent else note

    def size(self) -> int:
        """How many entries there are."""
        with self._reading() as session:
            newest: int | None = session.execute(select(func.max(ENTRIES.c.index))).scalar()
        return 0 if newest is None else newest + 1

    def root(self, size: int) -> bytes | None:
        """The root of the tree as it was at `size`, or None if it has not been that large."""
        with self._reading() as session:
            try:
                return tiles.root(size, lambda level, n: paths.row(session, level, n))
            except tiles.ShortRow:
                return None

    def consistency_proof(self, old_size: int, size: int) -> list[bytes]:
        """The proof that the tree of `size` continues that of `old_size`; see `tiles.consistency_proof`."""
        with self._reading() as session:
            return tiles.consistency_proof(old_size, size, lambda level, n: paths.row(session, level, n))

    def head(self) -> Head:
        """See `client.Ledger.head`."""
        with self._reading() as session:
            size, note = _newest_checkpoint(session)
            at_s = session.execute(select(ENTRIES.c.at_s).where(ENTRIES.c.index == size - 1)).scalar_one()
        signed = checkpoints.parse(note.decode().partition("\n\n")[0] + "\n")
        if signed is None:
            raise ValueError(f"the checkpoint of size {size} is malformed")
        return Head(signed.origin, signed.size, signed.root, at_s)

    def tile(self, level: int, n: int, width: int) -> bytes | None:
        """The first `width` hashes of a tile, or None if it has fewer."""
        with self._reading() as session:
            hashes = paths.row(session, level, n)[: width * HASH_BYTES]
        return hashes if len(hashes) == width * HASH_BYTES else None

    def row(self, level: int, n: int) -> bytes:
        """All hashes that there are of a tile."""
        with self._reading() as session:
            return paths.row(session, level, n)

    def entries(self, first: int, count: int) -> list[bytes]:
        """The public bytes of up to `count` entries from `first` on."""
        query = (
            select(ENTRIES.c.entry)
            .where(ENTRIES.c.index >= first, ENTRIES.c.index < first + count)
            .order_by(ENTRIES.c.index)
        )
        with self._reading() as session:
            return [entry for (entry,) in session.execute(query)]

    def proof(self, index: int) -> str | None:
        """A C2SP tlog-proof of entry `index`, or None if it is not yet in the tree.

        It is under the newest final checkpoint that has the entry, else under the newest.
        """
        with self._reading() as session:
            size, note = _checkpoint_over(session, index)
            if not 0 <= index < size:
                return None
            hashes = paths.inclusion_proof(session, index, size)
        return proofs.write(index, hashes, note)


def _checkpoint_over(session: Session, index: int) -> tuple[int, bytes]:
    """The newest final checkpoint if it has the entry, else the newest: its size and note."""
    final = _final(session)
    return (final.size, final.note) if final is not None and index < final.size else _newest_checkpoint(session)


def _stored(session: Session, keys: Sequence[str]) -> list[bytes | None]:
    """See `Queries.stored`."""
    found: dict[str, bytes] = {}
    others = [key for key in keys if not key.startswith(PACK_PREFIX)]
    for start in range(0, len(others), KEYS_MAX):
        wanted = database.among(session.connection(), STATE.c.key, others[start : start + KEYS_MAX])
        for key, data in session.execute(select(STATE.c.key, STATE.c.value).where(wanted)):
            found[key] = data
    for key in keys:
        if key.startswith(PACK_PREFIX) and (decided := _decided(session, key)) is not None:
            found[key] = state.to_bytes(decided)
    return [found.get(key) for key in keys]


def _decided(session: Session, key: str) -> Decided | None:
    device_id, seq = pack_place(key)
    query = select(*_DECIDED).where(PACKS.c.device_id == device_id, PACKS.c.seq == seq)
    found = session.execute(query).first()
    return Decided(*found) if found else None


def _newest_on(account: str, before: int | None, limit: int) -> Select[tuple[int]]:
    """Indexes of the newest entries with a posting on `account`, out of the index of `postings` alone."""
    query = select(POSTINGS.c.index).where(POSTINGS.c.account == account).distinct()
    if before is not None:
        query = query.where(POSTINGS.c.index < before)
    return query.order_by(POSTINGS.c.index.desc()).limit(limit)


def _recorded(session: Session, indexes: Sequence[int]) -> list[Recorded]:
    """The entries at `indexes`, in that order, without those that there are not."""
    postings: dict[int, list[Posting]] = {index: [] for index in indexes}
    legs = select(POSTINGS.c.index, POSTINGS.c.asset, POSTINGS.c.account, POSTINGS.c.amount)
    in_order = legs.where(POSTINGS.c.index.in_(indexes)).order_by(POSTINGS.c.index, POSTINGS.c.leg)
    for index, *posting in session.execute(in_order):
        postings[index].append(Posting(*posting))
    told = payloads.read(session, indexes)
    query = select(ENTRIES.c.index, ENTRIES.c.at_s, ENTRIES.c.entry).where(ENTRIES.c.index.in_(indexes))
    found = {}
    for index, at_s, entry in session.execute(query):
        if index not in told:
            continue
        request, result = told[index].request, told[index].result
        if not request:  # erased: what it was about is known to nobody, what it moved to everybody who may see it
            kind = entries.from_bytes(entry).kind
            found[index] = Recorded(index, at_s, kind, {"kind": kind}, tuple(postings[index]), {})
            continue
        said = _said(request)
        answer = answers.result_of(result)
        found[index] = Recorded(index, at_s, said["kind"], said, tuple(postings[index]), answer)
    return [found[index] for index in indexes if index in found]


def _said(request: bytes) -> dict[str, Any]:
    """A command's fields by name; its kind alone where another contract set has other fields."""
    try:
        command = commands.from_bytes(request).command
    except (ValueError, TypeError):
        return {"kind": cbor.decode(request)[0]}
    return {"kind": command.KIND} | {field.name: getattr(command, field.name) for field in fields(command)}


def _message(request: bytes) -> bytes:
    command = commands.from_bytes(request).command
    if not isinstance(command, commands.RecordPack | commands.DecideAgain):
        raise TypeError(f"a {command.KIND} is no evidence of a pack")
    return command.message


def _newest_checkpoint(session: Session) -> tuple[int, bytes]:
    query = select(CHECKPOINTS.c.size, CHECKPOINTS.c.note).order_by(CHECKPOINTS.c.size.desc()).limit(1)
    found = session.execute(query).first()
    if found is None:
        raise LedgerUnavailable("the ledger has not been opened yet")
    size, note = found
    return size, note


def _final(session: Session) -> FinalCheckpoint | None:
    data = session.execute(select(STATE.c.value).where(STATE.c.key == state.MEMBERSHIP_KEY)).scalar()
    membership = state.from_bytes(state.MEMBERSHIP_KEY, data) if data is not None else None
    if not isinstance(membership, Membership) or not membership.quorum:
        return None
    newest = select(COSIGNATURES).order_by(COSIGNATURES.c.size.desc()).limit(COSIGNATURES_LOOKED_AT)
    by_size: dict[int, list[RowMapping]] = {}
    for row in session.execute(newest).mappings():
        by_size.setdefault(row["size"], []).append(row)
    for size, rows in by_size.items():
        if len(rows) >= membership.quorum:
            note = session.execute(select(CHECKPOINTS.c.note).where(CHECKPOINTS.c.size == size)).scalar_one()
            lines = "".join(row["line"] for row in sorted(rows, key=lambda row: str(row["member_id"])))
            return FinalCheckpoint(size, note + lines.encode(), max(row["time_s"] for row in rows))
    return None
