"""A purchase as a table of legal moves: authorised, captured, voided, refunded, expired; and its price.

programme.md, How sparks live. Amounts in cents, value in micro_sparks; every price goes through `price`, so that the
parts of a sale add up to the sale.
"""

from dataclasses import replace
from enum import StrEnum
from typing import Final

from contracts import accounts, participation, spending, state
from contracts.checkout import Authorize, Capture, ExpireHold, IssueCheckoutCode, Refund, Void
from contracts.effects import Asset, Draft, Effects, Reason, Rejected
from contracts.settlement import note_captured, note_refunded
from contracts.state import CheckoutCode, Customer, Purchase, Retailer
from contracts.units import BP_ONE, MICRO_SPARKS_PER_CENT, Bp, Cents, MicroSparks


class State(StrEnum):
    """Where a purchase stands; the names of the retailers' API."""

    DECLINED = "declined"
    AUTHORIZED = "authorized"
    CAPTURED = "captured"
    PARTIALLY_REFUNDED = "partially_refunded"
    REFUNDED = "refunded"
    VOIDED = "voided"
    RELEASED = "released"
    EXPIRED = "expired"


class Move(StrEnum):
    """What can be asked of a purchase."""

    CAPTURE = "capture"
    CAPTURE_NOTHING = "capture_nothing"
    VOID = "void"
    REFUND_PART = "refund_part"
    REFUND_REST = "refund_rest"
    EXPIRE = "expire"


MOVES: Final = {
    (State.AUTHORIZED, Move.CAPTURE): State.CAPTURED,
    (State.AUTHORIZED, Move.CAPTURE_NOTHING): State.RELEASED,
    (State.AUTHORIZED, Move.VOID): State.VOIDED,
    (State.AUTHORIZED, Move.EXPIRE): State.EXPIRED,
    (State.CAPTURED, Move.VOID): State.VOIDED,  # before cut-over, nothing refunded
    (State.CAPTURED, Move.REFUND_PART): State.PARTIALLY_REFUNDED,
    (State.CAPTURED, Move.REFUND_REST): State.REFUNDED,
    (State.PARTIALLY_REFUNDED, Move.REFUND_PART): State.PARTIALLY_REFUNDED,
    (State.PARTIALLY_REFUNDED, Move.REFUND_REST): State.REFUNDED,
}


class Decline(StrEnum):
    """Why a till is told no, in the order of precedence (interfaces.md 3)."""

    RETAILER_SUSPENDED = "retailer_suspended"
    TERMINAL_UNKNOWN = "terminal_unknown"
    AMOUNT_INVALID = "amount_invalid"
    CODE_UNKNOWN = "code_unknown"
    CODE_EXPIRED = "code_expired"
    CODE_USED = "code_used"
    CUSTOMER_FROZEN = "customer_frozen"
    IDENTITY_REQUIRED = "identity_required"
    OVER_LIMIT = "over_limit"
    INSUFFICIENT_SPARKS = "insufficient_sparks"


_BURNS_THE_CODE: Final = frozenset(
    {Decline.CUSTOMER_FROZEN, Decline.IDENTITY_REQUIRED, Decline.OVER_LIMIT, Decline.INSUFFICIENT_SPARKS}
)


