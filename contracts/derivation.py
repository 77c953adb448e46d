"""Rows that follow from what an erased entry keeps: its kind, time, postings, and which keys it wrote.

For whoever re-executes a log, some of whose entries are erased (design.md, Private by collection). A row is only
proposed here; it is the one that was written if it has the hash that the effects commit to. Whatever is not found so is
known by its hash alone.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from contracts import accounts, participation, recording, state
from contracts.checkout import Authorize, Capture
from contracts.departure import PERSONAL
from contracts.effects import Asset, Outline
from contracts.metering import Refusal
from contracts.state import (
    Account,
    BusinessDay,
    Decided,
    DeferredAward,
    Earnings,
    Holdings,
    Queue,
    Row,
    Unit,
    View,
)
from contracts.units import UnixSeconds
from contracts.wire import packs
from contracts.wire.packs import Pack

R = TypeVar("R", bound=Row)

__all__ = ["PERSONAL", "derived"]


@dataclass(frozen=True, slots=True)
class _Kept:
    """What is known of an entry without its request."""

    index: int
    kind: str
    at_s: UnixSeconds
    outline: Outline
    message: bytes


def derived(
    index: int, kind: str, at_s: UnixSeconds, outline: Outline, view: View, *, message: bytes = b""
) -> dict[str, Row]:
    """The rows written by the entry that can be told, by key.

    view     the state before it; raises LookupError for a row of which only the hash is known
    message  the unit's, where the request is still there
    """
    kept = _Kept(index, kind, at_s, outline, message)
    found: dict[str, Row] = {}
    for key, sha256 in outline.written.items():
        try:
            row = next((row for row in _proposed(key, kept, view) if _hash(row) == sha256), None)
        except LookupError:
            continue
        if row is not None:
            found[key] = row
    return found


def _hash(row: Row) -> bytes:
    return hashlib.sha256(state.to_bytes(row)).digest()


def _proposed(key: str, kept: _Kept, view: View) -> Iterator[Row]:
    kind, _, name = key.partition("/")
    match kind:
        case "account":
            asset, _, account = name.partition("/")
            yield Account(_balance(view, asset, account) + _moved(kept, asset, account))
        case "earnings":
            before = _before(view, key, Earnings()).minted_micro_sparks
            yield Earnings(before + _moved(kept, Asset.SPARK, accounts.customer(name)))
        case "deferred":
            yield from _awards(kept)
        case "queue":
            yield _queue(kept, view, key)
        case "business":
            yield _business_day(kept, view, key)
        case "pack":
            yield from _decisions(kept)
        case "unit":
            yield from _units(kept, view, key)
        case "holdings":
            yield from _holdings(kept, view, key)


def _awards(kept: _Kept) -> Iterator[Row]:
    for asset, account, amount in kept.outline.postings:
        if asset == Asset.DEFERRED and account != accounts.WAITING and amount > 0:
            yield DeferredAward(account.partition("/")[2], amount, kept.index)


def _decisions(kept: _Kept) -> Iterator[Row]:
    """What may have become of a message in its place the first time."""
    sha256 = packs.message_hash(kept.message)
    content = recording.content_of(kept.message) if kept.message else None
    if isinstance(content, Pack):
        start_s, last = content.intervals[0].start_s, content.intervals[-1]
        yield Decided(sha256, "", kept.index, start_s, last.start_s + last.duration_s)
    for refusal in Refusal:
        yield Decided(sha256, refusal, kept.index, 0, 0)


def _queue(kept: _Kept, view: View, key: str) -> Row:
    before = _before(view, key, Queue())
    awards = [sha256 for name, sha256 in kept.outline.written.items() if name.startswith("deferred/")]
    taken = awards.count(None)
    owed = before.retailers_owe_micro_sparks + sum(_debts(kept, view))
    return Queue(before.head + taken, before.tail + len(awards) - taken, owed)


def _debts(kept: _Kept, view: View) -> Iterator[int]:
    """How much more each retailer owes after the entry."""
    for account in {posting.account for posting in kept.outline.postings if posting.account.startswith("retailer/")}:
        before = _balance(view, Asset.SPARK, account)
        after = before + _moved(kept, Asset.SPARK, account)
        yield max(0, -after) - max(0, -before)


def _business_day(kept: _Kept, view: View, key: str) -> Row:
    before = _before(view, key, BusinessDay())
    retailer_id = key.split("/")[1]
    moved = _moved(kept, Asset.SPARK, accounts.retailer(retailer_id))
    if kept.kind in (Authorize.KIND, Capture.KIND):
        return BusinessDay(before.captured_micro_sparks + moved, before.refunded_micro_sparks)
    return BusinessDay(before.captured_micro_sparks, before.refunded_micro_sparks - moved)


def _units(kept: _Kept, view: View, key: str) -> Iterator[Row]:
    before = view.get(key)
    if isinstance(before, Unit):
        yield participation.left(before)
        for customer_id in _names(kept.outline.written, "holdings/"):
            yield participation.claimed(before, customer_id, kept.at_s)
        if before.holder is not None:
            yield participation.claimed(before, before.holder, kept.at_s)


def _holdings(kept: _Kept, view: View, key: str) -> Iterator[Row]:
    before = _before(view, key, Holdings())
    device_ids = list(_names(kept.outline.written, "unit/"))
    after = before
    for device_id in device_ids:
        yield participation.begun(before, device_id, kept.at_s)
        after = participation.ended(after, device_id, kept.at_s)
    yield after


def _names(written: Mapping[str, bytes | None], prefix: str) -> Iterator[str]:
    return (key.removeprefix(prefix) for key in written if key.startswith(prefix))


def _before(view: View, key: str, default: R) -> R:
    row = view.get(key)
    return row if isinstance(row, type(default)) else default


def _balance(view: View, asset: str, account: str) -> int:
    return _before(view, state.account_key(asset, account), Account()).balance


def _moved(kept: _Kept, asset: str, account: str) -> int:
    postings = kept.outline.postings
    return sum(posting.amount for posting in postings if (posting.asset, posting.account) == (asset, account))
