"""Bytes and places in a list as text: base64url, and the opaque cursors made of it."""

import base64
import binascii
import re
from typing import Final

from services.problems import Problem

_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,17}")


def text_of(data: bytes) -> str:
    """Return `data` as base64url without padding."""
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def bytes_of(text: str) -> bytes | None:
    """Return what `text` says in base64url, padded or not, or None if it is none."""
    bare = text.rstrip("=")
    try:
        data = base64.b64decode(bare + "=" * (-len(bare) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    return data if text_of(data) == bare else None


def cursor_of(place: str) -> str:
    """Return the cursor that goes on after `place`."""
    return text_of(place.encode())


def place_of(cursor: str | None) -> str:
    """Return the place after which a list goes on: the beginning, without a cursor."""
    if cursor is None:
        return ""
    data = bytes_of(cursor)
    try:
        place = (data or b"").decode()
    except UnicodeDecodeError:
        place = ""
    if not place or "\0" in place or cursor_of(place) != cursor:
        raise _invalid()
    return place


def number_of(cursor: str | None) -> int | None:
    """Return the number of the row after which a list goes on; None, the beginning, without a cursor."""
    if cursor is None:
        return None
    place = place_of(cursor)
    if not _NUMBER.fullmatch(place):
        raise _invalid()
    return int(place)


def _invalid() -> Problem:
    return Problem("invalid_cursor", "A cursor comes from next_cursor of the page before.")
