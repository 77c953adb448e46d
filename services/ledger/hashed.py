"""Rows of which only the hash is known, because the entry that wrote them is taken as committed."""

import hashlib
from typing import Final, NamedTuple

_MARK: Final = 0xF7
"""CBOR's "undefined", as the first byte: a row is an array."""


class UnknownRow(LookupError):
    """A row is asked for of which only the hash is known."""


class Hashed(NamedTuple):
    """A row's SHA-256 in the place of the row."""

    sha256: bytes

    def is_of(self, data: bytes) -> bool:
        """Are these the bytes of the row?"""
        return hashlib.sha256(data).digest() == self.sha256


def to_bytes(hashed: Hashed) -> bytes:
    """What a copy keeps in the place of the row."""
    return bytes([_MARK]) + hashed.sha256


def from_bytes(data: bytes) -> Hashed | None:
    """What `to_bytes` wrote; None: it is a row."""
    return Hashed(data[1:]) if data[0] == _MARK else None
