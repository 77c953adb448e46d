"""An explanation says what was executed, line by line, and every line can be worked out again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import arithmetic
from contracts.commands import CorrectUnit, DecideAgain, DeclareEvent, PublishSignal
from contracts.effects import Effects
from contracts.execute import execute
from contracts.explanation import Explanation, Unexplained, explain
from contracts.rewards import RULES
from contracts.state import Customer
from contracts.wire.packs import Interval
from tests.contracts.builders import HOUR_S, MONDAY_NOON_S, a_ledger, a_record, an_interval, do, done, hash_of

WH = st.integers(0, 5_000)


def _balanced(start_s: int, pv: int, load: int, charge: int, discharge: int) -> Interval:
    """An hour in which whatever is missing comes from the grid, and what is left goes there."""
    net = load + charge - pv - discharge
    flows = {"pv_wh": pv, "load_wh": load, "charge_wh": charge, "discharge_wh": discharge}
    return an_interval(start_s, import_wh=max(net, 0), export_wh=max(-net, 0), **flows)


def _worked_out_again(explanation: Explanation) -> None:
    for interval in explanation.intervals:
        for chapter in interval.chapters:
            for step in chapter.steps:
                assert arithmetic.worked_out(step.numbers) == step.result, step


@given(st.lists(st.tuples(WH, WH, WH, WH), min_size=1, max_size=6), st.sampled_from(["saver", "partner", "observer"]))
def test_the_lines_lead_to_the_award_of_the_contract(flows, level):
    view = a_ledger(at_s=MONDAY_NOON_S + 12 * HOUR_S)
    view.rows["customer/ann"] = Customer("ann", level, level, 0)
    prev = a_record(1, bytes(32), _balanced(MONDAY_NOON_S - HOUR_S, 4_000, 500, 3_000, 0))
    done(view, prev)
    intervals = [_balanced(MONDAY_NOON_S + k * HOUR_S, *four) for k, four in enumerate(flows)]
    command = a_record(2, hash_of(prev), *intervals)
    executed = execute(view, command)
    assert isinstance(executed, Effects)
    if executed.result["outcome"] == "refused":
        with pytest.raises(Unexplained):
            explain(view, command)
        return

    explanation = explain(view, command)

    by_rule = [sum(amounts) for amounts in zip(*(one.micro_sparks for one in explanation.intervals), strict=True)]
    assert dict(zip(RULES, by_rule, strict=True)) == executed.result["awards"]
    _worked_out_again(explanation)


def test_a_response_is_explained_from_its_baseline():
    view = a_ledger(at_s=MONDAY_NOON_S - 2 * HOUR_S)
    done(view, DeclareEvent("peak", "toronto", MONDAY_NOON_S, MONDAY_NOON_S + HOUR_S, None))
    view.at_s = MONDAY_NOON_S + HOUR_S
    before = _balanced(MONDAY_NOON_S - HOUR_S, 0, 2_000, 0, 0)
    command = a_record(1, bytes(32), before, _balanced(MONDAY_NOON_S, 0, 500, 0, 0))

    explanation = explain(view, command)

    earned = {step.makes: step for step in explanation.intervals[1].chapters[2].steps}
    assert earned["expected_wh"].numbers == "2000 * 3600 // 3600"
    assert earned["response_wh"].result == 1_500
    assert earned["event_response"].result == done(view, command)["awards"]["event_response"]
    _worked_out_again(explanation)


def test_a_published_intensity_is_used_and_the_day_s_cap_is_shown_as_it_fills():
    view = a_ledger(at_s=MONDAY_NOON_S + 2 * HOUR_S)
    done(view, PublishSignal(MONDAY_NOON_S, 400))
    command = a_record(1, bytes(32), an_interval(), an_interval(MONDAY_NOON_S + HOUR_S))

    first, second = explain(view, command).intervals

    lines = {step.makes: step for step in first.chapters[2].steps}
    assert lines["avoided_mg_co2e"].numbers == "(1000 + 0) * 400"
    left = next(step for step in second.chapters[2].steps if step.makes == "left_0")
    assert left.numbers == f"200000000 - {sum(first.micro_sparks)}"


def test_a_second_decision_is_explained_for_the_panel_alone():
    view = a_ledger(at_s=MONDAY_NOON_S + HOUR_S)
    too_much = a_record(1, bytes(32), _balanced(MONDAY_NOON_S, 8_000, 1_000, 0, 0))
    assert done(view, too_much)["reason"] == "above_nameplate"
    do(view, CorrectUnit("unit-1", 8_000, 10_000, 5_000, "toronto"))
    command = DecideAgain("unit-1", 1, too_much.message)

    explanation = explain(view, command)

    lines = {step.makes: step.result for step in explanation.intervals[0].chapters[1].steps}
    assert (lines["g_load"], lines["g_export"], lines["pv_export"]) == (0, 0, 7_000)
    executed = execute(view, command)
    assert isinstance(executed, Effects)
    assert sum(explanation.intervals[0].micro_sparks) == executed.result["micro_sparks"]
