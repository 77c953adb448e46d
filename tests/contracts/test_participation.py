"""Customers: their level, identity and freeze, and the units they hold."""

import pytest

from contracts import programmes, state
from contracts.commands import (
    AttestIdentity,
    ChooseLevel,
    ClaimUnit,
    EnrollCustomer,
    FreezeCustomer,
    IssueClaimCode,
    LeaveUnit,
)
from contracts.memory import Memory
from contracts.state import Claim, Customer, Holdings, Unit
from contracts.units import DAY_S
from tests.contracts.builders import FOR_EVER_S, HOUR_S, MONDAY_NOON_S, a_ledger, a_record, do, done, rejected

FIRST_CODE, NEW_CODE = b"k" * 32, b"n" * 32
CODE_S = 90 * DAY_S


def customer(view: Memory, customer_id: str = "ann") -> Customer:
    row = view.rows[state.customer_key(customer_id)]
    assert isinstance(row, Customer)
    return row


def unit(view: Memory) -> Unit:
    row = view.rows[state.unit_key("unit-1")]
    assert isinstance(row, Unit)
    return row


def holdings(view: Memory, customer_id: str) -> Holdings | None:
    row = view.rows.get(state.holdings_key(customer_id))
    assert row is None or isinstance(row, Holdings)
    return row


@pytest.mark.parametrize(
    "command",
    [
        ChooseLevel("nobody", "saver"),
        AttestIdentity("nobody", "verified", "bank", FOR_EVER_S),
        FreezeCustomer("nobody", True),
        ClaimUnit("nobody", FIRST_CODE),
    ],
)
def test_nothing_can_be_done_for_somebody_who_is_not_enrolled(command):
    assert rejected(a_ledger(claimed=False), command) == "unknown_customer"


def test_a_customer_enrolls_once_at_a_level_that_exists():
    view = Memory(programmes.load(), at_s=MONDAY_NOON_S)
    assert rejected(view, EnrollCustomer("ann", "hero")) == "unknown_level"
    done(view, EnrollCustomer("ann", "observer"))

    assert rejected(view, EnrollCustomer("ann", "observer")) == "customer_exists"
    enrolled = customer(view)
    assert (enrolled.level, enrolled.level_before, enrolled.level_from_s) == ("observer", "observer", 0)
    assert (enrolled.enrolled_s, enrolled.frozen, enrolled.identity) == (MONDAY_NOON_S, False, "unverified")


def levels(view: Memory) -> tuple[str, str, int]:
    return customer(view).level_before, customer(view).level, customer(view).level_from_s


def test_a_new_level_holds_from_the_next_local_midnight():
    view = a_ledger(at_s=MONDAY_NOON_S)
    midnight_s = MONDAY_NOON_S + 12 * HOUR_S

    assert done(view, ChooseLevel("ann", "partner")) == {"level": "partner", "effective_s": midnight_s}
    assert levels(view) == ("saver", "partner", midnight_s)
    view.at_s = midnight_s - 1
    assert done(view, ChooseLevel("ann", "partner"))["effective_s"] == midnight_s


def test_a_level_chosen_at_midnight_holds_from_the_midnight_after():
    midnight_s = MONDAY_NOON_S + 12 * HOUR_S
    view = a_ledger(at_s=midnight_s)

    assert done(view, ChooseLevel("ann", "partner"))["effective_s"] == midnight_s + DAY_S


def test_a_change_of_mind_before_midnight_replaces_the_change_still_to_come():
    view = a_ledger(at_s=MONDAY_NOON_S)
    done(view, ChooseLevel("ann", "partner"))
    done(view, ChooseLevel("ann", "observer"))

    assert levels(view) == ("saver", "observer", MONDAY_NOON_S + 12 * HOUR_S)


def test_one_step_back_is_kept_when_a_change_has_taken_effect():
    view = a_ledger(at_s=MONDAY_NOON_S)
    done(view, ChooseLevel("ann", "partner"))
    view.at_s = MONDAY_NOON_S + 12 * HOUR_S
    done(view, ChooseLevel("ann", "observer"))

    assert levels(view) == ("partner", "observer", MONDAY_NOON_S + 36 * HOUR_S)


def test_a_level_that_does_not_exist_is_not_chosen():
    assert rejected(a_ledger(), ChooseLevel("ann", "hero")) == "unknown_level"


@pytest.mark.parametrize("level", ["unverified", "verified", "enhanced"])
def test_an_identity_is_attested_at_a_known_level(level):
    view = a_ledger()
    done(view, AttestIdentity("ann", level, "post", 7))

    attested = customer(view)
    assert (attested.identity, attested.identity_provider, attested.identity_expires_s) == (level, "post", 7)
    assert rejected(view, AttestIdentity("ann", "royal", "post", 7)) == "unknown_identity_level"


