"""What packs earn beyond the vectors: caps, levels, holders, events and the second decision."""

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from contracts import rewards, state
from contracts.commands import (
    CancelEvent,
    ChooseLevel,
    ClaimUnit,
    CorrectUnit,
    DecideAgain,
    DeclareEvent,
    EnrollCustomer,
    IssueClaimCode,
    LeaveUnit,
    PublishSignal,
)
from contracts.effects import Draft
from contracts.metering import Refusal
from contracts.rewards import Judged
from contracts.state import DayOfUnit, Meter
from contracts.wire.packs import Interval
from tests.contracts.builders import (
    HOUR_S,
    MONDAY_NOON_S,
    a_ledger,
    a_record,
    a_unit,
    an_interval,
    do,
    done,
    hash_of,
    rejected,
)

WILD = st.integers(-(2**53), 2**53)
TAME = st.integers(-100, 7_000)


def wild_interval() -> st.SearchStrategy[Interval]:
    start_s = st.one_of(WILD, st.integers(0, 60).map(lambda k: MONDAY_NOON_S + 600 * k))
    energies = [st.one_of(TAME, WILD)] * 6
    return st.builds(Interval, start_s, st.one_of(WILD, st.sampled_from([300, 600, 3_600])), *energies)


@given(st.lists(wild_interval(), min_size=1, max_size=6))
@settings(max_examples=200)
def test_bad_intervals_never_raise_in_any_order(intervals: list[Interval]) -> None:
    view = a_ledger()
    for order in itertools.islice(itertools.permutations(intervals), 24):
        judged = rewards.judge(Draft(view), a_unit(), Meter(), order)
        again = rewards.judge_again(Draft(view), a_unit(), Meter(), order)
        assert isinstance(judged, Judged | Refusal)
        assert isinstance(again, Judged | Refusal)


def test_an_hour_of_sun_used_at_home_on_peak_earns_by_rule() -> None:
    result = done(a_ledger(), a_record())

    assert result["awards"] == {"self_supply": 1_600_000, "green_export": 0, "carbon": 300_000, "event_response": 0}
    assert (result["micro_sparks"], result["avoided_mg_co2e"], result["deferred"]) == (1_900_000, 60_000, False)


def test_a_published_signal_changes_what_is_executed_later() -> None:
    view = a_ledger()
    done(view, PublishSignal(MONDAY_NOON_S, 100))

    assert done(view, a_record())["avoided_mg_co2e"] == 100_000


def test_a_level_change_holds_from_the_next_local_midnight() -> None:
    view = a_ledger(at_s=MONDAY_NOON_S + HOUR_S)
    midnight_s = done(view, ChooseLevel("ann", "partner"))["effective_s"]
    assert midnight_s == MONDAY_NOON_S + 12 * HOUR_S
    done(view, ChooseLevel("ann", "observer"))
    first = a_record()
    assert done(view, first)["awards"]["self_supply"] == 1_600_000

    view.at_s = midnight_s + 24 * HOUR_S
    second = a_record(2, hash_of(first), an_interval(midnight_s + 12 * HOUR_S))
    assert done(view, second)["micro_sparks"] == 0


def test_the_day_s_cap_leaves_each_rule_what_the_ones_before_did_not_use() -> None:
    view = a_ledger(at_s=MONDAY_NOON_S + 5 * HOUR_S)
    done(view, CorrectUnit("unit-1", 200_000, 10_000, 5_000, "toronto"))
    sun = {"pv_wh": 100_000, "load_wh": 100_000}
    pack = [an_interval(MONDAY_NOON_S + HOUR_S * k, **sun) for k in range(2)]

    result = done(view, a_record(1, bytes(32), *pack))

    assert result["micro_sparks"] == 200_000_000
    assert result["awards"] == {
        "self_supply": 170_000_000,
        "green_export": 0,
        "carbon": 30_000_000,
        "event_response": 0,
    }


def test_a_unit_that_nobody_holds_earns_nothing_and_uses_no_cap() -> None:
    view = a_ledger(claimed=False)
    result = done(view, a_record())

    meter = view.rows[state.meter_key("unit-1")]
    assert isinstance(meter, Meter)
    assert (result["micro_sparks"], result["holder"], meter.day_micro_sparks) == (0, None, 0)


