"""Why a till is told no, which reason goes first, and when a code is burnt."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import accounts, state
from contracts.checkout import Authorize, IssueCheckoutCode
from contracts.commands import AttestIdentity, EnrollCustomer, FreezeCustomer
from contracts.memory import Memory
from contracts.redemption import Decline, State
from contracts.state import Account, CheckoutCode, Retailer
from contracts.units import MICRO_SPARKS_PER_CENT
from tests.contracts.builders import (
    CODE,
    a_ledger,
    balance,
    done,
    purchase,
    rejected,
    with_cents,
)

CENT = MICRO_SPARKS_PER_CENT
ANN = accounts.customer("ann")


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


def test_a_code_is_issued_once_to_somebody_for_an_amount_that_can_be_paid():
    view = a_ledger()
    assert rejected(view, IssueCheckoutCode("nobody", CODE, 100)) == "unknown_customer"
    assert rejected(view, IssueCheckoutCode("ann", CODE, 0)) == "invalid_amount"
    assert rejected(view, IssueCheckoutCode("ann", CODE, 100_000_000)) == "invalid_amount"

    assert done(view, IssueCheckoutCode("ann", CODE, 99_999_999))["expires_s"] == view.at_s + 300
    assert rejected(view, IssueCheckoutCode("ann", CODE, 100)) == "code_exists"


def test_an_unverified_customer_earns_only():
    view = with_cents(100)
    done(view, EnrollCustomer("bob", "saver"))
    done(view, IssueCheckoutCode("bob", CODE, 100))

    assert Till(view).ask() == Decline.IDENTITY_REQUIRED