def test_freezing_and_unfreezing_may_be_repeated():
    view = a_ledger()
    for frozen in (True, True, False, False):
        done(view, FreezeCustomer("ann", frozen))
        assert customer(view).frozen is frozen


def test_a_claim_code_works_once():
    view = a_ledger(claimed=False)
    assert done(view, ClaimUnit("ann", FIRST_CODE)) == {"device": "unit-1"}

    assert (unit(view).holder, unit(view).held_from_s, unit(view).had_holder) == ("ann", view.at_s, False)
    assert holdings(view, "ann") == Holdings((("unit-1", view.at_s, 0),))
    assert rejected(view, ClaimUnit("ann", FIRST_CODE)) == "unknown_claim_code"
    assert rejected(view, ClaimUnit("ann", b"?" * 32)) == "unknown_claim_code"


def test_a_claim_code_ends_after_90_days():
    view = a_ledger(claimed=False)
    view.at_s += CODE_S
    assert rejected(view, ClaimUnit("ann", FIRST_CODE)) == "claim_code_expired"

    view.at_s -= 1
    done(view, ClaimUnit("ann", FIRST_CODE))


def test_a_new_claim_code_ends_the_one_before():
    view = a_ledger(claimed=False)
    assert done(view, IssueClaimCode("unit-1", NEW_CODE)) == {"device": "unit-1", "expires_s": view.at_s + CODE_S}

    assert rejected(view, ClaimUnit("ann", FIRST_CODE)) == "unknown_claim_code"
    done(view, ClaimUnit("ann", NEW_CODE))


def test_a_claim_code_is_issued_for_a_unit_that_exists_and_never_twice():
    view = a_ledger(claimed=False)

    assert rejected(view, IssueClaimCode("unit-2", NEW_CODE)) == "unknown_device"
    assert rejected(view, IssueClaimCode("unit-1", FIRST_CODE)) == "claim_code_exists"


def test_moving_out_leaves_the_unit_to_nobody_until_it_is_claimed_again():
    view = a_ledger()
    claimed_s = view.at_s
    done(view, IssueClaimCode("unit-1", NEW_CODE))
    view.at_s += 10
    done(view, LeaveUnit("ann", "unit-1"))
    assert (unit(view).holder, unit(view).had_holder) == (None, True)
    assert holdings(view, "ann") == Holdings((("unit-1", claimed_s, view.at_s),))

    view.at_s += 10
    done(view, ClaimUnit("ann", NEW_CODE))
    assert (unit(view).holder, unit(view).held_from_s, unit(view).had_holder) == ("ann", view.at_s, True)
    assert holdings(view, "ann") == Holdings((("unit-1", claimed_s, view.at_s - 10), ("unit-1", view.at_s, 0)))


def test_only_the_holder_moves_out_and_only_once():
    view = a_ledger()
    done(view, EnrollCustomer("bob", "saver"))
    assert rejected(view, LeaveUnit("bob", "unit-1")) == "unknown_device"
    assert rejected(view, LeaveUnit("ann", "unit-2")) == "unknown_device"

    done(view, LeaveUnit("ann", "unit-1"))
    assert rejected(view, LeaveUnit("ann", "unit-1")) == "unknown_device"


def test_a_new_holder_with_a_new_code_ends_the_holding_of_the_one_before():
    view = a_ledger()
    claimed_s = view.at_s
    done(view, EnrollCustomer("bob", "saver"))
    done(view, IssueClaimCode("unit-1", NEW_CODE))
    view.at_s += 5
    done(view, ClaimUnit("bob", NEW_CODE))

    assert (unit(view).holder, unit(view).had_holder) == ("bob", True)
    assert holdings(view, "ann") == Holdings((("unit-1", claimed_s, view.at_s),))
    assert holdings(view, "bob") == Holdings((("unit-1", view.at_s, 0),))


def test_a_rejected_claim_uses_no_code():
    view = a_ledger(claimed=False)
    do(view, ClaimUnit("nobody", FIRST_CODE))

    assert isinstance(view.rows[state.claim_key(FIRST_CODE)], Claim)


def test_a_holder_who_claims_the_unit_again_is_no_earlier_holder() -> None:
    view = a_ledger()
    done(view, IssueClaimCode("unit-1", b"n" * 32))
    done(view, ClaimUnit("ann", b"n" * 32))

    assert done(view, a_record())["micro_sparks"] > 0


def test_the_level_that_holds_chosen_again_leaves_the_one_before_it_alone() -> None:
    view = a_ledger()
    done(view, ChooseLevel("ann", "partner"))
    view.at_s += 2 * DAY_S
    before = customer(view)

    done(view, ChooseLevel("ann", "partner"))

    assert customer(view) == before
