"""Where what was sent to a copy and what it found are not the same, and in which part, as a person reads it."""

from dataclasses import dataclass
from typing import Any, NoReturn

import cbor2

from contracts.wire import cbor


@dataclass(frozen=True, slots=True)
class Difference:
    """Where what was sent and what was found here are not the same.

    index   the entry
    table   what of it: entries, payloads, rows_read, tiles, checkpoints
    what    in a few words
    ours, theirs  the two values, as a person reads them
    """

    index: int
    table: str
    what: str
    ours: str
    theirs: str


class Disagreed(Exception):
    """Raised with the Difference where a copy cannot go on."""

    def __init__(self, difference: Difference) -> None:
        found = difference
        super().__init__(f"entry {found.index}: {found.what}: {found.ours} here, {found.theirs} there")
        self.difference = difference


def disagree(index: int, table: str, what: str, ours: str, theirs: str) -> NoReturn:
    """Raise Disagreed with this difference."""
    raise Disagreed(Difference(index, table, what, ours, theirs))


def first_difference(ours: bytes, theirs: bytes) -> tuple[str, str, str]:
    """The first part in which two effects differ: a posting, a row, or the answer."""
    try:
        mine, sent = cbor2.loads(ours), cbor2.loads(theirs)
        for name, here, there in zip(("postings", "rows", "result"), mine, sent, strict=True):
            if here == there:
                continue
            if not isinstance(here, list) or len(here) != len(there):
                return name, _text(here), _text(there)
            return next((name, _text(a), _text(b)) for a, b in zip(here, there, strict=True) if a != b)
    except (ValueError, TypeError):
        pass
    return "effects", ours.hex(), theirs.hex()


def shown(data: bytes) -> str:
    """A value of CBOR as a person reads it."""
    try:
        return _text(cbor.decode(data))
    except ValueError:
        return data.hex()


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, list):
        return " ".join(_text(item) for item in value)
    return str(value)
