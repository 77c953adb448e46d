"""Executing an entry on the rows that are given with it, by whoever does not see what all entries wrote.

A given row is checked against the newest one that was seen under its key: written by an entry that was executed here,
or given before. It is that one to the byte; or a later one, of an entry that is not for this copy. So nobody can give a
row that goes back, that differs from what was seen, or that an entry executed here is said to have written and did not.
What entries outside wrote is their word until a member of all collections has executed these; it is the same word for
every later entry.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from contracts import state
from contracts.programmes import Programme
from contracts.state import Row
from services.contract_sets import ContractSet
from services.ledger import executing, rows_read
from services.ledger.deliveries import Payload
from services.ledger.differing import disagree, shown
from services.ledger.entries import Entry
from services.ledger.hashed import Hashed
from services.ledger.rows_read import RowRead
from services.ledger.store import PACK_PREFIX, Written

Seen = Callable[[str], Written | None]
"""The newest row that was seen under a key; its row may be a Hashed. None: none was."""
IsOutside = Callable[[int], bool]
"""Is the payload of this entry none of those that are for this copy?"""

TABLE: Final = "rows_read"
DROPPED: Final = frozenset({"claim", "deferred"})
"""Kinds of rows that contracts drop while others still read there. An erasure drops a person's, whom no entry reads
after it. Whoever could say of any row that it is gone could give an older one next."""


class _NotGiven(Exception):
    """The execution reads a row that was not given with the entry."""


class _View:
    """`contracts.state.View` on the given rows alone."""

    def __init__(self, contracts: ContractSet, rows: Mapping[str, Row | None], *, at_s: int, index: int) -> None:
        self.programme: Programme = contracts.programme
        self.at_s = at_s
        self.index = index
        self.unread = set(rows)
        self._rows = rows

    def get(self, key: str) -> Row | None:
        """The row under `key`. Raises _NotGiven."""
        if key not in self._rows:
            raise _NotGiven(key)
        self.unread.discard(key)
        return self._rows[key]


class _Empty(_View):
    """What the first entry is executed on: nothing."""

    def get(self, key: str) -> Row | None:
        """None."""
        return None


def is_executed(contracts: ContractSet, index: int, entry: Entry) -> bool:
    """Was what it read kept when it was written? Where no role was given its collection then, it is not executed here.

    That follows from the contract set that was active, so that nobody can choose it.
    """
    return index == 0 or entry.collection in rows_read.collections(contracts.programme)


def read_of(index: int, payload: Payload) -> Mapping[str, RowRead]:
    """The rows given with an entry; none with the first. Raises Disagreed."""
    if index == 0:
        return {}
    if payload.read is None:
        disagree(index, TABLE, "the rows that were read", "to be delivered", "left out")
    try:
        return rows_read.from_bytes(payload.read)
    except ValueError as error:
        disagree(index, TABLE, "the rows that were read", "can be read", str(error))


def check(index: int, read: Mapping[str, RowRead], seen: Seen, is_outside: IsOutside) -> dict[str, Written]:
    """Are these rows that can have been there before entry `index`? Returns those that are news. Raises Disagreed."""
    news: dict[str, Written] = {}
    for key, given in read.items():
        known = seen(key)
        if known is not None and not is_there(known):
            known = None
        ours = "none" if known is None else f"{_text(known)} of entry {known.version}"
        if given.version is None or given.data is None:
            if known is not None:
                may_go = key.partition("/")[0] in DROPPED
                # An entry outside may have dropped it, if there was one since.
                if not may_go or not any(is_outside(between) for between in range(known.version + 1, index)):
                    disagree(index, TABLE, f"the row {key}", ours, "none")
                news[key] = Written(known.version, None, None)
            continue
        theirs = f"{shown(given.data)} of entry {given.version}"
        if given.version >= index:
            disagree(index, TABLE, f"the row {key}", f"one of an entry before {index}", theirs)
        if known is not None and given.version == known.version:
            row: Any = known.row
            if not (row.is_of(given.data) if isinstance(row, Hashed) else given.data == known.data):
                disagree(index, TABLE, f"the row {key}", ours, theirs)
            continue
        # A pack that an entry taken as committed has decided is known here by nothing.
        is_new = known is None and key.startswith(PACK_PREFIX)
        if (known is not None and given.version < known.version) or not (is_new or is_outside(given.version)):
            disagree(index, TABLE, f"the row {key}", ours, theirs)
        news[key] = Written(given.version, None, given.data)
    return news


def execute(contracts: ContractSet, index: int, at_s: int, request: Any, read: Mapping[str, RowRead]) -> Any:
    """The effects of the request on just these rows. Raises Disagreed."""
    try:
        rows = {
            key: None if given.data is None else contracts.state.from_bytes(key, given.data)
            for key, given in read.items()
        }
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        disagree(index, TABLE, "the rows that were read", "can be read", repr(error))
    view = (_View if index else _Empty)(contracts, rows, at_s=at_s, index=index)
    command = request.command
    try:
        device_id = getattr(command, "device_id", None)
        unit = rows.get(state.unit_key(device_id)) if isinstance(device_id, str) else None
        done = executing.execute(contracts, index, view, command, unit=unit)
    except _NotGiven as missing:
        disagree(index, TABLE, f"the row {missing}", "is read", "left out")
    if view.unread:
        disagree(index, TABLE, f"the rows {' '.join(sorted(view.unread))}", "are not read", "given")
    return done


def is_there(seen: Written) -> bool:
    """Was there a row, as far as it was seen?"""
    return seen.row is not None or seen.data is not None


def _text(seen: Written) -> str:
    row: Any = seen.row
    return row.sha256.hex() if isinstance(row, Hashed) else shown(seen.data or b"")
