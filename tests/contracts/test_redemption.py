"""A purchase: its moves, their moments, and its price."""

import itertools
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts import accounts, state
from contracts.checkout import Authorize, Capture, ExpireHold, Refund, Void
from contracts.commands import Command, FreezeCustomer
from contracts.effects import Effects, Rejected
from contracts.execute import execute
from contracts.memory import Memory
from contracts.redemption import MOVES, Decline, Move, State, bonus_cents, price
from contracts.state import Account, Retailer
from contracts.units import DAY_S, MICRO_SPARKS_PER_CENT
from tests.contracts.builders import (
    CODE,
    HOUR_S,
    a_ledger,
    balance,
    buy,
    done,
    purchase,
    rejected,
    with_cents,
)

CENT = MICRO_SPARKS_PER_CENT
ANN, HELD, SHOP = accounts.customer("ann"), accounts.held("ann"), accounts.retailer("SHOP")
HOLD_S = 2 * HOUR_S
YEAR_S = 365 * DAY_S
CENTS = st.integers(1, 99_999_999)
BONUS_BP = st.integers(0, 20_000)


# --- moves -----------------------------------------------------------------------------------------------------------


def in_state(wanted: State) -> Memory:
    """A ledger with one purchase of 1,000 cents, called `sale`, in this state."""
    view = with_cents(500 if wanted == State.DECLINED else 5_000)
    buy(view, 1_000, capture=wanted not in (State.AUTHORIZED, State.RELEASED, State.VOIDED, State.EXPIRED))
    match wanted:
        case State.PARTIALLY_REFUNDED:
            done(view, Refund("SHOP", "sale", 300))
        case State.REFUNDED:
            done(view, Refund("SHOP", "sale", None))
        case State.VOIDED:
            done(view, Void("SHOP", "sale"))
        case State.RELEASED:
            done(view, Capture("SHOP", "sale", 0))
        case State.EXPIRED:
            view.at_s += HOLD_S
            done(view, ExpireHold("sale"))
    assert purchase(view).state == wanted
    return view


COMMANDS: dict[Move, Command] = {
    Move.CAPTURE: Capture("SHOP", "sale", 400),
    Move.CAPTURE_NOTHING: Capture("SHOP", "sale", 0),
    Move.VOID: Void("SHOP", "sale"),
    Move.REFUND_PART: Refund("SHOP", "sale", 100),
    Move.REFUND_REST: Refund("SHOP", "sale", None),
    Move.EXPIRE: ExpireHold("sale"),
}


@pytest.mark.parametrize(("before", "move"), list(itertools.product(State, Move)))
def test_a_purchase_moves_as_the_table_says_and_in_no_other_way(before: State, move: Move):
    view = in_state(before)
    if move == Move.EXPIRE:
        view.at_s += HOLD_S

    answer = execute(view, COMMANDS[move])

    if (before, move) in MOVES:
        assert isinstance(answer, Effects)
        view.apply(answer)
        assert purchase(view).state == MOVES[before, move]
    else:
        assert isinstance(answer, Rejected)
        assert answer.reason == "invalid_state"


def test_a_finished_purchase_never_moves_again():
    finished = set(State) - {before for before, _ in MOVES}

    assert finished == {State.DECLINED, State.REFUNDED, State.VOIDED, State.RELEASED, State.EXPIRED}


@pytest.mark.parametrize("command", [Capture("OTHER", "sale", None), Void("OTHER", "sale"), Refund("OTHER", "sale", 1)])
@pytest.mark.parametrize("before", [State.AUTHORIZED, State.CAPTURED])
def test_another_retailer_does_not_even_learn_that_the_purchase_exists(before: State, command: Command):
    assert rejected(in_state(before), command) == "unknown_authorization"


def test_a_purchase_that_never_was_cannot_move():
    for command in (Capture("SHOP", "x", 1), Void("SHOP", "x"), Refund("SHOP", "x", 1), ExpireHold("x")):
        assert rejected(a_ledger(), command) == "unknown_authorization"


def test_an_authorization_s_id_is_used_once():
    view = in_state(State.CAPTURED)

    assert rejected(view, Authorize("sale", "SHOP", "TILL", 1, CODE, True, "")) == "authorization_exists"


