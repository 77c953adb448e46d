"""A pack's place: duplicates, equivocation, gaps, the clock; a pack in its place is always decided by one entry."""

from dataclasses import replace

import pytest

from contracts.commands import DeclareLost, RecordPack, ReplaceKey, SuspendUnit
from contracts.effects import Effects, Rejected
from contracts.execute import execute
from contracts.memory import Memory
from contracts.state import ZERO_HASH, Decided, Meter
from contracts.units import DAY_S
from contracts.wire import packs, signatures
from tests.contracts.builders import (
    HOUR_S,
    MONDAY_NOON_S,
    a_gap,
    a_gap_message,
    a_ledger,
    a_malformed_message,
    a_message,
    a_record,
    an_interval,
    decided,
    do,
    done,
    hash_of,
    late_ledger,
    meter,
    rejected,
)

FIVE_MINUTES_S = 300
OTHER = b"\x07" * 32


def a_chain(length: int, *, start_s: int = MONDAY_NOON_S) -> list[RecordPack]:
    """Packs 1 to `length` of one unit, an interval of five minutes each."""
    chain: list[RecordPack] = []
    for k in range(length):
        prev = hash_of(chain[-1]) if chain else ZERO_HASH
        interval = an_interval(start_s + FIVE_MINUTES_S * k, duration_s=FIVE_MINUTES_S, pv_wh=100, load_wh=100)
        chain.append(a_record(k + 1, prev, interval))
    return chain


def rejection(view: Memory, command: RecordPack | DeclareLost) -> Rejected:
    answer = execute(view, command)
    assert isinstance(answer, Rejected)
    return answer


# --- the place -------------------------------------------------------------------------------------------------------


def test_packs_in_their_order_are_accepted_and_filed():
    view = late_ledger()
    chain = a_chain(3)
    for pack in chain:
        assert done(view, pack)["outcome"] == "accepted"

    assert (meter(view).seq, meter(view).hash, meter(view).decided_at) == (3, hash_of(chain[2]), view.index - 1)
    start_s = MONDAY_NOON_S + FIVE_MINUTES_S
    assert decided(view, 2) == Decided(hash_of(chain[1]), "", view.index - 2, start_s, start_s + FIVE_MINUTES_S)


def test_the_same_bytes_again_are_a_duplicate_and_other_bytes_equivocation():
    view = late_ledger()
    first, second = a_chain(2)
    done(view, first)
    done(view, second)

    assert rejection(view, first) == Rejected("duplicate", {"seq": 2})  # type: ignore[arg-type]
    assert rejection(view, second).reason == "duplicate"
    assert rejected(view, a_record(1, ZERO_HASH, an_interval(load_wh=999))) == "equivocation"
    assert rejected(view, RecordPack("unit-1", a_malformed_message(2))) == "equivocation"


def test_a_refused_pack_s_number_is_used_like_an_accepted_one_s():
    view = late_ledger()
    bad = a_record(1, ZERO_HASH, an_interval(load_wh=-1))
    before = meter(view)
    assert done(view, bad) == {"outcome": "refused", "reason": "negative_energy", "seq": 1, "pack": hash_of(bad)}

    assert (meter(view).seq, meter(view).hash) == (1, hash_of(bad))
    assert meter(view).last_end_s == before.last_end_s
    assert decided(view, 1) == Decided(hash_of(bad), "negative_energy", view.index - 1, 0, 0)
    assert rejected(view, bad) == "duplicate"
    assert rejected(view, a_record(1)) == "equivocation"
    assert done(view, a_record(2, hash_of(bad)))["outcome"] == "accepted"


def test_a_refused_pack_leaves_all_else_of_its_unit_as_it_was():
    view = late_ledger()
    first = a_record(1, ZERO_HASH, an_interval(pv_wh=900, charge_wh=900, load_wh=0))
    done(view, first)
    before = meter(view)
    good = an_interval(MONDAY_NOON_S + HOUR_S, duration_s=1_800)
    bad = an_interval(MONDAY_NOON_S + HOUR_S + 1_800, duration_s=1_800, load_wh=-1)
    refused = a_record(2, hash_of(first), good, bad)

    assert done(view, refused)["reason"] == "negative_energy"

    assert meter(view) == replace(before, seq=2, hash=hash_of(refused), decided_at=view.index - 1)


@pytest.mark.parametrize(("ahead", "reason"), [(1, "too_early"), (4_096, "too_early"), (4_097, "too_far_ahead")])
def test_a_pack_above_the_next_number_is_early_or_too_far_ahead(ahead, reason):
    view = late_ledger()
    first = a_record()
    done(view, first)

    assert rejection(view, a_record(2 + ahead)) == Rejected(reason, {"seq": 1})


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (b"", "malformed_cose"),
        (a_message()[:-1], "malformed_cose"),
        (a_malformed_message(None), "malformed_pack"),
        (a_gap_message(1, 2), "malformed_pack"),
    ],
)
def test_a_message_without_a_place_is_no_pack_to_decide(message, reason):
    assert rejected(late_ledger(), RecordPack("unit-1", message)) == reason


