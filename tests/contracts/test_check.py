"""The vectors of independent implementations, executed by the real contracts."""

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import programmes
from contracts.check import NoVectors, check

VECTORS = Path(__file__).parents[1] / "vectors"


def document(name: str) -> Any:
    return json.loads((VECTORS / name).read_text())


@pytest.mark.parametrize(("name", "steps"), [("rewards.json", 545), ("redemption.json", 369)])
def test_the_contracts_agree_with_every_step(name: str, steps: int) -> None:
    tally = check(document(name), programmes.load())

    assert tally.differences == []
    assert (tally.steps, tally.agreed) == (steps, steps)


@pytest.mark.parametrize(
    "field", ["period", "self_supply_wh", "award_micro_sparks", "minted_micro_sparks", "green_wh", "avoided_mg_co2e"]
)
def test_a_wrong_expectation_is_named_with_its_case_and_field(field: str) -> None:
    wrong = document("rewards.json")
    result = wrong["cases"][3]["steps"][0]["results"][0]
    result[field] = "other"

    tally = check(wrong, programmes.load())

    assert (tally.steps - tally.agreed, len(tally.differences)) == (1, 1)
    assert tally.differences[0].startswith(f"case-4 step 1: interval 1 {field}: expected 'other'")


def test_a_refusal_that_was_not_expected_differs_and_one_that_was_expected_too() -> None:
    wrong = document("rewards.json")
    steps = wrong["cases"][2]["steps"]
    refused = next(step for step in steps if "refused" in step)
    accepted = next(step for step in steps if "refused" not in step)
    refused["refused"], accepted["refused"] = "interval_shape", "interval_shape"

    tally = check(wrong, programmes.load())

    assert tally.steps - tally.agreed >= 2


def test_wrong_refunds_and_settlements_are_named() -> None:
    wrong = copy.deepcopy(document("redemption.json"))
    wrong["purchases"][0]["refunds"][1]["returns_micro_sparks"] += 1
    wrong["settlements"][1]["days"][2]["carried"] -= 1

    tally = check(wrong, programmes.load())

    assert [line.partition(": expected")[0] for line in tally.differences] == [
        "purchases 1 refund 2: returns_micro_sparks",
        "settlements 2 day 3: carried",
    ]


def purchase(wrong: Any) -> Any:
    return wrong["purchases"][0]


def day(wrong: Any) -> Any:
    return wrong["settlements"][1]["days"][-1]


def case(wrong: Any) -> Any:
    return wrong["cases"][3]


def last_step(wrong: Any) -> Any:
    """The last, so that no other step depends on it."""
    return next(step for step in reversed(case(wrong)["steps"]) if "results" in step)


@pytest.mark.parametrize(
    ("name", "spoil", "line"),
    [
        (
            "redemption",
            lambda d: purchase(d)["refunds"][1].update(cents=10**6),
            "refund 2: rejected: refund_above_sale",
        ),
        ("redemption", lambda d: purchase(d)["refunds"][1].update(cents=0), "refund 2: rejected: invalid_amount"),
        ("redemption", lambda d: purchase(d)["refunds"].append(3), "refund 7: 3 is no object"),
        ("redemption", lambda d: purchase(d).update(captured_cents=2000), "capture: rejected: capture_above_hold"),
        ("redemption", lambda d: purchase(d).update(captured_cents=None), "capture: captured_cents: None is no int"),
        ("redemption", lambda d: purchase(d).update(amount_cents=0), "hold: rejected: invalid_amount"),
        ("redemption", lambda d: purchase(d).update(amount_cents="1999"), "hold: amount_cents: '1999' is no int"),
        ("redemption", lambda d: purchase(d).pop("bonus_cents"), "hold: bonus_cents: expected nothing, found 999"),
        ("redemption", lambda d: purchase(d).update(bonus_bp=-1), "1: rejected: invalid_amount"),
        ("redemption", lambda d: purchase(d).update(bonus_bp=True), "1: bonus_bp: True is no int"),
        ("redemption", lambda d: purchase(d).pop("refunds"), "1: refunds: missing"),
        ("redemption", lambda d: d["purchases"].append(None), "purchases 31: is no object"),
        ("redemption", lambda d: day(d).pop("captured"), "captured: missing"),
        ("redemption", lambda d: day(d).update(refunded=-1), "refunded: -1 is out of range"),
        ("redemption", lambda d: d["settlements"][1].update(fee_bp=10_001), "2: fee_bp: 10001 is out of range"),
        ("rewards", lambda d: last_step(d)["intervals"][0].pop("pv"), "interval 1 pv: missing"),
        ("rewards", lambda d: last_step(d)["intervals"][0].update(pv=1.5), "interval 1 pv: 1.5 is no int"),
        ("rewards", lambda d: last_step(d)["intervals"][0].update(pv="12"), "interval 1 pv: '12' is no int"),
        ("rewards", lambda d: last_step(d)["intervals"][0].update(pv=2**64), f"pv: {2**64} is out of range"),
        ("rewards", lambda d: last_step(d).update(results=None), "results: expected None, found nothing"),
        ("rewards", lambda d: last_step(d).update(results=[7]), "result: expected 7, found nothing"),
        ("rewards", lambda d: case(d).update(level="gold"), "case-4: level: 'gold' is no level of ontario"),
        ("rewards", lambda d: case(d).update(level_from_s=None), "case-4: level_from_s: None is no int"),
        ("rewards", lambda d: case(d)["device"].pop("battery_power_w"), "case-4: device battery_power_w: missing"),
        ("rewards", lambda d: case(d).update(default_intensity_mg_per_wh=-1), "_per_wh: -1 is out of range"),
        ("rewards", lambda d: case(d)["intensity_mg_per_wh_by_hour"].update(noon=1), "'noon' is no hour"),
        ("rewards", lambda d: case(d).pop("steps"), "case-4: steps: missing"),
    ],
)
def test_what_is_wrong_in_a_vector_is_one_differing_step_and_the_others_still_run(
    name: str, spoil: Callable[[Any], Any], line: str
) -> None:
    wrong = document(f"{name}.json")
    spoil(wrong)

    tally = check(wrong, programmes.load())

    assert tally.steps - tally.agreed == 1
    assert any(line in difference for difference in tally.differences), tally.differences
    assert tally.agreed > 360


