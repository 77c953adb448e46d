"""A purchase as the retailers' API tells it, made from the ledger's answer alone, so that a repeat is alike."""

import hashlib
from collections.abc import Mapping
from typing import Any

from contracts.redemption import bonus_cents, price
from contracts.state import Purchase, of_values
from services.moments import rfc3339


def answer(result: Mapping[str, Any], index: int) -> dict[str, Any]:
    """What a till is told after a command that the ledger took as entry `index`."""
    return shown(of_values(Purchase, result["purchase"]), index)


def shown(purchase: Purchase, index: int) -> dict[str, Any]:
    """The members of `shapes.Authorization`.

    Once something was captured the amounts are those of the sale, before that those of the hold; `status` and what was
    refunded say what became of them. A decline cost nothing.
    """
    is_declined = bool(purchase.decline_reason)
    amount_cents = purchase.captured_cents or purchase.amount_cents
    told = {
        "id": purchase.authorization_id,
        "status": purchase.state,
        "terminal_id": purchase.terminal_id,
        "amount_cents": amount_cents,
        "micro_sparks": 0 if is_declined else price(amount_cents, purchase.bonus_bp),
        "bonus_cents": 0 if is_declined else bonus_cents(amount_cents, purchase.bonus_bp),
        "captured_cents": purchase.captured_cents,
        "refunded_cents": purchase.refunded_cents,
        "refunded_micro_sparks": purchase.refunded_micro_sparks,
        "created_at": rfc3339(purchase.created_s),
        "entry_index": index,
    }
    if is_declined:
        told["decline_reason"] = purchase.decline_reason
    if purchase.reference:
        told["reference"] = purchase.reference
    if purchase.expires_s:
        told["expires_at"] = rfc3339(purchase.expires_s)
    return told


def code_hash(checkout_code: str) -> bytes:
    """How the ledger knows a checkout code: SHA-256 of its digits."""
    return hashlib.sha256(checkout_code.encode()).digest()
