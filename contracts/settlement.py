"""Retailers, and what each took and gave back on a business day, closed into one settlement (programme.md)."""

from dataclasses import replace

from contracts import accounts, state
from contracts.checkout import AdmitRetailer, AttestRetailer, SettleRetailer
from contracts.effects import Asset, Draft, Effects, Reason, Rejected
from contracts.state import BusinessDay, Retailer
from contracts.units import (
    BP_ONE,
    MICRO_CAD_PER_CENT,
    MICRO_SPARKS_PER_CENT,
    Bp,
    Cents,
    LocalDay,
    MicroSparks,
)


def admit(draft: Draft, command: AdmitRetailer) -> Effects | Rejected:
    """A retailer takes sparks from now on."""
    key = state.retailer_key(command.retailer_id)
    if draft.get(key, Retailer) is not None:
        return Rejected(Reason.RETAILER_EXISTS)
    if command.bonus_bp < 0:
        return Rejected(Reason.INVALID_AMOUNT)
    yesterday = draft.programme.local_day(draft.at_s) - 1
    draft.put(key, Retailer(command.retailer_id, command.name, command.terminals, command.bonus_bp, yesterday))
    return draft.effects(retailer=command.retailer_id)


def attest(draft: Draft, command: AttestRetailer) -> Effects | Rejected:
    """A provider's word on who runs a retailer, until it expires."""
    key = state.retailer_key(command.retailer_id)
    retailer = draft.get(key, Retailer)
    if retailer is None:
        return Rejected(Reason.UNKNOWN_RETAILER)
    if command.level not in draft.programme.retailer_levels:
        return Rejected(Reason.UNKNOWN_IDENTITY_LEVEL)
    attested = replace(
        retailer,
        identity=command.level,
        identity_provider=command.provider,
        identity_expires_s=command.expires_s,
    )
    draft.put(key, attested)
    return draft.effects(level=command.level)


def fee(captured: MicroSparks, refunded: MicroSparks, fee_bp: Bp) -> MicroSparks:
    """The network's fee on what a day took, never below zero."""
    return max(0, captured - refunded) * fee_bp // BP_ONE


def split(due: MicroSparks) -> tuple[Cents, MicroSparks]:
    """What is due as whole cents to pay and micro_sparks to carry (below zero: the retailer owes them)."""
    cents = max(0, due) // MICRO_SPARKS_PER_CENT
    return cents, due - cents * MICRO_SPARKS_PER_CENT


def settle(draft: Draft, command: SettleRetailer) -> Effects | Rejected:
    """Close the first business day that is over and not closed: burn the fee and what the reserve pays, carry the rest.

    The retailer's account then holds what is carried plus what later days took and gave back; so what is due is the
    account without those later days, less the fee.
    """
    retailer = draft.get(state.retailer_key(command.retailer_id), Retailer)
    if retailer is None:
        return Rejected(Reason.UNKNOWN_RETAILER)
    today = draft.programme.local_day(draft.at_s)
    if command.day != retailer.settled_day + 1 or command.day >= today:
        return Rejected(Reason.INVALID_STATE)
    day = _business_day(draft, command.retailer_id, command.day)
    fee_micro_sparks = fee(day.captured_micro_sparks, day.refunded_micro_sparks, draft.programme.settlement_fee_bp)
    account = accounts.retailer(command.retailer_id)
    later = _net_after(draft, command.retailer_id, command.day, today)
    due = accounts.balance(draft, Asset.SPARK, account) - later - fee_micro_sparks
    cents, carried = split(due)
    paid_micro_cad = cents * MICRO_CAD_PER_CENT
    if accounts.balance(draft, Asset.CAD, accounts.RESERVE) < paid_micro_cad:
        return Rejected(Reason.RESERVE_SHORT)
    paid = cents * MICRO_SPARKS_PER_CENT
    accounts.move(draft, Asset.SPARK, debit=account, credit=accounts.FEES, amount=fee_micro_sparks)
    accounts.move(draft, Asset.SPARK, debit=account, credit=accounts.SETTLED, amount=paid)
    accounts.move(draft, Asset.CAD, debit=accounts.RESERVE, credit=accounts.PAID_OUT, amount=paid_micro_cad)
    draft.put(state.retailer_key(command.retailer_id), replace(retailer, settled_day=command.day))
    return draft.effects(
        captured=day.captured_micro_sparks,
        refunded=day.refunded_micro_sparks,
        fee=fee_micro_sparks,
        due=due,
        cents=cents,
        carried=carried,
    )


def note_captured(draft: Draft, retailer_id: str, micro_sparks: MicroSparks) -> None:
    """Count what was taken on today's business day."""
    today = draft.programme.local_day(draft.at_s)
    day = _business_day(draft, retailer_id, today)
    counted = BusinessDay(day.captured_micro_sparks + micro_sparks, day.refunded_micro_sparks)
    draft.put(state.business_key(retailer_id, today), counted)


def note_refunded(draft: Draft, retailer_id: str, micro_sparks: MicroSparks) -> None:
    """Count what was given back on today's business day, whenever the sale was."""
    today = draft.programme.local_day(draft.at_s)
    day = _business_day(draft, retailer_id, today)
    counted = BusinessDay(day.captured_micro_sparks, day.refunded_micro_sparks + micro_sparks)
    draft.put(state.business_key(retailer_id, today), counted)


def _business_day(draft: Draft, retailer_id: str, day: LocalDay) -> BusinessDay:
    return draft.get(state.business_key(retailer_id, day), BusinessDay) or BusinessDay()


def _net_after(draft: Draft, retailer_id: str, day: LocalDay, today: LocalDay) -> MicroSparks:
    later = (_business_day(draft, retailer_id, later_day) for later_day in range(day + 1, today + 1))
    return sum(filed.captured_micro_sparks - filed.refunded_micro_sparks for filed in later)
