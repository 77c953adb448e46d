"""Postings, the funded mint, and the one queue of awards that wait for funds."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts import accounts, state
from contracts.checkout import Refund, SettleRetailer
from contracts.commands import DepositReserve, ReleaseDeferred
from contracts.effects import Asset, Draft, Effects
from contracts.execute import execute
from contracts.state import Earnings, Queue
from contracts.units import DAY_S, MICRO_CAD_PER_CENT, MICRO_SPARKS_PER_CENT
from tests.contracts.builders import a_ledger, a_record, award, balance, buy, done, rejected, with_cents

CENT = MICRO_SPARKS_PER_CENT
ANN = accounts.customer("ann")


def queue(view) -> Queue:
    row = view.rows.get(state.QUEUE_KEY, Queue())
    assert isinstance(row, Queue)
    return row


def deposit(view, cents: int) -> None:
    done(view, DepositReserve(cents * MICRO_CAD_PER_CENT, "top-up"))


def test_an_award_up_to_the_last_micro_spark_of_the_reserve_is_minted():
    view = a_ledger(deposit_cents=10)

    assert award(view, 10 * CENT)
    assert not award(view, 1)


def test_an_award_above_the_reserve_waits_whole():
    view = a_ledger(deposit_cents=10)

    assert not award(view, 10 * CENT + 1)

    assert balance(view, ANN) == 0
    assert balance(view, ANN, Asset.DEFERRED) == 10 * CENT + 1


def test_while_an_award_waits_every_later_one_waits_behind_it():
    view = a_ledger(deposit_cents=10)
    award(view, 11 * CENT)

    assert not award(view, 1)
    assert queue(view).tail - queue(view).head == 2


def test_an_award_of_nothing_never_waits():
    view = a_ledger(deposit_cents=0)
    award(view, 1)

    assert award(view, 0)
    assert queue(view).tail == 1


def test_a_deferred_pack_is_said_to_be_and_can_be_spent_only_after_its_release():
    view = a_ledger(deposit_cents=0)
    result = done(view, a_record())
    assert result["deferred"]
    assert balance(view, ANN) == 0

    deposit(view, 1_000)
    assert done(view, ReleaseDeferred())["released"] == [["ann", result["micro_sparks"], view.index - 3]]

    assert balance(view, ANN) == result["micro_sparks"]
    assert balance(view, ANN, Asset.DEFERRED) == 0


def test_lifetime_earnings_count_a_deferred_award_when_it_is_minted():
    view = a_ledger(deposit_cents=0)
    award(view, 3 * CENT)
    assert state.earnings_key("ann") not in view.rows

    deposit(view, 3)
    done(view, ReleaseDeferred())

    assert view.rows[state.earnings_key("ann")] == Earnings(3 * CENT)


def test_a_release_stops_at_the_first_award_that_is_not_funded_though_a_later_one_would_be():
    view = a_ledger(deposit_cents=0)
    for cents in (4, 7, 1):
        award(view, cents * CENT)

    deposit(view, 10)
    assert [micro for _, micro, _ in done(view, ReleaseDeferred())["released"]] == [4 * CENT]

    assert rejected(view, ReleaseDeferred()) == "nothing_to_release"
    deposit(view, 2)
    assert [micro for _, micro, _ in done(view, ReleaseDeferred())["released"]] == [7 * CENT, 1 * CENT]


def test_a_release_takes_at_most_a_thousand_awards_in_the_order_of_their_entries():
    view = a_ledger(deposit_cents=0)
    for _ in range(1_001):
        award(view, 1)
    deposit(view, 10)

    first = done(view, ReleaseDeferred())["released"]
    second = done(view, ReleaseDeferred())["released"]

    assert (len(first), len(second)) == (1_000, 1)
    indices = [index for _, _, index in first + second]
    assert indices == sorted(indices)
    assert queue(view).head == queue(view).tail


def test_after_the_queue_is_empty_awards_are_minted_at_once_again():
    view = a_ledger(deposit_cents=0)
    award(view, CENT)
    deposit(view, 2)
    done(view, ReleaseDeferred())

    assert award(view, CENT)


@pytest.mark.parametrize("empty_handed", [True, False])
def test_nothing_is_released_when_nothing_waits_or_nothing_is_funded(empty_handed):
    view = a_ledger(deposit_cents=0)
    if not empty_handed:
        award(view, 1)

    assert not accounts.can_release(Draft(view))
    assert rejected(view, ReleaseDeferred()) == "nothing_to_release"


def test_a_retailer_that_owes_counts_as_nothing_when_an_award_is_tested():
    view = with_cents(10, deposit_cents=10)
    day = view.programme.local_day(view.at_s)
    buy(view, 10)
    view.at_s += DAY_S
    done(view, SettleRetailer("SHOP", day))
    done(view, Refund("SHOP", "sale", None))
    assert balance(view, accounts.retailer("SHOP")) == -10 * CENT
    deposit(view, 15)

    # With ann are 10 cents; the shop's -10 do not make room for more than 5.
    assert award(view, 5 * CENT)
    assert not award(view, 1)


def test_what_a_retailer_owed_is_forgotten_once_it_has_taken_enough():
    view = with_cents(10, deposit_cents=10)
    day = view.programme.local_day(view.at_s)
    buy(view, 10)
    view.at_s += DAY_S
    done(view, SettleRetailer("SHOP", day))
    done(view, Refund("SHOP", "sale", 6))
    assert queue(view).retailers_owe_micro_sparks == 6 * CENT

    buy(view, 4, "second")
    assert queue(view).retailers_owe_micro_sparks == 2 * CENT
    buy(view, 2, "third")
    assert queue(view).retailers_owe_micro_sparks == 0


@pytest.mark.parametrize("amount_micro_cad", [0, -1])
def test_a_deposit_of_nothing_or_less_is_refused(amount_micro_cad):
    assert rejected(a_ledger(), DepositReserve(amount_micro_cad, "odd")) == "invalid_amount"


def test_a_customer_below_zero_is_a_bug_and_raises():
    draft = Draft(with_cents(1))

    with pytest.raises(ArithmeticError, match="customer/ann"):
        accounts.move(draft, Asset.SPARK, debit=ANN, credit=accounts.retailer("SHOP"), amount=CENT + 1)


def test_a_negative_amount_is_a_bug_and_raises():
    with pytest.raises(ValueError, match="never negative"):
        accounts.move(Draft(a_ledger()), Asset.SPARK, debit=accounts.MINTED, credit=ANN, amount=-1)


AWARD = st.tuples(st.just("award"), st.integers(0, 30))
DEPOSIT = st.tuples(st.just("deposit"), st.integers(1, 40))
RELEASE = st.tuples(st.just("release"), st.just(0))


@given(st.lists(AWARD | DEPOSIT | RELEASE, max_size=40))
@settings(max_examples=100)
def test_awards_are_minted_in_the_order_they_were_earned_and_never_beyond_the_reserve(steps):
    view = a_ledger(deposit_cents=0)
    earned: list[int] = []
    minted: list[int] = []
    for what, cents in steps:
        if what == "award":
            earned += [cents * CENT] if cents else []
            minted += [cents * CENT] if award(view, cents * CENT) and cents else []
        elif what == "deposit":
            deposit(view, cents)
        else:
            assert_released(view, minted)
        assert balance(view, ANN) == sum(minted) <= balance(view, accounts.RESERVE, Asset.CAD) * 100
        assert minted == earned[: len(minted)]
        assert balance(view, ANN, Asset.DEFERRED) == sum(earned[len(minted) :])


def assert_released(view, minted: list[int]) -> None:
    """Release, note what was minted; its postings sum to zero, and `can_release` knew."""
    can = accounts.can_release(Draft(view))
    effects = execute(view, ReleaseDeferred())
    assert isinstance(effects, Effects) == can
    if isinstance(effects, Effects):
        sums: Counter[str] = Counter()
        for asset, _, amount in effects.postings:
            sums[asset] += amount
        assert set(sums.values()) == {0}
        view.apply(effects)
        minted += [micro for _, micro, _ in effects.result["released"]]