def test_an_unknown_unit_s_and_a_suspended_unit_s_packs_are_not_decided():
    view = late_ledger()
    assert rejected(view, RecordPack("unit-2", a_message())) == "unknown_device"
    done(view, SuspendUnit("unit-1", True))
    assert rejected(view, a_record()) == "device_suspended"
    assert rejected(view, a_gap(1, 3)) == "device_suspended"
    assert meter(view) == Meter()

    done(view, SuspendUnit("unit-1", False))
    assert done(view, a_record())["outcome"] == "accepted"


# --- in its place ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (a_malformed_message(1), "malformed_pack"),
        (a_malformed_message(1, OTHER), "malformed_pack"),
        (a_message(1, OTHER, device_id="unit-2"), "wrong_device"),
        (a_message(1, OTHER, an_interval(MONDAY_NOON_S + 10 * DAY_S)), "broken_chain"),
        (a_message(1, ZERO_HASH, an_interval(MONDAY_NOON_S + 10 * DAY_S, load_wh=-1)), "clock_ahead"),
        (a_message(1, ZERO_HASH, an_interval(MONDAY_NOON_S - 40 * DAY_S, load_wh=-1)), "too_late"),
        (a_message(1, ZERO_HASH, an_interval(MONDAY_NOON_S + 1, duration_s=0)), "interval_shape"),
    ],
)
def test_the_first_reason_refuses_a_pack_in_its_place_and_uses_its_number(message, reason):
    view = late_ledger()

    result = done(view, RecordPack("unit-1", message))

    assert (result["outcome"], result["reason"]) == ("refused", reason)
    assert (meter(view).seq, meter(view).hash) == (1, packs.message_hash(message))


def test_after_a_refused_pack_the_next_one_names_its_hash():
    view = late_ledger()
    broken = a_record(1, OTHER)
    done(view, broken)

    assert done(view, a_record(2, ZERO_HASH))["reason"] == "broken_chain"


def at_end_plus(seconds: int) -> Memory:
    """A ledger so many seconds after the end of `a_record`'s interval."""
    return a_ledger(at_s=MONDAY_NOON_S + HOUR_S + seconds)


@pytest.mark.parametrize(("seconds", "is_due"), [(-121, False), (-120, True), (0, True)])
def test_a_pack_waits_until_it_ends_at_most_two_minutes_ahead(seconds, is_due):
    view = at_end_plus(seconds)
    answer = do(view, a_record())

    assert isinstance(answer, Effects) == is_due
    if isinstance(answer, Rejected):
        assert answer == Rejected("not_yet_due", {"due_s": MONDAY_NOON_S + HOUR_S - 120})  # type: ignore[arg-type]
        assert meter(view) == Meter()
        view.at_s = answer.facts["due_s"]
        assert done(view, a_record())["outcome"] == "accepted"


def test_a_pack_that_ends_24_hours_ahead_waits_and_one_second_further_is_clock_ahead():
    assert rejected(at_end_plus(-DAY_S), a_record()) == "not_yet_due"

    assert done(at_end_plus(-DAY_S - 1), a_record())["reason"] == "clock_ahead"


def test_a_pack_that_ended_30_days_ago_counts_and_one_second_earlier_is_too_late():
    assert done(at_end_plus(30 * DAY_S), a_record())["outcome"] == "accepted"

    assert done(at_end_plus(30 * DAY_S + 1), a_record())["reason"] == "too_late"


def test_a_broken_chain_does_not_wait_for_the_clock():
    assert done(at_end_plus(-HOUR_S), a_record(1, OTHER))["reason"] == "broken_chain"


def test_a_bad_interval_ahead_of_the_clock_waits_before_it_is_refused():
    bad = a_record(1, ZERO_HASH, an_interval(load_wh=-1))

    assert rejected(at_end_plus(-HOUR_S), bad) == "not_yet_due"
    assert done(at_end_plus(0), bad)["reason"] == "negative_energy"


# --- gap packs -------------------------------------------------------------------------------------------------------


def test_lost_numbers_are_void_and_the_next_pack_s_chain_is_not_compared():
    view = late_ledger()
    gap = a_gap(1, 4)
    assert done(view, gap) == {"outcome": "void", "seq": 3, "pack": hash_of(gap), "numbers": 3}

    assert (meter(view).seq, meter(view).hash, meter(view).decided_at) == (3, hash_of(gap), view.index - 1)
    assert done(view, a_record(4, OTHER))["outcome"] == "accepted"
    assert done(view, a_record(5, OTHER, an_interval(MONDAY_NOON_S + HOUR_S)))["reason"] == "broken_chain"


