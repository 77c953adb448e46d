"""The state in memory as it is re-executed, entry by entry, to be compared with the tables.

Accepted packs are never written again, so they are compared when they are written and then only counted: the memory
grows with what the ledger knows now, not with how many packs it has seen.
"""

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from contracts.programmes import Programme
from contracts.state import Decided, Row
from contracts.units import UnixSeconds
from services import contract_sets
from services.contract_sets import ContractSet
from services.ledger import store
from services.ledger.hashed import Hashed, UnknownRow
from services.ledger.store import PACK_PREFIX, pack_place


class Written(NamedTuple):
    """A row and the entry that last wrote it.

    data  its bytes, if an earlier contract set wrote them; None: they are as the active one writes them
    """

    row: Row | Hashed
    version: int
    data: bytes | None = None


class Replayed:
    """`contracts.state.View` on what the entries so far have left behind.

    contracts  the set that is active: this program's own until the first entry was read
    """

    def __init__(self) -> None:
        self.contracts: ContractSet = contract_sets.own("ontario")
        self.at_s: UnixSeconds = 0
        self.index = 0
        self._rows: dict[str, Written] = {}
        self._packs: dict[str, list[list[int]]] = {}
        """The decided numbers of each unit, as ascending runs [first, after)."""

    @property
    def programme(self) -> Programme:
        """The parameters of the active set."""
        programme: Programme = self.contracts.programme
        return programme

    def activate(self, contracts: ContractSet) -> None:
        """Go on under another set: its rows are of its own classes, so all are read anew from their bytes."""
        before, self.contracts = self.contracts.state, contracts
        if contracts.state is not before:
            for key, written in self._rows.items():
                if isinstance(written.row, Hashed):
                    continue
                data = written.data or before.to_bytes(written.row)
                self._rows[key] = Written(contracts.state.from_bytes(key, data), written.version, data)

    def fork(self) -> "Replayed":
        """The same state, to be changed apart from this one."""
        twin = Replayed()
        twin.contracts, twin.at_s, twin.index = self.contracts, self.at_s, self.index
        twin._rows = dict(self._rows)
        twin._packs = {device_id: [list(run) for run in runs] for device_id, runs in self._packs.items()}
        return twin

    def get(self, key: str) -> Row | None:
        """The row under `key`, or None; an accepted pack's is not kept. Raises UnknownRow."""
        written = self._rows.get(key)
        if written is None:
            return None
        if isinstance(written.row, Hashed):
            raise UnknownRow(key)
        return written.row

    def known(self, key: str) -> store.Written | None:
        """The same, with the entry that wrote it and its bytes."""
        row = self.get(key)
        return None if row is None else store.Written(self._rows[key].version, row, self.bytes_of(self._rows[key]))

    def bytes_of(self, written: Written) -> Any:
        """A row as it is stored; the Hashed of one that is known by its hash only."""
        if isinstance(written.row, Hashed):
            return written.row
        return written.data or self.contracts.state.to_bytes(written.row)

    def learn(self, key: str, data: bytes) -> bool:
        """Take a row that is known by its hash from an entry that carries it; False if it is another."""
        written = self._rows.get(key)
        if written is not None and isinstance(written.row, Hashed):
            if not written.row.is_of(data):
                return False
            self._rows[key] = Written(self.contracts.state.from_bytes(key, data), written.version)
        return True

    def apply(self, writes: Mapping[str, Row | Hashed | None]) -> Iterator[tuple[str, Decided]]:
        """Take over what entry `index` writes; yield the accepted packs, which are not kept."""
        for key, row in writes.items():
            if isinstance(row, Hashed) and key.startswith(PACK_PREFIX):
                self._note_decided(key)
            if isinstance(row, self.contracts.state.Decided):
                self._note_decided(key)
                if not row.refusal:
                    yield key, row
                    continue
            if row is None:
                self._rows.pop(key, None)
            else:
                self._rows[key] = Written(row, self.index)

    def pop(self, key: str) -> Written | None:
        """Take a row out for comparison; what remains in the end is missing in the tables."""
        return self._rows.pop(key, None)

    def remaining(self) -> Iterator[tuple[str, Written]]:
        """The rows that were not taken out."""
        yield from self._rows.items()

    def is_decided(self, device_id: str, seq: int) -> bool:
        """Has the unit's number been decided by an entry?"""
        runs = self._packs.get(device_id, [])
        place = bisect_right(runs, seq, key=lambda run: run[0]) - 1
        return place >= 0 and seq < runs[place][1]

    def _note_decided(self, key: str) -> None:
        device_id, seq = pack_place(key)
        runs = self._packs.setdefault(device_id, [])
        if runs and seq <= runs[-1][1]:
            # The next number, or the second decision of an earlier one.
            runs[-1][1] = max(runs[-1][1], seq + 1)
        else:
            runs.append([seq, seq + 1])
