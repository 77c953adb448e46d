"""How a customer leaves: the account closed with its final statement, then what the ledger says of them erased.

Programme.md, How sparks live; design.md, Private by collection. Closing neither makes nor loses value: what is left
goes to another customer whole, or is paid out of the reserve in whole cents, and less than a cent stays with the fees.
"""

from typing import Final

from contracts import accounts, participation, state
from contracts.checkout import Authorize, Capture, ExpireHold, IssueCheckoutCode, Refund, Void
from contracts.commands import (
    AttestIdentity,
    ChooseLevel,
    ClaimUnit,
    CloseAccount,
    DecideAgain,
    DeclareLost,
    EnrollCustomer,
    EraseCustomer,
    FreezeCustomer,
    LeaveUnit,
    RecordPack,
)
from contracts.effects import Asset, Draft, Effects, Reason, Rejected
from contracts.state import ROWS, Customer, Earnings
from contracts.units import MICRO_CAD_PER_CENT, MICRO_SPARKS_PER_CENT, MicroSparks

CARRIED: Final = frozenset({"unit", "meter", "claim", "customer", "holdings", "avoided"})
"""Kinds of rows that an erasure may carry: what it wrote that others read, and that no posting tells."""


PERSONAL: Final = frozenset(
    command.KIND
    for command in (
        *(EnrollCustomer, ChooseLevel, AttestIdentity, FreezeCustomer, ClaimUnit, LeaveUnit, CloseAccount),
        *(RecordPack, DeclareLost, DecideAgain),
        *(IssueCheckoutCode, Authorize, Capture, Void, Refund, ExpireHold),
    )
)
"""Kinds of entries that are about one customer, and may be erased."""


def close(draft: Draft, command: CloseAccount) -> Effects | Rejected:
    """Close an account that has no open hold; the answer is the final statement."""
    customer = participation.participant(draft, command.customer_id)
    if isinstance(customer, Rejected):
        return customer
    if accounts.balance(draft, Asset.SPARK, accounts.held(command.customer_id)):
        return Rejected(Reason.INVALID_STATE)
    if command.transfer_to is not None and not _may_receive(draft, command, customer):
        return Rejected(Reason.UNKNOWN_RECIPIENT)
    left = accounts.balance(draft, Asset.SPARK, accounts.customer(command.customer_id))
    paid_cents = 0 if command.transfer_to is not None else left // MICRO_SPARKS_PER_CENT
    if accounts.balance(draft, Asset.CAD, accounts.RESERVE) < paid_cents * MICRO_CAD_PER_CENT:
        return Rejected(Reason.RESERVE_SHORT)
    _empty(draft, command, left, paid_cents * MICRO_SPARKS_PER_CENT)
    lapsed = accounts.lapse(draft, command.customer_id)
    devices = participation.leave_all(draft, command.customer_id)
    earned = draft.get(state.earnings_key(command.customer_id), Earnings) or Earnings()
    gone = Customer(
        customer.customer_id, customer.level, customer.level, 0, enrolled_s=customer.enrolled_s, closed_s=draft.at_s
    )
    draft.put(state.customer_key(command.customer_id), gone)
    return draft.effects(
        customer=command.customer_id,
        balance=left,
        lifetime=earned.minted_micro_sparks,
        lapsed=lapsed,
        paid_cents=paid_cents,
        transferred=left if command.transfer_to is not None else 0,
        to_fees=0 if command.transfer_to is not None else left - paid_cents * MICRO_SPARKS_PER_CENT,
        devices=devices,
    )


def erase(draft: Draft, command: EraseCustomer) -> Effects | Rejected:
    """Name the entries whose private parts every copy erases, and carry the rows with which a later copy goes on."""
    if not _is_well_formed(draft, command):
        return Rejected(Reason.INVALID_ERASURE)
    for key, data in command.rows:
        row = draft.get(key, ROWS[key.partition("/")[0]])
        if row is None or state.to_bytes(row) != data:
            return Rejected(Reason.ROWS_CHANGED)
    customer = draft.get(state.customer_key(command.customer_id), Customer)
    if customer is None:
        return Rejected(Reason.UNKNOWN_CUSTOMER)
    if not customer.closed_s:
        return Rejected(Reason.INVALID_STATE)
    for key_of in (state.holdings_key, state.earnings_key, state.avoided_key, state.spending_key):
        draft.drop(key_of(command.customer_id))
    return draft.effects(customer=command.customer_id, entries=len(command.erased))


def _may_receive(draft: Draft, command: CloseAccount, giver: Customer) -> bool:
    """Somebody else who is still there; and frozen sparks go to nobody but their owner."""
    recipient = command.transfer_to or ""
    is_other = recipient != command.customer_id and not giver.frozen
    return is_other and isinstance(participation.participant(draft, recipient), Customer)


def _empty(draft: Draft, command: CloseAccount, left: MicroSparks, paid: MicroSparks) -> None:
    holder = accounts.customer(command.customer_id)
    if command.transfer_to is not None:
        recipient = accounts.customer(command.transfer_to)
        accounts.move(draft, Asset.SPARK, debit=holder, credit=recipient, amount=left)
        return
    paid_micro_cad = paid // MICRO_SPARKS_PER_CENT * MICRO_CAD_PER_CENT
    accounts.move(draft, Asset.SPARK, debit=holder, credit=accounts.SETTLED, amount=paid)
    accounts.move(draft, Asset.CAD, debit=accounts.RESERVE, credit=accounts.PAID_OUT, amount=paid_micro_cad)
    accounts.move(draft, Asset.SPARK, debit=holder, credit=accounts.FEES, amount=left - paid)


def _is_well_formed(draft: Draft, command: EraseCustomer) -> bool:
    """Entries before this one, each once and in order, never the first; rows by key, of the kinds that are carried."""
    erased, rows = command.erased, command.rows
    if not all(type(index) is int and 0 < index < draft.index for index in erased):
        return False
    if any([type(part) for part in row] != [str, bytes] for row in rows):
        return False
    keys = [key for key, _ in rows]
    if any(key.partition("/")[0] not in CARRIED for key in keys):
        return False
    return list(erased) == sorted(set(erased)) and keys == sorted(set(keys))