def test_after_a_void_number_a_pack_that_is_refused_closes_the_chain_again():
    view = late_ledger()
    done(view, a_gap(1, 2))
    bad = a_record(2, OTHER, an_interval(load_wh=-1))
    assert done(view, bad)["reason"] == "negative_energy"

    assert done(view, a_record(3, OTHER))["reason"] == "broken_chain"


@pytest.mark.parametrize("lost", [1, 2])
def test_a_gap_pack_that_names_no_number_ahead_changes_nothing(lost):
    view = late_ledger()
    done(view, a_record())
    before = dict(view.rows)

    assert rejection(view, a_gap(1, lost)) == Rejected("nothing_lost", {"seq": 1})  # type: ignore[arg-type]
    assert view.rows == before


def test_a_number_comes_late_when_it_was_declared_lost():
    view = late_ledger()
    first, second, third = a_chain(3)
    done(view, first)
    done(view, a_gap(2, 3))

    assert rejected(view, second) == "declared_lost"
    assert done(view, third)["outcome"] == "accepted"
    assert rejected(view, second) == "declared_lost"
    assert decided(view, 2) is None


def test_a_number_still_ahead_comes_late_too_when_it_was_declared_lost():
    view = late_ledger()
    chain = a_chain(4)
    done(view, a_gap(1, 4, 1))

    assert meter(view).seq == 0
    assert rejected(view, chain[2]) == "declared_lost"
    assert rejected(view, chain[3]) == "too_early"


def test_parked_packs_inside_a_gap_are_still_decided_in_order():
    view = late_ledger()
    chain = a_chain(7)
    done(view, chain[0])
    gap = a_gap(2, 7, 3, 5)
    assert done(view, gap)["numbers"] == 3  # 2, 4 and 6
    assert meter(view).seq == 2

    assert done(view, chain[2])["outcome"] == "accepted"
    assert (meter(view).seq, meter(view).hash, meter(view).chain_open) == (4, hash_of(gap), True)
    assert done(view, chain[4])["outcome"] == "accepted"
    assert meter(view).seq == 6
    assert done(view, chain[6])["outcome"] == "accepted"
    assert [decided(view, seq) is not None for seq in range(1, 8)] == [True, False, True, False, True, False, True]


def test_a_gap_whose_numbers_are_all_parked_changes_nothing():
    view = late_ledger()

    assert rejected(view, a_gap(1, 4, 1, 2, 3)) == "nothing_lost"


def test_parked_numbers_that_are_decided_or_beyond_the_gap_do_not_matter():
    view = late_ledger()
    for pack in a_chain(2):
        done(view, pack)

    assert done(view, a_gap(3, 5, 1, 2, 2, 9))["numbers"] == 2
    assert meter(view).seq == 4


def test_a_second_gap_pack_voids_only_what_the_first_left():
    view = late_ledger()
    chain = a_chain(8)
    first, second = a_gap(2, 4, 1), a_gap(2, 7, 1, 5)
    assert done(view, first)["numbers"] == 2  # 2 and 3
    assert done(view, second)["numbers"] == 2  # 4 and 6
    assert rejected(view, first) == "nothing_lost"
    assert rejected(view, second) == "nothing_lost"

    done(view, chain[0])
    assert (meter(view).seq, meter(view).hash) == (4, hash_of(second))
    done(view, chain[4])
    assert (meter(view).seq, meter(view).hash, meter(view).voids) == (6, hash_of(second), ())
    done(view, chain[6])
    assert meter(view).chain_open is False


def test_a_gap_pack_says_where_it_starts_only_as_evidence():
    view = late_ledger()
    for pack in a_chain(3):
        done(view, pack)

    assert done(view, a_gap(1, 6))["numbers"] == 2
    assert meter(view).seq == 5


def test_the_largest_number_can_be_the_one_after_a_gap():
    view = late_ledger()
    done(view, a_gap(1, 2**53))

    assert done(view, a_record(2**53, OTHER))["outcome"] == "accepted"


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (b"\x00", "malformed_cose"),
        (a_message(), "malformed_pack"),
    ],
)
def test_what_is_no_gap_pack_of_the_unit_voids_nothing(message, reason):
    view = late_ledger()

    assert rejected(view, DeclareLost("unit-1", message, ())) == reason
    assert meter(view) == Meter()


def test_a_pack_whose_key_was_revoked_since_it_was_examined_is_not_recorded() -> None:
    view = a_ledger()
    done(view, ReplaceKey("unit-1", signatures.public_key_of(b"a" * 32), 1, None, 0))

    assert rejected(view, a_record()) == "unknown_key"
