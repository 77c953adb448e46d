"""What the postings alone promise, whatever the contracts say."""

import pytest

from contracts.effects import Posting
from services.ledger.books import Books

FUNDED = [Posting("cad", "utility", -1_000), Posting("cad", "reserve", 1_000)]
MINTED = [Posting("spark", "minted", -100_000), Posting("spark", "customer/ann", 100_000)]


def test_funded_sparks_that_change_hands_break_nothing():
    books = Books()
    sale = [Posting("spark", "customer/ann", -70_000), Posting("spark", "retailer/SHOP", 70_000)]

    assert [broken for legs in (FUNDED, MINTED, sale) for broken in books.post(legs)] == []
    assert books.balances["spark", "customer/ann"] == 30_000


def test_a_retailer_may_owe_what_it_refunded():
    books = Books()
    refund = [Posting("spark", "retailer/SHOP", -5), Posting("spark", "customer/ann", 5)]

    assert [broken for legs in (FUNDED, MINTED, refund) for broken in books.post(legs)] == []


@pytest.mark.parametrize(
    ("legs", "said"),
    [
        ([Posting("cad", "utility", -1), Posting("cad", "reserve", 2)], "sum to 1"),
        ([Posting("spark", "customer/ann", -1), Posting("spark", "fees", 1)], "customer/ann holds -1"),
        ([Posting("spark", "held/ann", -1), Posting("spark", "customer/ann", 1)], "held/ann holds -1"),
        (MINTED, "more sparks"),
    ],
)
def test_a_broken_promise_is_told(legs: list[Posting], said: str):
    assert any(said in broken for broken in Books().post(legs))
