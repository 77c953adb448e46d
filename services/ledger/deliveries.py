"""How payloads go to a member: what a page says, what a member signs to ask for it and to acknowledge it.

A page is deterministic CBOR: `[first, after, [[index, request, request_salt, effects, effects_salt, result], ...]]`. It
answers for the entries in [first, after) and holds the payloads of those that the member may see. Of an erased payload
request, salt and result are null and the effects stay (design.md 4), with the rows that it wrote and nobody after it:
`[index, null, null, effects, effects_salt, null, [[key, row], ...]]`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from contracts.units import UnixSeconds
from contracts.wire import cbor

PATH: Final = "/v1/members/payloads"
SCHEME: Final = "Sparks-Member"
RECEIPT: Final = "Sparks-Received"
NUMBER: Final = "Sparks-Delivery"
MEDIA_TYPE: Final = "application/cbor"
TOLERANCE_S: Final = 300
"""How far the clocks of a member and the operator may be apart."""


class Payload(NamedTuple):
    """What an entry commits to; None in the places of what was erased.

    rows  of an erased entry, by key, those that it wrote last
    """

    request: bytes | None
    request_salt: bytes | None
    effects: bytes
    effects_salt: bytes
    result: bytes | None
    rows: tuple[tuple[str, bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """The payloads, by index, of the entries in [first, after) that the member may see."""

    first: int
    after: int
    payloads: dict[int, Payload]


def to_bytes(page: Page) -> bytes:
    """The page as it is sent, and as its SHA-256 is signed for."""
    return cbor.encode([page.first, page.after, [_told(index, payload) for index, payload in page.payloads.items()]])


def from_bytes(data: bytes) -> Page:
    """Read what `to_bytes` wrote; anything else raises ValueError."""
    match cbor.decode(data):
        case [int(first), int(after), list(rows)] if 0 <= first <= after:
            return Page(first, after, dict(_payload(row) for row in rows))
    raise ValueError("not a page of payloads")


def _told(index: int, payload: Payload) -> list[object]:
    *parts, rows = payload
    return [index, *parts, *([[list(row) for row in rows]] if payload.request is None else [])]


def _payload(row: object) -> tuple[int, Payload]:
    match row:
        case [
            int(index),
            bytes() | None as request,
            bytes() | None as salt,
            bytes(effects),
            bytes(effects_salt),
            bytes() | None as result,
        ]:
            return index, Payload(request, salt, effects, effects_salt, result)
        case [int(index), None, None, bytes(effects), bytes(effects_salt), None, list(rows)]:
            return index, Payload(None, None, effects, effects_salt, None, tuple(_row(row) for row in rows))
    raise ValueError("not a payload")


def _row(row: object) -> tuple[str, bytes]:
    match row:
        case [str(key), bytes(data)]:
            return key, data
    raise ValueError("not a row")


def call_bytes(*, origin: str, member_id: str, method: str, target: str, time_s: UnixSeconds) -> bytes:
    """What a member's key signs to make one call; `target` is path and query."""
    return cbor.encode(["sparks-call", origin, member_id, method, target, time_s])


def receipt_bytes(*, origin: str, member_id: str, number: int, page_range: Sequence[int], sha256: bytes) -> bytes:
    """What a member's key signs to acknowledge delivery `number` of the entries in [first, after) of `page_range`."""
    return cbor.encode(["sparks-delivery", origin, member_id, number, *page_range, sha256])
