"""Opaque cursors: where the next page of a statement begins."""

import base64
import binascii
import re
from typing import Final

from services.problems import Problem

_INDEX: Final = re.compile(rb"0|[1-9][0-9]{0,17}")


def cursor_of(index: int) -> str:
    """The cursor of the page with the entries below `index`."""
    return base64.urlsafe_b64encode(str(index).encode()).decode().rstrip("=")


def index_of(cursor: str) -> int:
    """What `cursor_of` was given; anything else is a problem."""
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    except (binascii.Error, ValueError):
        text = b""
    index = int(text) if _INDEX.fullmatch(text) else 0
    if cursor_of(index) != cursor:
        raise Problem("invalid_cursor", "The cursor is not one that a page before gave.")
    return index
