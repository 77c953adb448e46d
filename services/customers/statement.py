"""A customer's statement: each ledger entry that moved or deferred their sparks, as one line in plain words.

The line's `micro_sparks` is what the entry did to their balance (free and held together), so all lines add up to it:
earning and refunds are positive, paying is negative, and what only changes place (a hold, a deferral) is 0.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from contracts import accounts
from contracts.effects import Asset
from contracts.redemption import State
from contracts.state import Purchase, of_values
from contracts.units import MicroSparks, UnixSeconds
from services.ledger.client import Recorded


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One entry from the customer's side.

    micro_sparks           change of the balance (free + held)
    held_micro_sparks      change of what is held, 0 if none
    deferred_micro_sparks  change of what waits for funds, 0 if none
    awards                 what a pack earned by rule, minted or deferred
    purchase               the sale this is about, as it stood after the entry
    """

    index: int
    at_s: UnixSeconds
    kind: str
    micro_sparks: MicroSparks
    held_micro_sparks: MicroSparks
    deferred_micro_sparks: MicroSparks
    awards: Mapping[str, MicroSparks] = field(default_factory=dict)
    device_id: str | None = None
    purchase: Purchase | None = None


def accounts_of(customer_id: str) -> tuple[str, str]:
    """The accounts whose postings make a statement."""
    return accounts.customer(customer_id), accounts.held(customer_id)


def line_of(recorded: Recorded, customer_id: str) -> Line:
    """What one entry was to this customer."""
    free, held = (_sum(recorded, Asset.SPARK, account) for account in accounts_of(customer_id))
    deferred = _sum(recorded, Asset.DEFERRED, accounts.customer(customer_id))
    purchase = recorded.result.get("purchase")
    sale = None if purchase is None else of_values(Purchase, purchase)
    return Line(
        index=recorded.index,
        at_s=recorded.at_s,
        kind=_kind(recorded, is_deferred=deferred > 0, sale=sale),
        micro_sparks=free + held,
        held_micro_sparks=held,
        deferred_micro_sparks=deferred,
        awards=recorded.result.get("awards", {}),
        device_id=recorded.result.get("device"),
        purchase=sale,
    )


_EARNED: Final = frozenset({"record_pack", "decide_again"})
_KIND_BY_COMMAND: Final = {
    "release_deferred": "deferred_released",
    "refund": "refund",
    "expire_hold": "hold_expired",
    "close_account": "received",
}
KINDS: Final = (
    "earned",
    "deferred",
    "deferred_released",
    "purchase",
    "hold",
    "hold_captured",
    "hold_released",
    "hold_expired",
    "void",
    "refund",
    "received",
)
"""Every word that a line's `kind` can be; a new command that moves sparks brings its own."""


def _kind(recorded: Recorded, *, is_deferred: bool, sale: Purchase | None) -> str:
    if recorded.kind in _EARNED:
        return "deferred" if is_deferred else "earned"
    if sale is not None and recorded.kind == "authorize":
        return "purchase" if sale.state == State.CAPTURED else "hold"
    if sale is not None and recorded.kind == "capture":
        return "hold_captured" if sale.state == State.CAPTURED else "hold_released"
    return _KIND_BY_COMMAND.get(recorded.kind, recorded.kind)


def _sum(recorded: Recorded, asset: Asset, account: str) -> int:
    return sum(posting.amount for posting in recorded.postings if posting.asset == asset and posting.account == account)
