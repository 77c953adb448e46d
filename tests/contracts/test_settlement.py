"""A retailer's business days, closed one after the other."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from contracts import accounts, state
from contracts.checkout import AdmitRetailer, AttestRetailer, Refund, SettleRetailer, Void
from contracts.commands import DepositReserve
from contracts.effects import Asset
from contracts.memory import Memory
from contracts.settlement import fee, split
from contracts.state import Retailer
from contracts.units import DAY_S, MICRO_CAD_PER_CENT, MICRO_SPARKS_PER_CENT
from tests.contracts.builders import a_ledger, balance, buy, done, purchase, rejected, with_cents

CENT = MICRO_SPARKS_PER_CENT
SHOP = accounts.retailer("SHOP")


def today(view: Memory) -> int:
    return view.programme.local_day(view.at_s)


def settle_yesterday(view: Memory) -> dict[str, int]:
    result: dict[str, int] = done(view, SettleRetailer("SHOP", today(view) - 1))
    return result


def test_a_day_is_closed_once_it_is_over_and_in_its_turn():
    view = with_cents(100)
    first = today(view)
    assert rejected(view, SettleRetailer("SHOP", first)) == "invalid_state"

    view.at_s += 2 * DAY_S
    assert rejected(view, SettleRetailer("SHOP", first + 1)) == "invalid_state"
    assert rejected(view, SettleRetailer("SHOP", first - 1)) == "invalid_state"
    done(view, SettleRetailer("SHOP", first))
    assert rejected(view, SettleRetailer("SHOP", first)) == "invalid_state"
    done(view, SettleRetailer("SHOP", first + 1))
    assert rejected(view, SettleRetailer("SHOP", first + 2)) == "invalid_state"


def test_the_cut_over_is_local_midnight():
    view = with_cents(100)
    midnight_s = view.programme.next_local_midnight_s(view.at_s)
    view.at_s = midnight_s - 1
    buy(view, 30, "last second")
    assert rejected(view, SettleRetailer("SHOP", today(view))) == "invalid_state"
    view.at_s = midnight_s
    buy(view, 40, "first second")

    assert settle_yesterday(view)["cents"] == 30
    view.at_s += DAY_S
    assert settle_yesterday(view)["cents"] == 40


def test_a_settlement_burns_what_it_pays_out_of_the_reserve():
    view = with_cents(100, deposit_cents=100)
    buy(view, 60)
    view.at_s += DAY_S

    result = settle_yesterday(view)

    assert result == {"captured": 60 * CENT, "refunded": 0, "fee": 0, "due": 60 * CENT, "cents": 60, "carried": 0}
    assert (balance(view, SHOP), balance(view, accounts.SETTLED)) == (0, 60 * CENT)
    assert balance(view, accounts.RESERVE, Asset.CAD) == 40 * MICRO_CAD_PER_CENT
    assert balance(view, accounts.PAID_OUT, Asset.CAD) == 60 * MICRO_CAD_PER_CENT


def test_a_fraction_of_a_cent_is_carried_to_the_next_day():
    view = with_cents(1_000, bonus_bp=1_000)
    for day in range(3):
        buy(view, 10, f"sale-{day}")
        view.at_s += DAY_S

    carried = [done(view, SettleRetailer("SHOP", today(view) - 3 + day)) for day in range(3)]

    assert [(day["cents"], day["carried"]) for day in carried] == [(9, 90_910), (9, 181_820), (9, 272_730)]
    assert balance(view, SHOP) == 272_730


def test_refunds_above_the_day_s_sales_are_carried_as_a_debt_and_taken_from_later_days():
    view = with_cents(1_000)
    buy(view, 100)
    view.at_s += DAY_S
    settle_yesterday(view)
    done(view, Refund("SHOP", "sale", 70))
    buy(view, 20, "small")
    view.at_s += DAY_S
    assert settle_yesterday(view) | {"fee": 0} == {
        "captured": 20 * CENT,
        "refunded": 70 * CENT,
        "fee": 0,
        "due": -50 * CENT,
        "cents": 0,
        "carried": -50 * CENT,
    }

    buy(view, 80, "large")
    view.at_s += DAY_S
    assert settle_yesterday(view)["cents"] == 30


def test_what_later_days_took_and_gave_back_is_not_paid_with_an_earlier_day():
    view = with_cents(1_000)
    first = today(view)
    buy(view, 100)
    view.at_s += DAY_S
    done(view, Refund("SHOP", "sale", 100))
    buy(view, 250, "later")

    assert done(view, SettleRetailer("SHOP", first))["cents"] == 100
    view.at_s += DAY_S
    assert done(view, SettleRetailer("SHOP", first + 1))["cents"] == 150


def test_a_void_leaves_nothing_of_a_sale_to_settle():
    view = with_cents(1_000)
    buy(view, 100)
    done(view, Void("SHOP", "sale"))
    view.at_s += DAY_S

    result = settle_yesterday(view)

    assert (result["captured"] - result["refunded"], result["cents"]) == (0, 0)


def test_the_fee_is_burned_without_a_payout_and_its_backing_stays():
    view = with_cents(100, deposit_cents=100)
    view.programme = replace(view.programme, settlement_fee_bp=250)
    buy(view, 100)
    view.at_s += DAY_S

    result = settle_yesterday(view)

    assert (result["fee"], result["cents"], result["carried"]) == (2_500_000, 97, 500_000)
    assert balance(view, accounts.FEES) == 2_500_000
    assert balance(view, accounts.RESERVE, Asset.CAD) == 3 * MICRO_CAD_PER_CENT


def test_a_day_with_more_refunds_than_sales_bears_no_fee():
    assert fee(5, 6, 10_000) == 0
    assert fee(40_000, 1, 1) == 3


def test_a_settlement_waits_while_another_retailer_s_debt_leaves_the_reserve_short():
    view = with_cents(100, deposit_cents=100)
    done(view, AdmitRetailer("DELI", "Deli", ("TILL",), 0))
    buy(view, 100)
    view.at_s += DAY_S
    settle_yesterday(view)
    done(view, Refund("SHOP", "sale", None))
    # Ann pays the deli with the refunded sparks, which the shop still owes to the reserve.
    buy(view, 100, "lunch", retailer_id="DELI")
    day = today(view)
    view.at_s += DAY_S
    done(view, SettleRetailer("DELI", day - 1))

    assert rejected(view, SettleRetailer("DELI", day)) == "reserve_short"
    done(view, DepositReserve(100 * MICRO_CAD_PER_CENT, "bridge"))
    assert done(view, SettleRetailer("DELI", day))["cents"] == 100


def test_only_a_retailer_that_was_admitted_is_settled():
    assert rejected(a_ledger(), SettleRetailer("NOBODY", 1)) == "unknown_retailer"


def test_a_retailer_is_admitted_once_with_a_bonus_that_is_no_surcharge():
    view = a_ledger()

    assert rejected(view, AdmitRetailer("SHOP", "Again", ("TILL",), 0)) == "retailer_exists"
    assert rejected(view, AdmitRetailer("DELI", "Deli", ("TILL",), -1)) == "invalid_amount"


@given(st.integers(-(10**12), 10**12))
def test_what_is_due_is_paid_in_whole_cents_or_carried(due):
    cents, carried = split(due)

    assert cents * CENT + carried == due
    assert (cents == 0 and carried == due) if due < 0 else 0 <= carried < CENT


@given(
    st.lists(st.lists(st.tuples(st.booleans(), st.integers(1, 40)), max_size=4), min_size=1, max_size=4),
    st.integers(0, 10_000),
    st.integers(0, 3_000),
)
@settings(max_examples=30)
def test_what_is_paid_carried_and_charged_is_what_was_taken_and_not_given_back(days, fee_bp, bonus_bp):
    view = with_cents(5_000, bonus_bp=bonus_bp)
    view.programme = replace(view.programme, settlement_fee_bp=fee_bp)
    number = 0
    totals = {"captured": 0, "refunded": 0, "fee": 0, "cents": 0}
    result: dict[str, int] = {}
    for sales in days:
        for is_sale, cents in sales:
            number += is_sale
            if is_sale:
                buy(view, cents, f"sale-{number}")
            elif number:
                # A refund above what is left is refused, and then moves nothing.
                sale = purchase(view, f"sale-{number}")
                if cents <= sale.captured_cents - sale.refunded_cents:
                    done(view, Refund("SHOP", f"sale-{number}", cents))
        view.at_s += DAY_S
        result = settle_yesterday(view)
        totals = {name: value + result[name] for name, value in totals.items()}

    net = totals["captured"] - totals["refunded"]
    assert net == totals["fee"] + totals["cents"] * CENT + result["carried"]
    assert balance(view, SHOP) == result["carried"]
    assert balance(view, accounts.FEES) == totals["fee"]


def test_a_provider_s_word_on_a_retailer_stands_on_the_ledger():
    view = with_cents(100)

    done(view, AttestRetailer("SHOP", "verified", "registry", 4_000_000_000))

    shop = view.get(state.retailer_key("SHOP"))
    assert isinstance(shop, Retailer)
    assert (shop.identity, shop.identity_provider, shop.identity_expires_s) == ("verified", "registry", 4_000_000_000)
    assert rejected(view, AttestRetailer("SHOP", "royal", "registry", 1)) == "unknown_identity_level"
    assert rejected(view, AttestRetailer("DELI", "verified", "registry", 1)) == "unknown_retailer"