def test_a_sale_is_authorised_and_captured_in_one_message():
    view = with_cents(5_000)
    sale = buy(view, 1_000)

    assert (sale.state, sale.captured_cents, sale.captured_s) == (State.CAPTURED, 1_000, view.at_s)
    assert (balance(view, ANN), balance(view, HELD), balance(view, SHOP)) == (4_000 * CENT, 0, 1_000 * CENT)


def test_a_hold_keeps_its_sparks_from_being_spent_twice():
    view = with_cents(1_500)
    buy(view, 1_000, capture=False)
    assert (balance(view, ANN), balance(view, HELD)) == (500 * CENT, 1_000 * CENT)

    assert buy(view, 501, "second").decline_reason == Decline.INSUFFICIENT_SPARKS
    assert buy(view, 500, "third").state == State.CAPTURED


def test_capturing_part_of_a_hold_gives_the_rest_back():
    view = in_state(State.AUTHORIZED)
    done(view, Capture("SHOP", "sale", 400))

    assert (balance(view, ANN), balance(view, HELD), balance(view, SHOP)) == (4_600 * CENT, 0, 400 * CENT)


def test_a_capture_without_an_amount_takes_the_whole_hold():
    view = in_state(State.AUTHORIZED)
    done(view, Capture("SHOP", "sale", None))

    assert (purchase(view).captured_cents, balance(view, SHOP)) == (1_000, 1_000 * CENT)


@pytest.mark.parametrize(
    ("before", "command", "reason"),
    [
        (State.AUTHORIZED, Capture("SHOP", "sale", 1_001), "capture_above_hold"),
        (State.AUTHORIZED, Capture("SHOP", "sale", -1), "invalid_amount"),
        (State.CAPTURED, Refund("SHOP", "sale", 1_001), "refund_above_sale"),
        (State.PARTIALLY_REFUNDED, Refund("SHOP", "sale", 701), "refund_above_sale"),
        (State.CAPTURED, Refund("SHOP", "sale", 0), "invalid_amount"),
        (State.CAPTURED, Refund("SHOP", "sale", -1), "invalid_amount"),
    ],
)
def test_an_amount_that_does_not_fit_changes_nothing(before: State, command: Command, reason: str):
    view = in_state(before)
    rows = dict(view.rows)

    assert rejected(view, command) == reason
    assert view.rows == rows


# --- moments ---------------------------------------------------------------------------------------------------------


def test_a_hold_ends_at_its_expiry_whether_or_not_it_was_released_yet():
    view = in_state(State.AUTHORIZED)
    expires_s = purchase(view).expires_s
    assert expires_s == view.at_s + HOLD_S

    view.at_s = expires_s - 1
    assert rejected(view, ExpireHold("sale")) == "invalid_state"
    assert isinstance(execute(view, Capture("SHOP", "sale", None)), Effects)
    assert isinstance(execute(view, Void("SHOP", "sale")), Effects)

    view.at_s = expires_s
    assert rejected(view, Capture("SHOP", "sale", None)) == "invalid_state"
    assert rejected(view, Capture("SHOP", "sale", 0)) == "invalid_state"
    assert rejected(view, Void("SHOP", "sale")) == "invalid_state"
    done(view, ExpireHold("sale"))
    assert (balance(view, ANN), balance(view, HELD)) == (5_000 * CENT, 0)


def test_only_an_open_hold_asks_the_ledger_to_act_by_itself():
    view = in_state(State.AUTHORIZED)
    assert state.due_s(purchase(view)) == purchase(view).expires_s
    for finished in set(State) - {State.AUTHORIZED}:
        assert state.due_s(purchase(in_state(finished))) is None


def test_a_captured_sale_is_voided_until_the_last_second_before_local_midnight():
    view = in_state(State.CAPTURED)
    midnight_s = view.programme.next_local_midnight_s(view.at_s)

    view.at_s = midnight_s
    assert rejected(view, Void("SHOP", "sale")) == "invalid_state"
    view.at_s = midnight_s - 1
    done(view, Void("SHOP", "sale"))
    assert (balance(view, ANN), balance(view, SHOP)) == (5_000 * CENT, 0)


def test_the_cut_over_of_a_captured_hold_is_that_of_its_capture():
    view = with_cents(5_000)
    view.at_s = view.programme.next_local_midnight_s(view.at_s) - 60
    buy(view, 1_000, capture=False)
    view.at_s += 120
    done(view, Capture("SHOP", "sale", None))
    view.at_s += 20 * HOUR_S

    assert done(view, Void("SHOP", "sale"))
    assert purchase(view).state == State.VOIDED


