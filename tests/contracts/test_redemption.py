"""A purchase: its price, its moves, their moments, and why a till is told no."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts import accounts, state
from contracts.commands import (
    AttestIdentity,
    Authorize,
    Capture,
    Command,
    EnrollCustomer,
    ExpireHold,
    FreezeCustomer,
    IssueCheckoutCode,
    Refund,
    Void,
)
from contracts.effects import Effects, Rejected
from contracts.execute import execute
from contracts.memory import Memory
from contracts.redemption import MOVES, Decline, Move, State, bonus_cents, price
from contracts.state import Account, CheckoutCode, Retailer
from contracts.units import DAY_S, MICRO_SPARKS_PER_CENT
from tests.contracts.builders import (
    CODE,
    FOR_EVER_S,
    HOUR_S,
    MONDAY_NOON_S,
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


# --- declines --------------------------------------------------------------------------------------------------------


@dataclass
class Till:
    """A purchase about to be asked for: what it would be, and the ledger it meets."""

    view: Memory
    retailer_id: str = "SHOP"
    terminal_id: str = "TILL"
    amount_cents: int = 100
    code: bytes = CODE
    asked: int = 0

    def ask(self) -> str:
        """Authorise; the reason of the decline, or "captured"."""
        self.asked += 1
        name = f"sale-{self.asked}"
        done(
            self.view,
            Authorize(name, self.retailer_id, self.terminal_id, self.amount_cents, self.code, True, ""),
        )
        return purchase(self.view, name).decline_reason or purchase(self.view, name).state

    def change_code(self, **changes: Any) -> None:
        code = self.view.rows[state.code_key(CODE)]
        assert isinstance(code, CheckoutCode)
        self.view.rows[state.code_key(CODE)] = replace(code, **changes)


def a_till() -> Till:
    view = with_cents(5_000)
    done(view, IssueCheckoutCode("ann", CODE, 1_000))
    return Till(view)


def suspend_retailer(till: Till) -> None:
    shop = till.view.rows[state.retailer_key("SHOP")]
    assert isinstance(shop, Retailer)
    till.view.rows[state.retailer_key("SHOP")] = replace(shop, suspended=True)


def use_other_terminal(till: Till) -> None:
    till.terminal_id = "ELSEWHERE"


def ask_too_much(till: Till) -> None:
    till.amount_cents = 100_000_000


def show_unknown_code(till: Till) -> None:
    till.code = b"?" * 32


def wait_too_long(till: Till) -> None:
    till.view.at_s += 300


def use_the_code(till: Till) -> None:
    till.change_code(used=True)


def freeze(till: Till) -> None:
    done(till.view, FreezeCustomer("ann", True))


def lose_identity(till: Till) -> None:
    done(till.view, AttestIdentity("ann", "enhanced", "bank", till.view.at_s))


def lower_the_code_s_limit(till: Till) -> None:
    till.change_code(max_cents=99)


def spend_everything(till: Till) -> None:
    till.view.rows[state.account_key("spark", ANN)] = Account(0)


BREAK: dict[Decline, Callable[[Till], None]] = {
    Decline.RETAILER_SUSPENDED: suspend_retailer,
    Decline.TERMINAL_UNKNOWN: use_other_terminal,
    Decline.AMOUNT_INVALID: ask_too_much,
    Decline.CODE_UNKNOWN: show_unknown_code,
    Decline.CODE_EXPIRED: wait_too_long,
    Decline.CODE_USED: use_the_code,
    Decline.CUSTOMER_FROZEN: freeze,
    Decline.IDENTITY_REQUIRED: lose_identity,
    Decline.OVER_LIMIT: lower_the_code_s_limit,
    Decline.INSUFFICIENT_SPARKS: spend_everything,
}
COUNTED = {Decline.CUSTOMER_FROZEN, Decline.IDENTITY_REQUIRED, Decline.OVER_LIMIT, Decline.INSUFFICIENT_SPARKS}


def test_nothing_is_declined_without_a_reason():
    assert list(BREAK) == list(Decline)
    assert a_till().ask() == State.CAPTURED


@pytest.mark.parametrize(("first", "second"), list(itertools.combinations(Decline, 2)))
def test_of_two_reasons_the_one_that_goes_first_is_told(first: Decline, second: Decline):
    till = a_till()
    BREAK[second](till)
    BREAK[first](till)

    assert till.ask() == first


@pytest.mark.parametrize("reason", Decline)
def test_a_third_decline_burns_the_code_if_its_reason_is_the_customer_s(reason: Decline):
    till = a_till()
    BREAK[reason](till)
    assert [till.ask() for _ in range(4)] == [reason] * 3 + [Decline.CODE_USED if reason in COUNTED else reason]

    code = till.view.rows[state.code_key(CODE)]
    assert isinstance(code, CheckoutCode)
    assert code.declines == (3 if reason in COUNTED else 0)


def test_after_two_declines_the_code_still_pays():
    till = a_till()
    till.amount_cents = 1_001
    assert [till.ask(), till.ask()] == [Decline.OVER_LIMIT] * 2

    till.amount_cents = 1_000
    assert till.ask() == State.CAPTURED
    assert till.ask() == Decline.CODE_USED


def test_a_code_pays_until_the_last_second_before_its_expiry():
    till = a_till()
    till.view.at_s += 299

    assert till.ask() == State.CAPTURED


def test_a_declined_purchase_moves_no_sparks_and_says_nothing_of_the_customer():
    till = a_till()
    BREAK[Decline.CUSTOMER_FROZEN](till)
    till.ask()

    assert balance(till.view, ANN) == 5_000 * CENT
    assert purchase(till.view, "sale-1").customer_id == ""


def test_a_retailer_that_is_not_there_has_no_purchases():
    till = a_till()

    assert rejected(till.view, Authorize("x", "NOBODY", "TILL", 1, CODE, True, "")) == "unknown_retailer"


@given(st.integers())
def test_any_amount_is_answered(amount_cents: int):
    till = a_till()
    till.amount_cents = amount_cents
    reason = till.ask()

    assert (reason == Decline.AMOUNT_INVALID) == (not 1 <= amount_cents <= 99_999_999)


# --- codes -----------------------------------------------------------------------------------------------------------


def test_a_code_is_issued_once_to_somebody_for_an_amount_that_can_be_paid():
    view = a_ledger()
    assert rejected(view, IssueCheckoutCode("nobody", CODE, 100)) == "unknown_customer"
    assert rejected(view, IssueCheckoutCode("ann", CODE, 0)) == "invalid_amount"
    assert rejected(view, IssueCheckoutCode("ann", CODE, 100_000_000)) == "invalid_amount"

    assert done(view, IssueCheckoutCode("ann", CODE, 99_999_999))["expires_s"] == view.at_s + 300
    assert rejected(view, IssueCheckoutCode("ann", CODE, 100)) == "code_exists"


# --- spending limits -------------------------------------------------------------------------------------------------


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


def test_an_unverified_customer_earns_only():
    view = with_cents(100)
    done(view, EnrollCustomer("bob", "saver"))
    done(view, IssueCheckoutCode("bob", CODE, 100))

    assert Till(view).ask() == Decline.IDENTITY_REQUIRED
