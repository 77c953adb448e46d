"""How much a customer may spend: limits by identity level, counted in cents by local day (programme.md, AML)."""

from contracts import state
from contracts.effects import Draft
from contracts.programmes import SpendingLimit
from contracts.state import Customer, Spending
from contracts.units import Cents, LocalDay, UnixSeconds

DAYS = 30


def limit_of(draft: Draft, customer: Customer) -> SpendingLimit | None:
    """The limit of the customer's present identity level; None: may earn only."""
    if draft.at_s >= customer.identity_expires_s:
        return None
    return draft.programme.spending.get(customer.identity)


def is_over(draft: Draft, customer_id: str, amount_cents: Cents, limit: SpendingLimit) -> bool:
    """Would `amount_cents` today pass the limit of the day, or that of this day and the 29 before?"""
    today = draft.programme.local_day(draft.at_s)
    days = _days(draft, customer_id)
    recent_cents = sum(cents for day, cents in days.items() if today - DAYS < day <= today)
    return days.get(today, 0) + amount_cents > limit.day_cents or recent_cents + amount_cents > limit.thirty_days_cents


def count(draft: Draft, customer_id: str, at_s: UnixSeconds, amount_cents: Cents) -> None:
    """Count an authorisation on its local day; days that no limit looks at any more are dropped."""
    day = draft.programme.local_day(at_s)
    days = _days(draft, customer_id)
    days[day] = days.get(day, 0) + amount_cents
    kept = {d: cents for d, cents in days.items() if d > draft.programme.local_day(draft.at_s) - DAYS}
    draft.put(state.spending_key(customer_id), Spending(tuple(sorted(kept.items()))))


def uncount(draft: Draft, customer_id: str, sold_s: UnixSeconds, amount_cents: Cents) -> None:
    """A release, void or refund reduces the day of the sale, if that day still counts."""
    if amount_cents and draft.programme.local_day(sold_s) in _days(draft, customer_id):
        count(draft, customer_id, sold_s, -amount_cents)


def _days(draft: Draft, customer_id: str) -> dict[LocalDay, Cents]:
    return dict((draft.get(state.spending_key(customer_id), Spending) or Spending()).days)
