"""Rows as bytes: CBOR arrays of their fields, tuples nested as arrays.

Without maps and floats, so that the shortest encoding is the only one.
"""

from collections.abc import Callable, Sequence
from dataclasses import fields
from operator import attrgetter
from typing import Any, Final

import cbor2

from contracts.state.rows import ROWS, Member, MemberKey, Purchase, Row, Unit, UnitKey
from contracts.units import UnixSeconds


def _read_all(cls: type[Row]) -> Callable[[Row], Any]:
    return attrgetter(*(field.name for field in fields(cls)))


_FIELDS: Final = {cls: _read_all(cls) for cls in ROWS.values()}
_SINGLE: Final = {cls for cls in ROWS.values() if len(fields(cls)) == 1}
_KEYS: Final = {Unit: (5, UnitKey), Member: (5, MemberKey)}
"""The rows with keys: in which of their fields, and of which type."""


def to_bytes(row: Row) -> bytes:
    """A row as deterministic CBOR: the array of its fields."""
    return cbor2.dumps(values(row))


def values(row: Row) -> tuple[Any, ...]:
    """The fields of a row, in their order."""
    fields_of = _FIELDS[type(row)](row)
    return (fields_of,) if type(row) in _SINGLE else tuple(fields_of)


def from_bytes(key: str, data: bytes) -> Row:
    """The row that `to_bytes` wrote under this key."""
    row: Row = of_values(ROWS[key.partition("/")[0]], cbor2.loads(data))
    return row


def of_values(cls: Any, values: Sequence[Any]) -> Any:
    """The row of class `cls` whose fields these are, in their order."""
    frozen = [_frozen(value) if type(value) is list else value for value in values]
    if cls in _KEYS:
        place, of_type = _KEYS[cls]
        frozen[place] = tuple(of_type(*key) for key in frozen[place])
    try:
        return cls(*frozen)
    except TypeError:
        known = len(fields(cls))
        if len(frozen) <= known:
            raise
        return cls(*frozen[:known])  # a later contract set has appended fields


def due_s(row: Row) -> UnixSeconds | None:
    """When the ledger has to act on this row by itself, or None: a hold ends."""
    return row.expires_s if isinstance(row, Purchase) and row.state == "authorized" else None


def _frozen(values: list[Any]) -> tuple[Any, ...]:
    return tuple([_frozen(value) if type(value) is list else value for value in values])
