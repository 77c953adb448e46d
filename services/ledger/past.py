"""The state before an entry that is long past, as far as it decided what a pack earned.

Rows that change seldom are kept at every version (`versions`). A unit's meter is the last one kept, moved on by the
unit's packs since, which the contracts execute again: at most those since its local day began.
"""

from bisect import bisect_left
from collections.abc import Iterator
from typing import Final

from sqlalchemy import func, select
from sqlmodel import Session

from contracts import commands, recording, state
from contracts.commands import Command, DecideAgain, RecordPack
from contracts.effects import Effects
from contracts.execute import execute
from contracts.explanation import STATE_READ
from contracts.programmes import Programme
from contracts.state import Decided, Meter, Row
from contracts.units import UnixSeconds
from services.ledger.store import pack_place
from services.ledger.tables import ENTRIES, PACKS, PAYLOADS, ROW_VERSIONS


class Forgotten(Exception):
    """The state before the entry cannot be told: what led to it was erased."""


class Past:
    """`contracts.state.View` on the rows that decide an award, before entry `index`; what was read is in `read`.

    Other rows are None here: whether an award was minted or deferred is not computed again, its effects say it.
    """

    def __init__(self, session: Session, programme: Programme, *, since: int, until: int) -> None:
        self.programme: Final = programme
        self.at_s: UnixSeconds = 0
        self.index = 0
        self.read: dict[str, tuple[int, Row]] = {}
        self._session = session
        self._since, self._until = since, until
        self._kept: dict[str, list[tuple[int, Row]]] = {}
        self._meter: tuple[str, int, Row] | None = None

    def begin(self, *, at_s: UnixSeconds, index: int) -> None:
        """Stand before this entry, from where nothing has been read."""
        self.at_s, self.index, self.read = at_s, index, {}

    def put_meter(self, key: str, version: int, meter: Row) -> None:
        """The unit's meter as entry `version` left it."""
        self._meter = (key, version, meter)

    def get(self, key: str) -> Row | None:
        """The row under `key` before entry `index`."""
        found = self._found(key)
        if found is None:
            return None
        self.read[key] = found
        return found[1]

    def _found(self, key: str) -> tuple[int, Row] | None:
        if self._meter is not None and key == self._meter[0]:
            return self._meter[1:]
        kind = key.partition("/")[0]
        if kind == "pack":
            return self._first_decision(key)
        if kind not in STATE_READ:
            return None
        if key not in self._kept:
            self._kept[key] = _versions(self._session, key, since=self._since, until=self._until)
        kept = self._kept[key]
        place = bisect_left(kept, self.index, key=lambda version: version[0])
        return kept[place - 1] if place else None

    def _first_decision(self, key: str) -> tuple[int, Row] | None:
        """A pack as its first decision left it: only a second decision asks for one, and there is no third."""
        device_id, seq = pack_place(key)
        query = select(PACKS.c.sha256, PACKS.c.refusal, PACKS.c.index)
        found = self._session.execute(query.where(PACKS.c.device_id == device_id, PACKS.c.seq == seq)).first()
        if found is None or found[2] >= self.index:
            return None
        sha256, refusal, index = found
        return index, Decided(sha256, refusal, index, 0, 0)


def before(session: Session, programme: Programme, command: Command, *, at_s: UnixSeconds, index: int) -> Past:
    """The state before entry `index`, which is `command`; `read` holds what executing it reads, with its versions.

    Raises Forgotten.
    """
    if not isinstance(command, RecordPack | DecideAgain):
        return Past(session, programme, since=index, until=index)
    key = state.meter_key(command.device_id)
    kept = _versions(session, key, since=index - 1, until=index)
    since, meter = kept[0] if kept else (0, Meter())
    past = Past(session, programme, since=since, until=index)
    if since:
        past.put_meter(key, since, meter)
    span = (_seq_of(meter), _seq_before(session, command, index))
    for pack_index, pack_at_s, request in _packs_between(session, command.device_id, *span):
        if not request:
            raise Forgotten
        past.begin(at_s=pack_at_s, index=pack_index)
        done = execute(past, commands.from_bytes(request).command)
        moved_on = done.writes[key] if isinstance(done, Effects) else None
        if moved_on is None:
            raise ValueError(f"entry {pack_index} does something else when it is executed again")
        past.put_meter(key, pack_index, moved_on)
    past.begin(at_s=at_s, index=index)
    execute(past, command)
    return past


def _seq_of(meter: Row) -> int:
    if not isinstance(meter, Meter):
        raise TypeError("a meter's key holds another row")
    return meter.seq


def _seq_before(session: Session, command: RecordPack | DecideAgain, index: int) -> int:
    """The last number decided before the entry."""
    if isinstance(command, DecideAgain):
        # It keeps the meter, and takes no number itself.
        kept = _versions(session, state.meter_key(command.device_id), since=index, until=index + 1)
        if not kept:
            raise Forgotten
        return _seq_of(kept[0][1])
    content = recording.content_of(command.message)
    return 0 if content is None or content.seq is None else content.seq - 1


def _versions(session: Session, key: str, *, since: int, until: int) -> list[tuple[int, Row]]:
    """What is kept under `key` in order: the newest up to entry `since`, and all after it before entry `until`."""
    at = ROW_VERSIONS.c.version
    newest = select(func.max(at)).where(ROW_VERSIONS.c.key == key, at <= since).scalar_subquery()
    query = select(at, ROW_VERSIONS.c.value).where(ROW_VERSIONS.c.key == key, at >= func.coalesce(newest, 0))
    found = session.execute(query.where(at < until).order_by(at))
    return [(version, state.from_bytes(key, value)) for version, value in found]


def _packs_between(
    session: Session, device_id: str, after_seq: int, to_seq: int
) -> Iterator[tuple[int, UnixSeconds, bytes]]:
    """The entries of the unit's packs with these numbers, in order."""
    query = (
        select(PACKS.c.index, ENTRIES.c.at_s, PAYLOADS.c.request)
        .join(PAYLOADS, PAYLOADS.c.index == PACKS.c.index)
        .join(ENTRIES, ENTRIES.c.index == PACKS.c.index)
        .where(PACKS.c.device_id == device_id, PACKS.c.seq > after_seq, PACKS.c.seq <= to_seq)
        .order_by(PACKS.c.seq)
    )
    return ((index, at_s, request) for index, at_s, request in session.execute(query))
