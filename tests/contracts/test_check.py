"""The vectors of independent implementations, executed by the real contracts."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

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


@pytest.mark.parametrize(
    "other", [[], {}, {"cases": [{}]}, {"cases": [None]}, {"purchases": [{"amount_cents": "1"}]}, 7]
)
def test_what_is_no_vectors_document_is_said_to_be_none(other: Any) -> None:
    with pytest.raises(NoVectors):
        check(other, programmes.load())
