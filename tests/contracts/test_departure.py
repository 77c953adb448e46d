"""Closing an account and erasing a customer: no value is lost or made, and nothing goes to or from who has left."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import accounts, state
from contracts.checkout import Authorize, IssueCheckoutCode, Refund, Void
from contracts.commands import (
    AttestIdentity,
    ChooseLevel,
    ClaimUnit,
    CloseAccount,
    Command,
    DepositReserve,
    EnrollCustomer,
    EraseCustomer,
    FreezeCustomer,
    ReleaseDeferred,
)
from contracts.effects import Asset, Draft, Effects
from contracts.state import Customer, Holdings, Queue, Unit
from contracts.units import MICRO_CAD_PER_CENT, MICRO_SPARKS_PER_CENT
from tests.contracts.builders import (
    CODE,
    a_ledger,
    a_record,
    award,
    balance,
    buy,
    do,
    done,
    hash_of,
    purchase,
    rejected,
    with_cents,
)

CENT = MICRO_SPARKS_PER_CENT
ANN, BOB = accounts.customer("ann"), accounts.customer("bob")
CLOSE = CloseAccount("ann", None)


def carried(view, *keys: str) -> tuple[tuple[str, bytes], ...]:
    return tuple((key, state.to_bytes(view.rows[key])) for key in sorted(keys))


def an_erasure(view, *erased: int) -> EraseCustomer:
    return EraseCustomer("ann", erased, carried(view, state.customer_key("ann")))


def test_the_final_statement_says_what_there_was_and_what_became_of_it():
    view = with_cents(12)
    award(view, 345)

    assert done(view, CLOSE) == {
        "customer": "ann",
        "balance": 12 * CENT + 345,
        "lifetime": 12 * CENT + 345,
        "lapsed": 0,
        "paid_cents": 12,
        "transferred": 0,
        "to_fees": 345,
        "devices": ["unit-1"],
    }


@given(st.integers(0, 3 * CENT), st.booleans())
def test_what_is_left_is_paid_or_transferred_and_no_value_is_lost_or_made(micro_sparks, is_transferred):
    view = a_ledger(deposit_cents=3)
    done(view, EnrollCustomer("bob", "saver"))
    award(view, micro_sparks)

    effects = do(view, CloseAccount("ann", "bob" if is_transferred else None))

    assert isinstance(effects, Effects)
    for asset in Asset:
        assert sum(posting.amount for posting in effects.postings if posting.asset == asset) == 0
    paid = 0 if is_transferred else micro_sparks // CENT
    assert balance(view, ANN) == 0
    assert balance(view, BOB) == (micro_sparks if is_transferred else 0)
    assert balance(view, accounts.SETTLED) == paid * CENT
    assert balance(view, accounts.FEES) == (0 if is_transferred else micro_sparks - paid * CENT)
    assert balance(view, accounts.PAID_OUT, Asset.CAD) == paid * MICRO_CAD_PER_CENT
    assert balance(view, accounts.RESERVE, Asset.CAD) == (3 - paid) * MICRO_CAD_PER_CENT


def test_an_account_with_an_open_hold_stays_open_and_untouched():
    view = with_cents(10)
    buy(view, 3, capture=False)

    assert rejected(view, CLOSE) == "invalid_state"

    done(view, Void("SHOP", "sale"))
    assert done(view, CLOSE)["paid_cents"] == 10


def test_units_are_left_and_a_later_holder_starts_anew():
    view = a_ledger()
    assert done(view, CLOSE)["devices"] == ["unit-1"]

    unit, holdings = view.rows[state.unit_key("unit-1")], view.rows[state.holdings_key("ann")]
    assert isinstance(unit, Unit)
    assert isinstance(holdings, Holdings)
    assert (unit.holder, unit.had_holder) == (None, True)
    assert [until_s for _, _, until_s in holdings.units] == [view.at_s]


def test_deferred_awards_lapse_and_the_queue_goes_on_without_them():
    view = a_ledger(deposit_cents=0)
    done(view, EnrollCustomer("bob", "saver"))
    award(view, 4 * CENT)
    award(view, 2 * CENT, "bob")
    award(view, 7 * CENT)

    assert done(view, CLOSE)["lapsed"] == 11 * CENT
    assert accounts.can_release(Draft(view))
    assert done(view, ReleaseDeferred())["released"] == []  # ann's is passed, bob's is not funded yet
    done(view, DepositReserve(2 * MICRO_CAD_PER_CENT, "top-up"))
    assert done(view, ReleaseDeferred())["released"] == [["bob", 2 * CENT, view.index - 6]]

    assert (balance(view, ANN), balance(view, BOB)) == (0, 2 * CENT)
    assert balance(view, accounts.WAITING, Asset.DEFERRED) == 0
    assert view.rows[state.QUEUE_KEY] == Queue(3, 3)
    assert rejected(view, ReleaseDeferred()) == "nothing_to_release"


def test_a_closed_account_keeps_a_pseudonym_and_no_identity():
    view = a_ledger()
    done(view, CLOSE)

    gone = view.rows[state.customer_key("ann")]

    assert isinstance(gone, Customer)
    assert (gone.identity, gone.identity_provider, gone.identity_expires_s) == ("unverified", "", 0)
    assert gone.closed_s == view.at_s


@pytest.mark.parametrize(
    "command",
    [
        CLOSE,
        ChooseLevel("ann", "partner"),
        AttestIdentity("ann", "verified", "bank", 4_000_000_000),
        FreezeCustomer("ann", True),
        ClaimUnit("ann", b"k" * 32),
        IssueCheckoutCode("ann", b"n" * 32, 100),
    ],
    ids=lambda command: command.KIND,
)
def test_nothing_is_done_for_a_closed_account(command: Command):
    view = a_ledger()
    done(view, CLOSE)

    assert rejected(view, command) == "customer_closed"


def test_a_closed_account_is_not_opened_by_enrolling_again():
    view = a_ledger()
    done(view, CLOSE)

    assert rejected(view, EnrollCustomer("ann", "saver")) == "customer_exists"


@pytest.mark.parametrize("command", [Refund("SHOP", "sale", 1), Refund("SHOP", "sale", None), Void("SHOP", "sale")])
def test_no_refund_or_void_goes_to_a_closed_account(command):
    view = with_cents(10)
    buy(view, 3)
    done(view, CLOSE)

    assert rejected(view, command) == "customer_closed"
    assert rejected(view, Refund("SHOP", "sale", 4)) == "refund_above_sale"


def test_a_code_of_a_closed_account_is_unknown():
    view = with_cents(10)
    done(view, IssueCheckoutCode("ann", CODE, 1_000))
    done(view, CLOSE)

    done(view, Authorize("late", "SHOP", "TILL", 1, CODE, True, ""))

    assert purchase(view, "late").decline_reason == "code_unknown"


@pytest.mark.parametrize("recipient", ["ann", "nobody", "carl"])
def test_what_is_left_goes_only_to_another_customer_who_is_there(recipient):
    view = a_ledger()
    done(view, EnrollCustomer("carl", "saver"))
    done(view, CloseAccount("carl", None))

    assert rejected(view, CloseAccount("ann", recipient)) == "unknown_recipient"


def test_frozen_sparks_are_paid_out_and_never_transferred():
    view = with_cents(2)
    done(view, EnrollCustomer("bob", "saver"))
    done(view, FreezeCustomer("ann", True))

    assert rejected(view, CloseAccount("ann", "bob")) == "unknown_recipient"
    assert done(view, CLOSE)["paid_cents"] == 2


def test_who_never_earned_closes_with_nothing():
    view = a_ledger(claimed=False)

    assert done(view, CLOSE)["balance"] == 0
    assert rejected(view, CloseAccount("nobody", None)) == "unknown_customer"


def test_an_erasure_takes_the_customer_s_own_rows_and_leaves_the_units():
    view = a_ledger()
    done(view, a_record())
    done(view, CLOSE)
    unit = view.rows[state.unit_key("unit-1")]
    keys = (state.unit_key("unit-1"), state.meter_key("unit-1"), state.customer_key("ann"))

    assert done(view, EraseCustomer("ann", (1, 2, 4), carried(view, *keys))) == {"customer": "ann", "entries": 3}

    assert view.rows[state.unit_key("unit-1")] == unit
    own = (state.holdings_key, state.earnings_key, state.avoided_key, state.spending_key)
    assert not any(key_of("ann") in view.rows for key_of in own)
    assert rejected(view, EnrollCustomer("ann", "saver")) == "customer_exists"


def test_only_who_has_left_is_erased():
    view = a_ledger()

    assert rejected(view, an_erasure(view)) == "invalid_state"
    assert rejected(view, EraseCustomer("nobody", (), ())) == "unknown_customer"


def test_a_carried_row_is_the_one_that_is_there_now():
    view = a_ledger()
    done(view, a_record())
    done(view, CLOSE)
    stale = EraseCustomer("ann", (), carried(view, state.meter_key("unit-1")))
    done(view, a_record(2, hash_of(a_record())))

    assert rejected(view, stale) == "rows_changed"
    assert rejected(view, EraseCustomer("ann", (), ((state.unit_key("none"), b"\x80"),))) == "rows_changed"


@pytest.mark.parametrize(
    ("erased", "rows"),
    [
        ((0,), ()),
        ((-1,), ()),
        ((3, 2), ()),
        ((2, 2), ()),
        ((1_000,), ()),
        ((True,), ()),
        (("1",), ()),
        ((), (("account/spark/reserve", b""),)),
        ((), (("unit/unit-1",),)),
        ((), ((1, b""),)),
        ((), (("unit/unit-1", "text"),)),
        ((), (("unit/b", b""), ("unit/a", b""))),
    ],
)
def test_an_erasure_of_another_form_is_refused(erased, rows):
    view = a_ledger()
    done(view, CLOSE)

    assert rejected(view, EraseCustomer("ann", erased, rows)) == "invalid_erasure"
