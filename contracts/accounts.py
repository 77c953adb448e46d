"""Who holds how many sparks: postings that sum to zero, holds, the funded mint and the queue of deferred awards.

programme.md, How sparks live. No spark exists that the reserve does not fund, no customer account goes below zero, and
nothing is ever taken back: only the customer's own purchase debits a customer.
"""

from contracts import state
from contracts.commands import DepositReserve, ReleaseDeferred
from contracts.effects import Asset, Draft, Effects, Posting, Reason, Rejected
from contracts.state import Account, Avoided, DeferredAward, Earnings, Queue
from contracts.units import MICRO_SPARKS_PER_MICRO_CAD, MgCo2e, MicroSparks

MINTED = "minted"
SETTLED = "settled"
FEES = "fees"
UTILITY = "utility"
RESERVE = "reserve"
PAID_OUT = "paid_out"
WAITING = "waiting"


def customer(customer_id: str) -> str:
    """The account of what a customer may spend."""
    return f"customer/{customer_id}"


def held(customer_id: str) -> str:
    """The account of what a customer's purchases hold."""
    return f"held/{customer_id}"


def retailer(retailer_id: str) -> str:
    """The account of what a retailer has taken and is not yet settled; below zero through refunds only."""
    return f"retailer/{retailer_id}"


def balance(draft: Draft, asset: Asset, account: str) -> int:
    """The balance of an account, 0 if nothing was ever posted on it."""
    row = draft.get(state.account_key(asset, account), Account)
    return row.balance if row else 0


def move(draft: Draft, asset: Asset, *, debit: str, credit: str, amount: int) -> None:
    """Post `amount` >= 0 from one account to another; a customer's account below zero is a bug and raises."""
    if amount < 0:
        raise ValueError(f"an amount moved is never negative, got {amount}")
    if amount:
        _post(draft, asset, debit, -amount)
        _post(draft, asset, credit, amount)


def mint(draft: Draft, customer_id: str, award_micro_sparks: MicroSparks) -> bool:
    """Credit an award to a customer, or put it into the queue; True if it was minted.

    Funded: outstanding + award <= reserve * 100; while anything waits, every new award waits behind it.
    """
    if award_micro_sparks == 0:
        return True
    queue = draft.get(state.QUEUE_KEY, Queue) or Queue()
    if queue.head == queue.tail and _is_funded(draft, queue, award_micro_sparks):
        _credit(draft, customer_id, award_micro_sparks)
        return True
    draft.put(state.deferred_key(queue.tail), DeferredAward(customer_id, award_micro_sparks, draft.index))
    draft.put(state.QUEUE_KEY, Queue(queue.head, queue.tail + 1, queue.retailers_owe_micro_sparks))
    move(draft, Asset.DEFERRED, debit=WAITING, credit=customer(customer_id), amount=award_micro_sparks)
    return False


def note_avoided(draft: Draft, customer_id: str, avoided_mg_co2e: MgCo2e) -> None:
    """Add to the carbon estimate that the customer is shown."""
    if avoided_mg_co2e:
        key = state.avoided_key(customer_id)
        before = draft.get(key, Avoided) or Avoided()
        draft.put(key, Avoided(before.mg_co2e + avoided_mg_co2e))


def deposit(draft: Draft, command: DepositReserve) -> Effects | Rejected:
    """Pay into the reserve."""
    if command.amount_micro_cad <= 0:
        return Rejected(Reason.INVALID_AMOUNT)
    move(draft, Asset.CAD, debit=UTILITY, credit=RESERVE, amount=command.amount_micro_cad)
    return draft.effects(reserve_micro_cad=balance(draft, Asset.CAD, RESERVE))