def test_a_sale_is_refunded_for_365_days_to_the_second():
    view = in_state(State.CAPTURED)
    view.at_s += YEAR_S + 1
    assert rejected(view, Refund("SHOP", "sale", 1)) == "refund_too_late"

    view.at_s -= 1
    assert purchase_after(view, Refund("SHOP", "sale", 1)).state == State.PARTIALLY_REFUNDED


def purchase_after(view: Memory, command: Command):
    done(view, command)
    return purchase(view)


def test_a_refund_before_anything_else_may_bring_a_retailer_below_zero():
    view = in_state(State.CAPTURED)
    view.rows[state.account_key("spark", SHOP)] = Account(0)
    done(view, Refund("SHOP", "sale", None))

    assert balance(view, SHOP) == -1_000 * CENT


def test_a_frozen_customer_s_hold_is_captured_and_their_sale_refunded():
    view = in_state(State.AUTHORIZED)
    done(view, FreezeCustomer("ann", True))

    done(view, Capture("SHOP", "sale", None))
    done(view, Refund("SHOP", "sale", None))

    assert balance(view, ANN) == 5_000 * CENT


# --- price -----------------------------------------------------------------------------------------------------------


@given(CENTS, BONUS_BP)
def test_a_price_is_the_ceiling_and_the_bonus_never_pays_more_than_the_rest(amount_cents: int, bonus_bp: int):
    cost = price(amount_cents, bonus_bp)

    assert (cost - 1) * (10_000 + bonus_bp) < amount_cents * 10_000_000_000 <= cost * (10_000 + bonus_bp)
    assert 0 <= bonus_cents(amount_cents, bonus_bp) * CENT <= amount_cents * CENT - cost


@given(CENTS, BONUS_BP, st.data())
def test_the_prices_of_the_parts_add_up_to_the_price_of_the_sale(amount_cents: int, bonus_bp: int, data: st.DataObject):
    left_cents, returned = amount_cents, 0
    for _ in range(data.draw(st.integers(0, 5))):
        part_cents = data.draw(st.integers(0, left_cents))
        value = price(left_cents, bonus_bp) - price(left_cents - part_cents, bonus_bp)
        assert 0 <= value <= part_cents * CENT
        returned += value
        left_cents -= part_cents

    assert returned + price(left_cents, bonus_bp) == price(amount_cents, bonus_bp)


@given(
    bonus_bp=BONUS_BP,
    amount_cents=st.integers(1, 5_000),
    captured=st.integers(1, 5_000),
    refunds=st.lists(st.integers(1, 2_000), max_size=4),
)
@settings(max_examples=40)
def test_hold_capture_and_refunds_leave_the_shop_with_the_price_of_what_was_kept(
    bonus_bp: int, amount_cents: int, captured: int, refunds: list[int]
):
    view = with_cents(5_000, bonus_bp=bonus_bp)
    captured = min(captured, amount_cents)
    assert buy(view, amount_cents, capture=False).held_micro_sparks == price(amount_cents, bonus_bp)

    done(view, Capture("SHOP", "sale", captured))
    left_cents = captured
    for refund_cents in refunds:
        if refund_cents <= left_cents:
            done(view, Refund("SHOP", "sale", refund_cents))
            left_cents -= refund_cents

    kept = price(left_cents, bonus_bp)
    assert (balance(view, SHOP), balance(view, HELD), balance(view, ANN)) == (kept, 0, 5_000 * CENT - kept)
    assert purchase(view).refunded_micro_sparks == price(captured, bonus_bp) - kept
    assert (purchase(view).state == State.REFUNDED) == (left_cents == 0)


def test_the_bonus_of_a_sale_is_the_one_of_its_authorisation():
    view = with_cents(5_000, bonus_bp=1_000)
    buy(view, 1_100, capture=False)
    shop = view.rows[state.retailer_key("SHOP")]
    assert isinstance(shop, Retailer)
    view.rows[state.retailer_key("SHOP")] = replace(shop, bonus_bp=0)

    done(view, Capture("SHOP", "sale", None))

    assert balance(view, SHOP) == 1_000 * CENT
