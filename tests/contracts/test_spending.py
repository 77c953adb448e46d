"""How much a customer may spend in a day and in thirty, and what is counted."""

import pytest

from contracts.checkout import Capture, ExpireHold, Refund, Void
from contracts.commands import AttestIdentity, Command
from contracts.memory import Memory
from contracts.redemption import Decline, State
from contracts.units import DAY_S
from tests.contracts.builders import (
    FOR_EVER_S,
    HOUR_S,
    MONDAY_NOON_S,
    buy,
    done,
    with_cents,
)

HOLD_S = 2 * HOUR_S


def a_spender(level: str = "verified") -> Memory:
    view = with_cents(9_000_000)
    view.at_s = MONDAY_NOON_S
    done(view, AttestIdentity("ann", level, "bank", FOR_EVER_S))
    return view


@pytest.mark.parametrize(("level", "day_cents"), [("verified", 50_000), ("enhanced", 250_000)])
def test_a_day_s_spending_ends_at_the_limit_of_the_identity_and_begins_anew_at_local_midnight(level, day_cents):
    view = a_spender(level)
    assert buy(view, day_cents + 1, "above").decline_reason == Decline.OVER_LIMIT
    assert buy(view, day_cents, "all").state == State.CAPTURED
    assert buy(view, 1, "more").decline_reason == Decline.OVER_LIMIT

    view.at_s = view.programme.next_local_midnight_s(view.at_s) - 1
    assert buy(view, 1, "late").decline_reason == Decline.OVER_LIMIT
    view.at_s += 1
    assert buy(view, day_cents, "next").state == State.CAPTURED


@pytest.mark.parametrize(("level", "day_cents"), [("verified", 50_000), ("enhanced", 250_000)])
def test_thirty_days_spending_is_that_of_the_day_and_the_29_before(level, day_cents):
    view = a_spender(level)
    for day in range(4):
        assert buy(view, day_cents, f"day-{day}").state == State.CAPTURED
        view.at_s += DAY_S

    view.at_s = MONDAY_NOON_S + 29 * DAY_S
    assert buy(view, 1, "day-29").decline_reason == Decline.OVER_LIMIT
    view.at_s += DAY_S
    assert buy(view, day_cents + 1, "day-30-above").decline_reason == Decline.OVER_LIMIT
    assert buy(view, day_cents, "day-30").state == State.CAPTURED
    assert buy(view, 1, "day-30-more").decline_reason == Decline.OVER_LIMIT


def test_a_hold_counts_as_spent_and_what_is_released_of_it_does_not():
    view = a_spender()
    buy(view, 50_000, capture=False)
    assert buy(view, 1, "more").decline_reason == Decline.OVER_LIMIT

    done(view, Capture("SHOP", "sale", 20_000))
    assert buy(view, 30_001, "above").decline_reason == Decline.OVER_LIMIT
    assert buy(view, 30_000, "rest").state == State.CAPTURED


@pytest.mark.parametrize(
    ("capture", "undo"),
    [
        (False, Void("SHOP", "sale")),
        (False, Capture("SHOP", "sale", 0)),
        (False, ExpireHold("sale")),
        (True, Void("SHOP", "sale")),
        (True, Refund("SHOP", "sale", None)),
    ],
)
def test_what_is_undone_was_not_spent(capture: bool, undo: Command):
    view = a_spender()
    buy(view, 50_000, capture=capture)
    if isinstance(undo, ExpireHold):
        view.at_s += HOLD_S
    done(view, undo)

    assert buy(view, 50_000, "again").state == State.CAPTURED


def test_a_refund_makes_room_on_the_day_of_the_sale_not_on_its_own():
    view = a_spender()
    for day in range(4):
        buy(view, 50_000, f"day-{day}")
        view.at_s += DAY_S
    assert buy(view, 1, "full").decline_reason == Decline.OVER_LIMIT

    done(view, Refund("SHOP", "day-0", 10_000))
    assert buy(view, 10_000, "room").state == State.CAPTURED

    # On day 30 the first day's remaining 40,000 fall out of the thirty days, not the 50,000 once sold.
    view.at_s = MONDAY_NOON_S + 30 * DAY_S
    assert buy(view, 40_001, "above").decline_reason == Decline.OVER_LIMIT
    assert buy(view, 40_000, "rest").state == State.CAPTURED


def test_a_refund_of_a_sale_long_ago_makes_no_room_today():
    view = a_spender()
    buy(view, 50_000)
    view.at_s += 31 * DAY_S
    buy(view, 50_000, "today")
    done(view, Refund("SHOP", "sale", None))

    assert buy(view, 1, "more").decline_reason == Decline.OVER_LIMIT


def test_a_hold_counts_on_the_day_it_was_authorised_though_captured_after_midnight():
    view = a_spender()
    view.at_s = view.programme.next_local_midnight_s(view.at_s) - 60
    buy(view, 50_000, capture=False)
    view.at_s += 60
    done(view, Capture("SHOP", "sale", None))

    assert buy(view, 50_000, "today").state == State.CAPTURED


def test_an_identity_past_its_expiry_is_unverified():
    view = a_spender()
    done(view, AttestIdentity("ann", "verified", "bank", view.at_s + 10))
    view.at_s += 9
    assert buy(view, 1, "before").state == State.CAPTURED
    view.at_s += 1
    assert buy(view, 1, "after").decline_reason == Decline.IDENTITY_REQUIRED