def test_a_later_holder_earns_nothing_for_what_lies_before_the_claim_but_a_first_one_does() -> None:
    view = a_ledger(at_s=MONDAY_NOON_S + HOUR_S)
    first = a_record()
    assert done(view, first)["micro_sparks"] > 0

    done(view, LeaveUnit("ann", "unit-1"))
    done(view, EnrollCustomer("bob", "partner"))
    done(view, IssueClaimCode("unit-1", b"n" * 32))
    view.at_s += 2 * HOUR_S
    done(view, ClaimUnit("bob", b"n" * 32))
    before = a_record(2, hash_of(first), an_interval(MONDAY_NOON_S + 2 * HOUR_S))
    assert done(view, before)["micro_sparks"] == 0
    after = a_record(3, hash_of(before), an_interval(MONDAY_NOON_S + 3 * HOUR_S))
    view.at_s += 2 * HOUR_S
    assert done(view, after)["micro_sparks"] == (1_600_000 + 300_000) * 12_500 // 10_000


def event_history(*, cancel: bool = False, measured_h: int = 1) -> dict[str, int]:
    """An hour that imports 2,000 wh, then an event hour that imports 500; the second one's awards."""
    view = a_ledger(at_s=MONDAY_NOON_S)
    done(view, DeclareEvent("peak", "toronto", MONDAY_NOON_S + HOUR_S, MONDAY_NOON_S + 2 * HOUR_S, None))
    if cancel:
        done(view, CancelEvent("peak"))
    view.at_s = MONDAY_NOON_S + 2 * HOUR_S
    evening = {"pv_wh": 0}
    start_s = MONDAY_NOON_S if measured_h else MONDAY_NOON_S - HOUR_S
    before = a_record(1, bytes(32), an_interval(start_s, load_wh=2_000, import_wh=2_000, **evening))
    done(view, before)
    during = an_interval(MONDAY_NOON_S + HOUR_S, load_wh=500, import_wh=500, **evening)
    awards: dict[str, int] = done(view, a_record(2, hash_of(before), during))["awards"]
    return awards


def test_importing_less_than_the_hour_before_responds_to_an_event() -> None:
    assert event_history()["event_response"] == 1_500 * 40_000


def test_a_cancelled_event_never_was() -> None:
    assert event_history(cancel=True)["event_response"] == 0


def test_without_half_an_hour_measured_before_it_there_is_no_baseline() -> None:
    assert event_history(measured_h=0)["event_response"] == 0


def test_a_refused_pack_is_decided_once_more_for_the_panel_only() -> None:
    view = a_ledger()
    sunny = an_interval(pv_wh=9_000, load_wh=2_000, export_wh=5_000, charge_wh=2_000)
    record = a_record(1, bytes(32), sunny)
    assert done(view, record)["reason"] == "above_nameplate"
    meter_before = view.rows[state.meter_key("unit-1")]
    again = DecideAgain("unit-1", 1, record.message)
    assert do(view, again).reason == "refused_again"  # type: ignore[union-attr]

    done(view, CorrectUnit("unit-1", 8_000, 10_000, 5_000, "toronto"))
    result = done(view, again)

    assert result["awards"]["self_supply"] == 2_000 * 1_600
    assert result["awards"]["green_export"] == 5_000 * 2_400
    meter, day = view.rows[state.meter_key("unit-1")], view.rows[state.day_key("unit-1", 20_640)]
    assert meter == meter_before
    assert day == DayOfUnit(result["micro_sparks"], ((MONDAY_NOON_S, MONDAY_NOON_S + HOUR_S),))
    assert do(view, again).reason == "not_refused"  # type: ignore[union-attr]


def test_what_a_second_decision_accepted_is_not_accepted_again_and_counts_to_its_days_cap() -> None:
    view = a_ledger()
    record = a_record(1, bytes(32), an_interval(pv_wh=9_000, load_wh=9_000))
    done(view, record)
    done(view, CorrectUnit("unit-1", 8_000, 10_000, 5_000, "toronto"))
    earned = done(view, DecideAgain("unit-1", 1, record.message))["micro_sparks"]

    same_hour = a_record(2, hash_of(record))
    assert done(view, same_hour)["reason"] == "interval_overlap"
    view.at_s += HOUR_S
    next_hour = done(view, a_record(3, hash_of(same_hour), an_interval(MONDAY_NOON_S + HOUR_S)))

    meter = view.rows[state.meter_key("unit-1")]
    assert isinstance(meter, Meter)
    assert meter.day_micro_sparks == earned + next_hour["micro_sparks"]


def test_a_second_decision_does_not_earn_for_the_future() -> None:
    view = a_ledger(at_s=MONDAY_NOON_S)
    far = a_record(1, bytes(32), an_interval(MONDAY_NOON_S + 72 * HOUR_S))
    assert done(view, far)["reason"] == "clock_ahead"

    assert rejected(view, DecideAgain("unit-1", 1, far.message)) == "not_yet_due"
