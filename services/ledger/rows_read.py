"""The rows that an entry was executed on, kept for the members that are given a part of the payloads.

Such a member does not know what entries outside its collections have written. So with the payload of an entry of a
collection that some role is given, the rows that its execution read are kept, each as it was then: deterministic CBOR
`[[key, version, row], ...]` in the order of the keys, where version is the entry that last wrote the row; both are null
of a row that was not there.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import cbor2

from contracts.programmes import ALL_COLLECTIONS, Programme
from contracts.state import Row, View
from contracts.units import UnixSeconds
from contracts.wire import cbor
from services.ledger.store import Written


class Known(View, Protocol):
    """A view that also knows which entry wrote a row."""

    def known(self, key: str) -> Written | None:
        """What was last written under `key`, or None if nothing was."""
        ...


class RowRead(NamedTuple):
    """A row as an execution found it: the entry that wrote it and its bytes, or None, None where there was none."""

    version: int | None
    data: bytes | None


class Noting:
    """`contracts.state.View` on another one that notes what is read."""

    __slots__ = ("_known", "_view", "at_s", "index", "programme")

    def __init__(self, view: Known) -> None:
        self.programme: Programme = view.programme
        self.at_s: UnixSeconds = view.at_s
        self.index: int = view.index
        self._view = view
        self._known: dict[str, Written | None] = {}

    def get(self, key: str) -> Row | None:
        """The row under `key`, or None."""
        found = self._known[key] = self._view.known(key)
        return None if found is None else found.row

    def to_bytes(self) -> bytes:
        """All that was read."""
        found: list[list[Any]] = []
        for key, known in sorted(self._known.items()):
            is_there = known is not None and known.row is not None
            found.append([key, known.version, known.data] if known is not None and is_there else [key, None, None])
        return cbor2.dumps(found)  # arrays only, so the shortest form is the one


def collections(programme: Programme) -> frozenset[str]:
    """The collections whose entries keep what they read: those that some role is given without all others."""
    return frozenset(word for words in programme.role_collections.values() for word in words) - {ALL_COLLECTIONS}


def from_bytes(data: bytes) -> Mapping[str, RowRead]:
    """Read what `to_bytes` wrote; anything else raises ValueError."""
    rows = cbor.decode(data)
    if not isinstance(rows, list):
        raise ValueError("not the rows read by an entry")
    found = dict(_row(row) for row in rows)
    if list(found) != sorted(found) or len(found) != len(rows):
        raise ValueError("rows read are given once each, in the order of their keys")
    return found


def _row(row: object) -> tuple[str, RowRead]:
    match row:
        case [str(key), None, None]:
            return key, RowRead(None, None)
        case [str(key), int(version), bytes(data)] if type(version) is int and version >= 0:
            return key, RowRead(version, data)
    raise ValueError("not a row that was read")
