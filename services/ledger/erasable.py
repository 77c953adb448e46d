"""What an erasure has to name: the entries about one customer, and the rows with which a later copy goes on.

A later copy does not know what the erased entries wrote. Rows that follow from postings it works out (`derivation`);
of the others these are read after the customer: those of the units they held, and of everybody who has held one of
these since, with all their units, because their awards went through the same rows.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final, NamedTuple

from sqlalchemy import Select, select
from sqlmodel import Session

from contracts import accounts, commands, state
from contracts.commands import BY_KIND, ClaimUnit, CloseAccount, DecideAgain, DeclareLost, LeaveUnit, Request
from contracts.departure import PERSONAL
from contracts.state import Holdings, Row, Unit
from services.ledger import entries, payloads
from services.ledger.client import Erasable
from services.ledger.tables import ENTRIES, PACKS, POSTINGS, STATE, SUBJECTS

KEYS_MAX: Final = 500
_NAMES_A_CUSTOMER: Final = {
    kind for kind, cls in BY_KIND.items() if any(field.name == "customer_id" for field in fields(cls))
}
_MOVES_IN_OR_OUT: Final = (ClaimUnit.KIND, LeaveUnit.KIND, CloseAccount.KIND)
_UNIT: Final = "unit/"
_CUSTOMER: Final = "customer/"


class _Held(NamedTuple):
    """A customer held a unit from entry `first` to entry `after`."""

    device_id: str
    first: int
    after: int


@dataclass(frozen=True, slots=True)
class _Entry:
    """An entry and its request; None: it is erased."""

    index: int
    kind: str
    request: Request | None

    def is_of(self, customer_id: str) -> bool:
        """Does the command name this customer as the one it is about?"""
        return self.request is not None and getattr(self.request.command, "customer_id", None) == customer_id


def erasable(session: Session, customer_id: str) -> Erasable:
    """What an erasure of this customer names now; entries that are erased already are not named again."""
    held = _held(session, customer_id)
    candidates = set(session.scalars(_about(state.customer_key(customer_id))))
    own = (accounts.customer(customer_id), accounts.held(customer_id))
    candidates |= set(session.scalars(select(POSTINGS.c.index).where(POSTINGS.c.account.in_(own))))
    for span in held:
        candidates |= set(_messages(session, span))
    named = [entry.index for entry in _entries(session, sorted(candidates)) if _is_named(entry, customer_id)]
    return Erasable(tuple(named), tuple(_carried(session, customer_id, held)))


def stranger(session: Session, customer_id: str, indexes: Sequence[int]) -> int | None:
    """The first of these entries that an erasure of this customer must not name, or None.

    Asked of a copy, which need not know all that the operator knows: what is erased here already cannot be lost.
    """
    held = _held(session, customer_id)
    for entry in _entries(session, indexes):
        if entry.kind not in PERSONAL:
            return entry.index
        if entry.request is not None and not _may_be_about(session, entry, entry.request.command, customer_id, held):
            return entry.index
    return None


def _may_be_about(session: Session, entry: _Entry, command: Any, customer_id: str, held: Sequence[_Held]) -> bool:
    if entry.kind in _NAMES_A_CUSTOMER:
        return entry.is_of(customer_id)
    device_id = getattr(command, "device_id", None)
    if device_id is not None:
        is_later = entry.kind == DecideAgain.KIND  # a second decision may come when the unit is another's
        spans = (span for span in held if span.device_id == device_id and span.first < entry.index)
        return any(is_later or entry.index < span.after for span in spans)
    posted = session.scalars(select(POSTINGS.c.account).where(POSTINGS.c.index == entry.index))
    subjects = session.scalars(select(SUBJECTS.c.subject).where(SUBJECTS.c.index == entry.index))
    owned = ((account, account.partition("/")[2]) for account in posted)
    names = {name for account, name in owned if account in (accounts.customer(name), accounts.held(name))}
    names |= {subject.removeprefix(_CUSTOMER) for subject in subjects if subject.startswith(_CUSTOMER)}
    return not names or customer_id in names


def _is_named(entry: _Entry, customer_id: str) -> bool:
    if entry.request is None or entry.kind not in PERSONAL:
        return False
    return entry.kind not in _NAMES_A_CUSTOMER or entry.is_of(customer_id)


# Which entries


def _about(subject: str) -> Select[Any]:
    return select(SUBJECTS.c.index).where(SUBJECTS.c.subject == subject).order_by(SUBJECTS.c.index)


def _held(session: Session, customer_id: str) -> list[_Held]:
    """Which units the customer held, and between which entries."""
    indexes = list(session.scalars(_about(state.customer_key(customer_id))))
    units: dict[int, list[str]] = {index: [] for index in indexes}
    for part in _parts(indexes):
        query = select(SUBJECTS).where(SUBJECTS.c.index.in_(part), SUBJECTS.c.subject.startswith(_UNIT))
        for index, subject in session.execute(query):
            units[index].append(subject.removeprefix(_UNIT))
    held: list[_Held] = []
    since: dict[str, int] = {}
    for entry in _entries(session, indexes):
        if entry.kind not in _MOVES_IN_OR_OUT:
            continue
        moves_in = entry.kind == ClaimUnit.KIND and entry.is_of(customer_id)
        for device_id in units[entry.index]:
            if moves_in:
                since.setdefault(device_id, entry.index)
            elif device_id in since:
                held.append(_Held(device_id, since.pop(device_id), entry.index))
    return held


def _messages(session: Session, span: _Held) -> Iterator[int]:
    """The entries that decided messages which the unit sent meanwhile; a second decision may come later."""
    meanwhile = (PACKS.c.device_id == span.device_id, PACKS.c.index > span.first, PACKS.c.index < span.after)
    for index, again_at in session.execute(select(PACKS.c.index, PACKS.c.again_at).where(*meanwhile)):
        yield index
        if again_at is not None:
            yield again_at
    later = _about(state.unit_key(span.device_id)).where(SUBJECTS.c.index > span.first, SUBJECTS.c.index < span.after)
    for entry in _entries(session, list(session.scalars(later))):
        if entry.kind == DeclareLost.KIND:
            yield entry.index


def _entries(session: Session, indexes: Sequence[int]) -> Iterator[_Entry]:
    for part in _parts(indexes):
        told = payloads.read(session, part)
        query = select(ENTRIES.c.index, ENTRIES.c.entry).where(ENTRIES.c.index.in_(part)).order_by(ENTRIES.c.index)
        for index, entry in session.execute(query).all():
            request = told[index].request
            yield _Entry(index, entries.from_bytes(entry).kind, commands.from_bytes(request) if request else None)


# Which rows


def _carried(session: Session, customer_id: str, held: Iterable[_Held]) -> list[tuple[str, bytes]]:
    """The rows, as they are now, in the order of their keys."""
    units, holders = _reached(session, customer_id, held)
    keys = [state.customer_key(customer_id)]
    keys += [key_of(device_id) for device_id in units for key_of in (state.unit_key, state.meter_key)]
    keys += [key_of(holder) for holder in holders for key_of in (state.holdings_key, state.avoided_key)]
    found = _rows(session, keys)
    codes = [state.claim_key(row.claim_hash) for row in found.values() if isinstance(row, Unit) and row.claim_hash]
    found |= _rows(session, codes)
    return [(key, state.to_bytes(found[key])) for key in sorted(found)]


def _reached(session: Session, customer_id: str, held: Iterable[_Held]) -> tuple[set[str], set[str]]:
    """The units, and the customers after this one, through whose rows the erased awards went."""
    since: dict[str, int] = {}
    for span in held:
        since[span.device_id] = min(span.first, since.get(span.device_id, span.first))
    units, holders = set(since), {customer_id}
    waiting = list(units)
    while waiting:
        device_id = waiting.pop()
        for holder in _holders(session, device_id, since.get(device_id, 0)) - holders:
            holders.add(holder)
            theirs = {unit for row in _rows(session, [state.holdings_key(holder)]).values() for unit in _units_of(row)}
            waiting += theirs - units
            units |= theirs
    return units, holders - {customer_id}


def _holders(session: Session, device_id: str, after: int) -> set[str]:
    """Who has claimed the unit since entry `after`."""
    later = _about(state.unit_key(device_id)).where(SUBJECTS.c.index > after)
    requests = (entry.request for entry in _entries(session, list(session.scalars(later))))
    return {request.command.customer_id for request in requests if request and isinstance(request.command, ClaimUnit)}


def _units_of(row: Row) -> Iterator[str]:
    if isinstance(row, Holdings):
        yield from (device_id for device_id, _, _ in row.units)


def _rows(session: Session, keys: Sequence[str]) -> dict[str, Row]:
    found: dict[str, Row] = {}
    for part in _parts(keys):
        for key, data in session.execute(select(STATE.c.key, STATE.c.value).where(STATE.c.key.in_(part))):
            found[key] = state.from_bytes(key, data)
    return found


def _parts(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(values), KEYS_MAX):
        yield values[start : start + KEYS_MAX]
