"""The daily statement: its figures follow from the books alone, and what is proven must be what they hold."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts import state
from contracts.checkout import Refund, SettleRetailer
from contracts.closing import CloseBooks, PublishStatement
from contracts.commands import CloseAccount, EnrollCustomer
from contracts.effects import Asset
from contracts.memory import Memory
from contracts.state import Account, Statement
from contracts.units import DAY_S, MICRO_CAD_PER_CENT, MICRO_SPARKS_PER_CENT
from tests.contracts.builders import a_ledger, award, buy, done, rejected, with_cents
from tests.contracts.story import FREQUENT, MAKERS, a_town

CENT = MICRO_SPARKS_PER_CENT
ROOT = b"r" * 32


def yesterday(view: Memory) -> int:
    return view.programme.local_day(view.at_s) - 1


def closed(view: Memory) -> dict[str, int]:
    """Close the books for yesterday; the figures."""
    return done(view, CloseBooks(yesterday(view)))


def publishing(view: Memory, **changes: object) -> PublishStatement:
    """What publishes yesterday's statement, but for `changes`."""
    row = view.rows[state.statement_key(yesterday(view))]
    assert isinstance(row, Statement)
    right = PublishStatement(yesterday(view), ROOT, 8, row.outstanding_micro_sparks, row.deferred_micro_sparks)
    return replace(right, **changes)  # type: ignore[arg-type]


def owed(view: Memory, asset: Asset, *owners: str) -> int:
    """What all accounts of these owners hold; who owes counts as 0."""
    prefixes = tuple(state.account_key(asset, f"{owner}/") for owner in owners)
    rows = [row for key, row in view.rows.items() if key.startswith(prefixes) and isinstance(row, Account)]
    return sum(max(0, row.balance) for row in rows)


def test_the_figures_are_those_of_the_books():
    view = with_cents(100, deposit_cents=100)
    buy(view, 30, "first")
    view.at_s += DAY_S
    done(view, SettleRetailer("SHOP", yesterday(view)))
    buy(view, 20, "second")
    assert not award(view, 75 * CENT)

    figures = closed(view)

    assert figures["reserve_micro_cad"] == 70 * MICRO_CAD_PER_CENT
    assert figures["paid_out_micro_cad"] == 30 * MICRO_CAD_PER_CENT
    assert figures["issued_micro_sparks"] == 100 * CENT
    assert figures["outstanding_micro_sparks"] == 70 * CENT
    assert figures["settled_micro_sparks"] == 30 * CENT
    assert figures["fees_micro_sparks"] == 0
    assert figures["deferred_micro_sparks"] == 75 * CENT
    assert (figures["closed_at"], figures["closed_s"]) == (view.index - 1, view.at_s)


def test_a_retailer_that_owes_is_no_part_of_what_is_owed():
    view = with_cents(100)
    buy(view, 30, "sale")
    view.at_s += DAY_S
    done(view, SettleRetailer("SHOP", yesterday(view)))
    done(view, Refund("SHOP", "sale", 10))

    figures = closed(view)

    assert figures["owed_by_retailers_micro_sparks"] == 10 * CENT
    assert figures["outstanding_micro_sparks"] == 80 * CENT == owed(view, Asset.SPARK, "customer", "held", "retailer")


@settings(max_examples=25)
@given(st.data())
def test_whatever_happened_the_figures_add_up_and_count_every_balance(data: st.DataObject):
    story = a_town(deposit_cents=data.draw(st.sampled_from([5, 50])))
    kinds = st.sampled_from([*MAKERS, *FREQUENT])

    def dice(sides: int) -> int:
        return data.draw(st.integers(0, sides - 1))

    for _ in range(data.draw(st.integers(0, 25))):
        story.wait(dice)
        story.tell(story.command(data.draw(kinds), dice))
    view = story.view
    view.at_s += DAY_S

    figures = closed(view)

    assert figures["outstanding_micro_sparks"] == owed(view, Asset.SPARK, "customer", "held", "retailer")
    assert figures["deferred_micro_sparks"] == owed(view, Asset.DEFERRED, "customer")
    assert figures["issued_micro_sparks"] == (
        figures["outstanding_micro_sparks"]
        - figures["owed_by_retailers_micro_sparks"]
        + figures["settled_micro_sparks"]
        + figures["fees_micro_sparks"]
    )
    done(view, publishing(view))


def test_the_books_are_closed_for_the_day_that_is_just_over_and_once():
    view = a_ledger()
    today = view.programme.local_day(view.at_s)
    for day in (today, today + 1, today - 2, -1):
        assert rejected(view, CloseBooks(day)) == "invalid_day"

    done(view, CloseBooks(today - 1))

    assert rejected(view, CloseBooks(today - 1)) == "statement_exists"


def test_a_day_is_over_at_local_midnight():
    view = a_ledger()
    today = view.programme.local_day(view.at_s)
    view.at_s = view.programme.next_local_midnight_s(view.at_s) - 1
    assert rejected(view, CloseBooks(today)) == "invalid_day"

    view.at_s += 1

    done(view, CloseBooks(today))


def test_what_is_published_says_all_that_was_closed_and_the_root():
    view = with_cents(100)
    figures = closed(view)
    award(view, 7)

    published = done(view, publishing(view))

    assert published == figures | {"root": ROOT, "depth": 8, "published_at": view.index - 1}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"micro_sparks": 100 * CENT - 1}, "total_differs"),
        ({"micro_sparks": 100 * CENT + 1}, "total_differs"),
        ({"deferred_micro_sparks": 1}, "total_differs"),
        ({"root": b"r" * 31}, "invalid_root"),
        ({"root": b""}, "invalid_root"),
        ({"depth": 7}, "invalid_root"),
        ({"depth": 41}, "invalid_root"),
        ({"day": 1}, "unknown_statement"),
    ],
)
def test_a_proof_of_anything_else_than_what_the_books_hold_is_refused(changes: dict[str, object], reason: str):
    view = with_cents(100)
    closed(view)

    assert rejected(view, publishing(view, **changes)) == reason


def test_a_statement_is_published_once():
    view = with_cents(100)
    closed(view)
    done(view, publishing(view))

    assert rejected(view, publishing(view)) == "statement_exists"
    assert rejected(view, publishing(view, root=b"s" * 32)) == "statement_exists"


def test_the_figures_cost_the_same_with_any_number_of_customers():
    read: list[int] = []
    for customers in (1, 30):
        view = with_cents(100)
        for number in range(customers):
            done(view, EnrollCustomer(f"customer-{number}", "saver"))
            award(view, CENT, f"customer-{number}")
        looked = _Counting(view.programme, at_s=view.at_s, rows=view.rows)
        closed(looked)
        read.append(looked.reads)

    assert read[0] == read[1]


class _Counting(Memory):
    reads = 0

    def get(self, key: str):
        self.reads += 1
        return super().get(key)


def test_deferred_awards_that_lapsed_are_not_deferred_any_more():
    view = with_cents(100, deposit_cents=100)
    done(view, EnrollCustomer("bob", "saver"))
    award(view, 5 * CENT, "bob")
    award(view, 6 * CENT)
    done(view, CloseAccount("bob", None))

    assert closed(view)["deferred_micro_sparks"] == 6 * CENT