def release(draft: Draft, command: ReleaseDeferred) -> Effects | Rejected:
    """Mint from the head of the queue what the reserve now funds, at most `release_awards_max` awards.

    Awards that lapsed with their customer's account are passed and never minted.
    """
    first = queue = draft.get(state.QUEUE_KEY, Queue) or Queue()
    released: list[list[int | str]] = []
    while queue.head < queue.tail and queue.head - first.head < draft.programme.release_awards_max:
        waiting = _waiting_at(draft, queue)
        if not _has_lapsed(draft, waiting):
            if not _is_funded(draft, queue, waiting.micro_sparks):
                break
            holder = customer(waiting.customer_id)
            move(draft, Asset.DEFERRED, debit=holder, credit=WAITING, amount=waiting.micro_sparks)
            _credit(draft, waiting.customer_id, waiting.micro_sparks)
            released.append([waiting.customer_id, waiting.micro_sparks, waiting.index])
        draft.drop(state.deferred_key(queue.head))
        queue = Queue(queue.head + 1, queue.tail, queue.retailers_owe_micro_sparks)
        draft.put(state.QUEUE_KEY, queue)
    if queue.head == first.head:
        return Rejected(Reason.NOTHING_TO_RELEASE)
    return draft.effects(released=released)


def can_release(draft: Draft) -> bool:
    """Would a release command do anything now?"""
    queue = draft.get(state.QUEUE_KEY, Queue) or Queue()
    if queue.head == queue.tail:
        return False
    waiting = _waiting_at(draft, queue)
    return _has_lapsed(draft, waiting) or _is_funded(draft, queue, waiting.micro_sparks)


def lapse(draft: Draft, customer_id: str) -> MicroSparks:
    """Give up all that waits for a customer; a release passes their awards from now on."""
    holder = customer(customer_id)
    lapsed = balance(draft, Asset.DEFERRED, holder)
    move(draft, Asset.DEFERRED, debit=holder, credit=WAITING, amount=lapsed)
    return lapsed


def _waiting_at(draft: Draft, queue: Queue) -> DeferredAward:
    waiting = draft.get(state.deferred_key(queue.head), DeferredAward)
    if waiting is None:
        raise LookupError(f"the queue has no award {queue.head}")
    return waiting


def _has_lapsed(draft: Draft, waiting: DeferredAward) -> bool:
    # What waits for a customer is posted on their account, all of it until they close it, and nothing after.
    return balance(draft, Asset.DEFERRED, customer(waiting.customer_id)) < waiting.micro_sparks


def _is_funded(draft: Draft, queue: Queue, award_micro_sparks: MicroSparks) -> bool:
    """programme.md, Fully funded; a retailer that owes counts as 0 here, and only here."""
    issued = -balance(draft, Asset.SPARK, MINTED)
    gone = balance(draft, Asset.SPARK, SETTLED) + balance(draft, Asset.SPARK, FEES)
    outstanding = issued - gone + queue.retailers_owe_micro_sparks
    reserve_micro_cad = balance(draft, Asset.CAD, RESERVE)
    return outstanding + award_micro_sparks <= reserve_micro_cad * MICRO_SPARKS_PER_MICRO_CAD


def _credit(draft: Draft, customer_id: str, micro_sparks: MicroSparks) -> None:
    move(draft, Asset.SPARK, debit=MINTED, credit=customer(customer_id), amount=micro_sparks)
    key = state.earnings_key(customer_id)
    before = draft.get(key, Earnings) or Earnings()
    draft.put(key, Earnings(before.minted_micro_sparks + micro_sparks))


def _post(draft: Draft, asset: Asset, account: str, amount: int) -> None:
    before = balance(draft, asset, account)
    after = before + amount
    owner = account.partition("/")[0]
    if after < 0 and (owner in ("customer", "held") or account == RESERVE):
        raise ArithmeticError(f"{account} would fall to {after}")
    if owner == "retailer":
        _note_retailer_debt(draft, max(0, -after) - max(0, -before))
    draft.put(state.account_key(asset, account), Account(after))
    draft.postings.append(Posting(asset, account, amount))


def _note_retailer_debt(draft: Draft, change_micro_sparks: MicroSparks) -> None:
    if change_micro_sparks:
        queue = draft.get(state.QUEUE_KEY, Queue) or Queue()
        owed = queue.retailers_owe_micro_sparks + change_micro_sparks
        draft.put(state.QUEUE_KEY, Queue(queue.head, queue.tail, owed))
