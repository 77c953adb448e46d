"""Moments as HTTP writes them: RFC 3339 in UTC outside, whole Unix seconds inside."""

import re
from datetime import UTC, datetime
from typing import Annotated, Final

from pydantic import BeforeValidator, WithJsonSchema

from contracts.units import UnixSeconds

_RFC_3339_UTC: Final = re.compile(r"(\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d)(?:\.0+)?(?:[Zz]|[+-]00:00)", re.ASCII)


def rfc3339(at_s: UnixSeconds) -> str:
    """Return the moment as text: 2026-07-01T14:00:00Z."""
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def unix_s(text: object) -> UnixSeconds:
    """Return the moment that an RFC 3339 text in UTC and whole seconds says; anything else raises ValueError."""
    match = _RFC_3339_UTC.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError("expected a moment in UTC and whole seconds, like 2026-07-01T14:00:00Z")
    moment = datetime.strptime(match[1].upper(), "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC)
    seconds = int(moment.timestamp())
    if seconds < 0:
        raise ValueError("expected a moment after 1970")
    return seconds


Moment = Annotated[
    UnixSeconds,
    BeforeValidator(unix_s),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-07-01T14:00:00Z"]}),
]
"""A field of a request that is RFC 3339 in JSON and Unix seconds in Python; answers are written with `rfc3339`."""