def price(amount_cents: Cents, bonus_bp: Bp) -> MicroSparks:
    """c(a): what `amount_cents` cost with the retailer's green bonus, rounded up."""
    return -(-amount_cents * MICRO_SPARKS_PER_CENT * BP_ONE // (BP_ONE + bonus_bp))


def bonus_cents(amount_cents: Cents, bonus_bp: Bp) -> Cents:
    """What the retailer bears of `amount_cents`."""
    return (amount_cents * MICRO_SPARKS_PER_CENT - price(amount_cents, bonus_bp)) // MICRO_SPARKS_PER_CENT


def issue_code(draft: Draft, command: IssueCheckoutCode) -> Effects | Rejected:
    """A customer may be charged once, up to `max_cents`, for a few minutes."""
    customer = participation.participant(draft, command.customer_id)
    if isinstance(customer, Rejected):
        return customer
    key = state.code_key(command.code_hash)
    if draft.get(key, CheckoutCode) is not None:
        return Rejected(Reason.CODE_EXISTS)
    if not 1 <= command.max_cents <= draft.programme.amount_cents_max:
        return Rejected(Reason.INVALID_AMOUNT)
    expires_s = draft.at_s + draft.programme.code_s
    draft.put(key, CheckoutCode(command.customer_id, command.max_cents, expires_s))
    return draft.effects(expires_s=expires_s)


def authorize(draft: Draft, command: Authorize) -> Effects | Rejected:
    """Take or hold the price of `amount_cents`; a decline is recorded too, and counts against the code."""
    if draft.get(state.purchase_key(command.authorization_id), Purchase) is not None:
        return Rejected(Reason.AUTHORIZATION_EXISTS)
    retailer = draft.get(state.retailer_key(command.retailer_id), Retailer)
    if retailer is None:
        return Rejected(Reason.UNKNOWN_RETAILER)
    code = draft.get(state.code_key(command.code_hash), CheckoutCode)
    decline = _decline_of(draft, command, retailer, code)
    if decline or code is None:
        return _decline(draft, command, retailer, code, decline or Decline.CODE_UNKNOWN)
    draft.put(state.code_key(command.code_hash), replace(code, used=True))
    spending.count(draft, code.customer_id, draft.at_s, command.amount_cents)
    cost = price(command.amount_cents, retailer.bonus_bp)
    payer = accounts.customer(code.customer_id)
    if command.capture:
        _take(draft, payer, command.retailer_id, cost)
    else:
        payee = accounts.held(code.customer_id)
        accounts.move(draft, Asset.SPARK, debit=payer, credit=payee, amount=cost)
    purchase = replace(
        _purchase(draft, command, retailer),
        customer_id=code.customer_id,
        held_micro_sparks=cost,
        state=State.CAPTURED if command.capture else State.AUTHORIZED,
        captured_cents=command.amount_cents if command.capture else 0,
        captured_s=draft.at_s if command.capture else 0,
        expires_s=0 if command.capture else draft.at_s + draft.programme.hold_s,
    )
    return _answer(draft, purchase)


def capture(draft: Draft, command: Capture) -> Effects | Rejected:
    """Take part or all of a hold before it ends; the rest goes back to the customer."""
    purchase = _own(draft, command.retailer_id, command.authorization_id)
    if purchase is None:
        return Rejected(Reason.UNKNOWN_AUTHORIZATION)
    amount_cents = purchase.amount_cents if command.amount_cents is None else command.amount_cents
    after = MOVES.get((State(purchase.state), Move.CAPTURE if amount_cents else Move.CAPTURE_NOTHING))
    if after is None or draft.at_s >= purchase.expires_s:
        return Rejected(Reason.INVALID_STATE)
    if amount_cents < 0:
        return Rejected(Reason.INVALID_AMOUNT)
    if amount_cents > purchase.amount_cents:
        return Rejected(Reason.CAPTURE_ABOVE_HOLD)
    cost = price(amount_cents, purchase.bonus_bp)
    _take(draft, accounts.held(purchase.customer_id), purchase.retailer_id, cost)
    _release(draft, purchase, purchase.held_micro_sparks - cost)
    _uncount(draft, purchase, purchase.amount_cents - amount_cents)
    taken_s = draft.at_s if amount_cents else 0
    return _answer(draft, replace(purchase, state=after, captured_cents=amount_cents, captured_s=taken_s))


def void(draft: Draft, command: Void) -> Effects | Rejected:
    """Undo a hold, or a capture of the same business day of which nothing was refunded."""
    purchase = _own(draft, command.retailer_id, command.authorization_id)
    if purchase is None:
        return Rejected(Reason.UNKNOWN_AUTHORIZATION)
    after = MOVES.get((State(purchase.state), Move.VOID))
    if after is None or _is_past(draft, purchase):
        return Rejected(Reason.INVALID_STATE)
    if _is_closed(draft, purchase.customer_id):
        return Rejected(Reason.CUSTOMER_CLOSED)
    if purchase.state == State.CAPTURED:
        taken = price(purchase.captured_cents, purchase.bonus_bp)
        _give_back(draft, purchase, taken)
        _uncount(draft, purchase, purchase.captured_cents)
    else:
        _release(draft, purchase, purchase.held_micro_sparks)
        _uncount(draft, purchase, purchase.amount_cents)
    return _answer(draft, replace(purchase, state=after))


def refund(draft: Draft, command: Refund) -> Effects | Rejected:
    """Give back part or all of a sale; c(A - R) - c(A - R - r), so that the parts add up to the sale."""
    purchase = _own(draft, command.retailer_id, command.authorization_id)
    if purchase is None:
        return Rejected(Reason.UNKNOWN_AUTHORIZATION)
    left_cents = purchase.captured_cents - purchase.refunded_cents
    amount_cents = left_cents if command.amount_cents is None else command.amount_cents
    move = Move.REFUND_REST if amount_cents == left_cents else Move.REFUND_PART
    after = MOVES.get((State(purchase.state), move))
    if after is None:
        return Rejected(Reason.INVALID_STATE)
    if amount_cents < 1:
        return Rejected(Reason.INVALID_AMOUNT)
    if amount_cents > left_cents:
        return Rejected(Reason.REFUND_ABOVE_SALE)
    if draft.at_s > purchase.captured_s + draft.programme.refund_s_max:
        return Rejected(Reason.REFUND_TOO_LATE)
    if _is_closed(draft, purchase.customer_id):
        return Rejected(Reason.CUSTOMER_CLOSED)
    value = price(left_cents, purchase.bonus_bp) - price(left_cents - amount_cents, purchase.bonus_bp)
    _give_back(draft, purchase, value)
    _uncount(draft, purchase, amount_cents)
    refunded = replace(
        purchase,
        state=after,
        refunded_cents=purchase.refunded_cents + amount_cents,
        refunded_micro_sparks=purchase.refunded_micro_sparks + value,
    )
    return _answer(draft, refunded)


def expire(draft: Draft, command: ExpireHold) -> Effects | Rejected:
    """Release a hold whose time has passed."""
    purchase = draft.get(state.purchase_key(command.authorization_id), Purchase)
    if purchase is None:
        return Rejected(Reason.UNKNOWN_AUTHORIZATION)
    after = MOVES.get((State(purchase.state), Move.EXPIRE))
    if after is None or draft.at_s < purchase.expires_s:
        return Rejected(Reason.INVALID_STATE)
    _release(draft, purchase, purchase.held_micro_sparks)
    _uncount(draft, purchase, purchase.amount_cents)
    return _answer(draft, replace(purchase, state=after))


def _decline_of(draft: Draft, command: Authorize, retailer: Retailer, code: CheckoutCode | None) -> Decline | None:
    if retailer.suspended:
        return Decline.RETAILER_SUSPENDED
    if command.terminal_id not in retailer.terminals:
        return Decline.TERMINAL_UNKNOWN
    if not 1 <= command.amount_cents <= draft.programme.amount_cents_max:
        return Decline.AMOUNT_INVALID
    if code is None or _is_closed(draft, code.customer_id):
        return Decline.CODE_UNKNOWN
    if draft.at_s >= code.expires_s:
        return Decline.CODE_EXPIRED
    if code.used or code.declines >= draft.programme.code_declines_max:
        return Decline.CODE_USED
    return _decline_of_customer(draft, command.amount_cents, retailer, code)


def _decline_of_customer(draft: Draft, amount_cents: Cents, retailer: Retailer, code: CheckoutCode) -> Decline | None:
    customer = draft.get(state.customer_key(code.customer_id), Customer)
    if customer is None:
        raise LookupError(f"code of the unknown customer {code.customer_id}")
    if customer.frozen:
        return Decline.CUSTOMER_FROZEN
    limit = spending.limit_of(draft, customer)
    if limit is None:
        return Decline.IDENTITY_REQUIRED
    if amount_cents > code.max_cents or spending.is_over(draft, code.customer_id, amount_cents, limit):
        return Decline.OVER_LIMIT
    free = accounts.balance(draft, Asset.SPARK, accounts.customer(code.customer_id))
    return Decline.INSUFFICIENT_SPARKS if free < price(amount_cents, retailer.bonus_bp) else None


def _decline(
    draft: Draft, command: Authorize, retailer: Retailer, code: CheckoutCode | None, decline: Decline
) -> Effects:
    purchase = _purchase(draft, command, retailer)
    if code is not None and decline in _BURNS_THE_CODE:
        draft.put(state.code_key(command.code_hash), replace(code, declines=code.declines + 1))
    return _answer(draft, replace(purchase, state=State.DECLINED, decline_reason=str(decline)))


def _purchase(draft: Draft, command: Authorize, retailer: Retailer) -> Purchase:
    return Purchase(
        authorization_id=command.authorization_id,
        retailer_id=command.retailer_id,
        terminal_id=command.terminal_id,
        customer_id="",
        reference=command.reference,
        amount_cents=command.amount_cents,
        bonus_bp=retailer.bonus_bp,
        state="",
        decline_reason="",
        held_micro_sparks=0,
        captured_cents=0,
        refunded_cents=0,
        refunded_micro_sparks=0,
        created_s=draft.at_s,
        captured_s=0,
        expires_s=0,
        index=draft.index,
    )


def _answer(draft: Draft, purchase: Purchase) -> Effects:
    draft.put(state.purchase_key(purchase.authorization_id), purchase)
    return draft.effects(purchase=list(state.values(purchase)))


def _own(draft: Draft, retailer_id: str, authorization_id: str) -> Purchase | None:
    purchase = draft.get(state.purchase_key(authorization_id), Purchase)
    return purchase if purchase and purchase.retailer_id == retailer_id else None


def _is_past(draft: Draft, purchase: Purchase) -> bool:
    """Too late to void: the hold has ended, or the business day of the capture has."""
    if purchase.state == State.AUTHORIZED:
        return draft.at_s >= purchase.expires_s
    return draft.programme.local_day(purchase.captured_s) != draft.programme.local_day(draft.at_s)


def _is_closed(draft: Draft, customer_id: str) -> bool:
    """Nothing goes to or from a closed account; a shop pays cash."""
    customer = draft.get(state.customer_key(customer_id), Customer)
    return customer is not None and customer.closed_s != 0


def _take(draft: Draft, payer: str, retailer_id: str, micro_sparks: MicroSparks) -> None:
    payee = accounts.retailer(retailer_id)
    accounts.move(draft, Asset.SPARK, debit=payer, credit=payee, amount=micro_sparks)
    note_captured(draft, retailer_id, micro_sparks)


def _give_back(draft: Draft, purchase: Purchase, micro_sparks: MicroSparks) -> None:
    payer = accounts.retailer(purchase.retailer_id)
    payee = accounts.customer(purchase.customer_id)
    accounts.move(draft, Asset.SPARK, debit=payer, credit=payee, amount=micro_sparks)
    note_refunded(draft, purchase.retailer_id, micro_sparks)


def _release(draft: Draft, purchase: Purchase, micro_sparks: MicroSparks) -> None:
    payer = accounts.held(purchase.customer_id)
    payee = accounts.customer(purchase.customer_id)
    accounts.move(draft, Asset.SPARK, debit=payer, credit=payee, amount=micro_sparks)


def _uncount(draft: Draft, purchase: Purchase, amount_cents: Cents) -> None:
    spending.uncount(draft, purchase.customer_id, purchase.created_s, amount_cents)
