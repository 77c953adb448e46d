"""The state before an entry that is long past, as far as it decided what a pack earned.

Rows that change seldom are kept at every version (`versions`). A unit's meter is the last one kept, moved on by the
unit's packs since, which the contracts execute again: at most those since its local day began. Each entry is executed
by the set that executed it then; between the sets go bytes.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from sqlalchemy import func, select
from sqlmodel import Session

from contracts import state
from contracts.commands import DecideAgain, RecordPack
from contracts.programmes import Programme
from contracts.state import Decided, Meter, Row
from contracts.units import UnixSeconds
from services.contract_sets import ContractSet
from services.ledger import entries, payloads
from services.ledger.store import pack_place
from services.ledger.tables import ENTRIES, PACKS, ROW_VERSIONS

ContractsOf: TypeAlias = Callable[[bytes], ContractSet]
"""The contract set of a version."""


class Forgotten(Exception):
    """The state before the entry cannot be told: what led to it was erased."""


class Past:
    """`contracts.state.View` on the rows that decide an award, before entry `index`; what was read is in `read`.

    Other rows are None here: whether an award was minted or deferred is not computed again, its effects say it.
    """

    def __init__(self, session: Session, contracts: ContractSet, *, since: int, until: int) -> None:
        self.contracts = contracts
        self.at_s: UnixSeconds = 0
        self.index = 0
        self.read: dict[str, tuple[int, bytes]] = {}
        self._session = session
        self._since, self._until = since, until
        self._kept: dict[str, list[tuple[int, bytes]]] = {}
        self._meter: tuple[str, int, bytes] | None = None

    @property
    def programme(self) -> Programme:
        """The parameters by which the entry was executed."""
        programme: Programme = self.contracts.programme
        return programme

    def begin(self, contracts: ContractSet, *, at_s: UnixSeconds, index: int) -> None:
        """Stand before this entry, from where nothing has been read."""
        self.contracts, self.at_s, self.index, self.read = contracts, at_s, index, {}

    def put_meter(self, key: str, version: int, meter: bytes) -> None:
        """The unit's meter as entry `version` left it."""
        self._meter = (key, version, meter)

    def get(self, key: str) -> Row | None:
        """The row under `key` before entry `index`, as the entry's contract set reads it."""
        found = self._found(key)
        if found is None:
            return None
        self.read[key] = found
        row: Row = self.contracts.state.from_bytes(key, found[1])
        return row

    def _found(self, key: str) -> tuple[int, bytes] | None:
        if self._meter is not None and key == self._meter[0]:
            return self._meter[1:]
        kind = key.partition("/")[0]
        if kind == "pack":
            return self._first_decision(key)
        if kind not in self.contracts.explanation.STATE_READ:
            return None
        if key not in self._kept:
            self._kept[key] = _versions(self._session, key, since=self._since, until=self._until)
        kept = self._kept[key]
        place = bisect_left(kept, self.index, key=lambda version: version[0])
        return kept[place - 1] if place else None

    def _first_decision(self, key: str) -> tuple[int, bytes] | None:
        """A pack as its first decision left it: only a second decision asks for one, and there is no third."""
        device_id, seq = pack_place(key)
        query = select(PACKS.c.sha256, PACKS.c.refusal, PACKS.c.index)
        found = self._session.execute(query.where(PACKS.c.device_id == device_id, PACKS.c.seq == seq)).first()
        if found is None or found[2] >= self.index:
            return None
        sha256, refusal, index = found
        return index, state.to_bytes(Decided(sha256, refusal, index, 0, 0))


def before(
    session: Session,
    contracts_of: ContractsOf,
    contracts: ContractSet,
    request: bytes,
    *,
    at_s: UnixSeconds,
    index: int,
) -> Past:
    """The state before entry `index`, which `contracts` executed; `read` holds what that reads, with its versions.

    Raises Forgotten.
    """
    command = contracts.commands.from_bytes(request).command
    if command.KIND not in (RecordPack.KIND, DecideAgain.KIND):
        return Past(session, contracts, since=index, until=index)
    key = state.meter_key(command.device_id)
    kept = _versions(session, key, since=index - 1, until=index)
    since, meter = kept[0] if kept else (0, state.to_bytes(Meter()))
    past = Past(session, contracts, since=since, until=index)
    if since:
        past.put_meter(key, since, meter)
    span = (_seq_of(key, meter), _seq_before(session, contracts, command, index))
    for pack_index, pack_at_s, entry, pack_request in _packs_between(session, command.device_id, *span):
        if not pack_request:
            raise Forgotten
        by = contracts_of(entries.from_bytes(entry).contract_version)
        past.begin(by, at_s=pack_at_s, index=pack_index)
        done = by.execute.execute(past, by.commands.from_bytes(pack_request).command)
        moved_on = done.writes[key] if isinstance(done, by.effects.Effects) else None
        if moved_on is None:
            raise ValueError(f"entry {pack_index} does something else when it is executed again")
        past.put_meter(key, pack_index, by.state.to_bytes(moved_on))
    past.begin(contracts, at_s=at_s, index=index)
    contracts.execute.execute(past, command)
    return past


def _seq_of(key: str, meter: bytes) -> int:
    row = state.from_bytes(key, meter)
    if not isinstance(row, Meter):
        raise TypeError("a meter's key holds another row")
    return row.seq


def _seq_before(session: Session, contracts: ContractSet, command: Any, index: int) -> int:
    """The last number decided before the entry."""
    if command.KIND == DecideAgain.KIND:
        # It keeps the meter, and takes no number itself.
        key = state.meter_key(command.device_id)
        kept = _versions(session, key, since=index, until=index + 1)
        if not kept:
            raise Forgotten
        return _seq_of(key, kept[0][1])
    content = contracts.recording.content_of(command.message)
    return 0 if content is None or content.seq is None else content.seq - 1


def _versions(session: Session, key: str, *, since: int, until: int) -> list[tuple[int, bytes]]:
    """What is kept under `key` in order: the newest up to entry `since`, and all after it before entry `until`."""
    at = ROW_VERSIONS.c.version
    newest = select(func.max(at)).where(ROW_VERSIONS.c.key == key, at <= since).scalar_subquery()
    query = select(at, ROW_VERSIONS.c.value).where(ROW_VERSIONS.c.key == key, at >= func.coalesce(newest, 0))
    found = session.execute(query.where(at < until).order_by(at))
    return [(version, bytes(value)) for version, value in found]


def _packs_between(
    session: Session, device_id: str, after_seq: int, to_seq: int
) -> Iterator[tuple[int, UnixSeconds, bytes, bytes]]:
    """The entries of the unit's packs with these numbers, in order: index, time, entry and request."""
    query = (
        select(PACKS.c.index, ENTRIES.c.at_s, ENTRIES.c.entry)
        .join(ENTRIES, ENTRIES.c.index == PACKS.c.index)
        .where(PACKS.c.device_id == device_id, PACKS.c.seq > after_seq, PACKS.c.seq <= to_seq)
        .order_by(PACKS.c.seq)
    )
    found = session.execute(query).all()
    told = payloads.read(session, [index for index, _, _ in found])
    return ((index, at_s, entry, told[index].request) for index, at_s, entry in found)
