"""In which part two effects differ, as a person reads it."""

from typing import Any

import cbor2


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
        return _text(cbor2.loads(data))
    except ValueError:
        return data.hex()


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, list):
        return " ".join(_text(item) for item in value)
    return str(value)
