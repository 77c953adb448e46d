"""How payloads go to a member: what a page says, what a member signs to ask for it and to acknowledge it.

A page is deterministic CBOR: `[first, after, [[index, request, request_salt, effects, effects_salt, result], ...]]`. It
answers for the entries in [first, after) and holds the payloads of those that the member may see. Of an erased payload
request, salt and result are null and the effects stay (design.md 4), with the rows that it wrote and nobody after it:
`[index, null, null, effects, effects_salt, null, [[key, row], ...]]`.

A member that may see some collections only is told which: `[first, after, payloads, [collection, ...], [[index,
customer_hash, [erased, ...]], ...]]`. Its payloads end in the rows that the entry read, as a byte string
(`rows_read`), and those of erased entries in no rows. Last come, of each entry that erases others, SHA-256 of the
customer's pseudonym and which of the entries that the member was given it erases. The first entry, which carries the
contracts, is given to everybody.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
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
    read  for members that see some collections: what it was executed on (`rows_read`)
    """

    request: bytes | None
    request_salt: bytes | None
    effects: bytes
    effects_salt: bytes
    result: bytes | None
    rows: tuple[tuple[str, bytes], ...] = ()
    read: bytes | None = None


class Notice(NamedTuple):
    """What an entry erases, for a member that does not see that entry.

    customer_hash  SHA-256 of the pseudonym of whom it forgets
    erased         those of the entries that the member was given
    """

    customer_hash: bytes
    erased: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """The payloads, by index, of the entries in [first, after) that the member may see.

    collections  that it may see; None: all
    notices      by index, of the entries that erase others, if it may not see all
    """

    first: int
    after: int
    payloads: dict[int, Payload]
    collections: frozenset[str] | None = None
    notices: dict[int, Notice] = field(default_factory=dict)


def to_bytes(page: Page) -> bytes:
    """The page as it is sent, and as its SHA-256 is signed for."""
    said: list[object] = [page.first, page.after, [_told(index, told) for index, told in page.payloads.items()]]
    if page.collections is not None:
        said.append(sorted(page.collections))
        said.append([[index, notice.customer_hash, list(notice.erased)] for index, notice in page.notices.items()])
    return cbor.encode(said)


def from_bytes(data: bytes) -> Page:
    """Read what `to_bytes` wrote; anything else raises ValueError."""
    match cbor.decode(data):
        case [int(first), int(after), list(rows)] if 0 <= first <= after:
            return Page(first, after, dict(_payload(row) for row in rows))
        case [int(first), int(after), list(rows), list(words), list(notices)] if 0 <= first <= after:
            payloads, collections = dict(_payload(row) for row in rows), frozenset(_word(word) for word in words)
            return Page(first, after, payloads, collections, dict(_notice(row) for row in notices))
    raise ValueError("not a page of payloads")


def _told(index: int, payload: Payload) -> list[object]:
    *parts, rows, read = payload
    if payload.request is None:
        return [index, *parts, [list(row) for row in rows]]
    return [index, *parts, *([] if read is None else [read])]


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
        case [
            int(index),
            bytes(request),
            bytes(salt),
            bytes(effects),
            bytes(effects_salt),
            bytes(result),
            bytes(read),
        ]:
            return index, Payload(request, salt, effects, effects_salt, result, read=read)
        case [int(index), None, None, bytes(effects), bytes(effects_salt), None, list(rows)]:
            return index, Payload(None, None, effects, effects_salt, None, tuple(_row(row) for row in rows))
    raise ValueError("not a payload")


def _row(row: object) -> tuple[str, bytes]:
    match row:
        case [str(key), bytes(data)]:
            return key, data
    raise ValueError("not a row")


def _word(word: object) -> str:
    if not isinstance(word, str):
        raise ValueError("not a collection")
    return word


def _notice(row: object) -> tuple[int, Notice]:
    match row:
        case [int(index), bytes(customer_hash), list(erased)] if all(type(one) is int for one in erased):
            return index, Notice(customer_hash, tuple(erased))
    raise ValueError("not a notice of an erasure")


def words(collections: frozenset[str] | None) -> str:
    """The collections as a person reads them."""
    return "all" if collections is None else " ".join(sorted(collections))


def call_bytes(*, origin: str, member_id: str, method: str, target: str, time_s: UnixSeconds) -> bytes:
    """What a member's key signs to make one call; `target` is path and query."""
    return cbor.encode(["sparks-call", origin, member_id, method, target, time_s])


def receipt_bytes(*, origin: str, member_id: str, number: int, page_range: Sequence[int], sha256: bytes) -> bytes:
    """What a member's key signs to acknowledge delivery `number` of the entries in [first, after) of `page_range`."""
    return cbor.encode(["sparks-delivery", origin, member_id, number, *page_range, sha256])