def test_a_pack_that_cannot_be_executed_leaves_the_later_ones_of_its_case_to_run() -> None:
    wrong = document("rewards.json")
    del wrong["cases"][0]["steps"][2]["intervals"][0]["pv"]

    tally = check(wrong, programmes.load())

    assert tally.steps == 545
    assert "case-1 step 3: interval 1 pv: missing" in tally.differences


@pytest.mark.parametrize("other", [999_500_000.0, "999500000", True, None, [999_500_000]])
def test_an_expectation_of_another_type_does_not_agree(other: Any) -> None:
    wrong = document("redemption.json")
    purchase(wrong)["hold_micro_sparks"] = other

    tally = check(wrong, programmes.load())

    assert tally.differences == [f"purchases 1 hold: hold_micro_sparks: expected {other!r}, found 999500000"]


def test_types_are_compared_inside_an_award_too() -> None:
    wrong = document("rewards.json")
    award = last_step(wrong)["results"][0]["award_micro_sparks"]
    award["carbon"] = float(award["carbon"])

    tally = check(wrong, programmes.load())

    assert (tally.steps, tally.agreed) == (545, 544)
    assert "award_micro_sparks" in tally.differences[0]


@pytest.mark.parametrize(
    "other",
    [
        7,
        [],
        {},
        {"cases": None},
        {"cases": []},
        {"cases": {}},
        {"cases": [{}]},
        {"cases": [None]},
        {"cases": [{"steps": []}]},
        {"purchases": [{}], "settlements": [{"days": []}]},
        document("market.json"),
    ],
)
def test_what_is_no_vectors_document_is_said_to_be_none(other: Any) -> None:
    with pytest.raises(NoVectors):
        check(other, programmes.load())


def a_small(name: str) -> Any:
    whole = document(name)
    for part in whole.keys() & {"cases", "purchases", "settlements"}:
        whole[part] = whole[part][:1]
    for vector in whole.get("cases", ()):
        vector["steps"] = vector["steps"][:3]
    return whole


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every member of the document, with what holds it."""
    if isinstance(value, dict | list):
        for key, member in list(value.items() if isinstance(value, dict) else enumerate(value)):
            yield value, key
            yield from places(member)


JUNK = st.sampled_from([None, True, "", "x", 1.5, 0, -1, -(10**30), 10**30, 10**12, -10_000, [], [None], {}, {"a": 1}])


@given(name=st.sampled_from(["rewards.json", "redemption.json"]), junk=JUNK, data=st.data())
def test_whatever_stands_in_a_vector_its_steps_are_counted(name: str, junk: Any, data: st.DataObject) -> None:
    wrong = a_small(name)
    found = list(places(wrong))
    holder, key = found[data.draw(st.integers(0, len(found) - 1))]
    holder[key] = junk

    try:
        tally = check(wrong, programmes.load())
    except NoVectors:
        return
    assert 0 <= tally.agreed <= tally.steps
    assert bool(tally.differences) == (tally.agreed < tally.steps)
