"""Grid signals and demand events: what units are told of them, and what they change in an award."""

from contextlib import AbstractContextManager

import pytest

from services.clock import SimulatedClock
from tests.story.outsider.conftest import MONDAY_NOON_S
from tests.story.outsider.packs import Flows
from tests.story.outsider.rewards import Household
from tests.story.outsider.stage import CAPACITY_WH, Stage
from tests.story.outsider.unit import HOUR_S, SUNNY

EVENT = {"id": "peak-1", "zone": "toronto", "start_at": "2026-07-06T17:00:00Z", "end_at": "2026-07-06T18:00:00Z"}
MICRO_SPARKS_PER_RESPONSE_WH = 40_000


def test_units_of_the_zone_are_told_of_an_event_and_of_its_end(
    own_stage: AbstractContextManager[Stage], clock: SimulatedClock
) -> None:
    with own_stage as alone:
        alone.deposit()
        with alone.home("told", start_s=MONDAY_NOON_S) as home:
            assert alone.operator.post("/v1/events", EVENT | {"discharge_w": 2_000}).is_success
            event = home.unit.command(lambda command: command["type"] == "event")
            assert alone.operator.post("/v1/events/peak-1/cancel").is_success
            cancelled = home.unit.command(lambda command: command["type"] == "event_cancelled")

    assert event["device"] == cancelled["device"] == "told"
    assert (event["start_s"], event["end_s"]) == (MONDAY_NOON_S + HOUR_S, MONDAY_NOON_S + 2 * HOUR_S)
    assert event["discharge_w"] == 2_000
    assert 0 <= event["reserve_pct"] <= 100
    assert cancelled["event"] == "peak-1"
    assert event["id"] != cancelled["id"]


def test_who_takes_less_from_the_grid_in_an_event_is_paid_for_it(
    own_stage: AbstractContextManager[Stage], clock: SimulatedClock
) -> None:
    with own_stage as alone:
        alone.deposit()
        with alone.home("responds", start_s=MONDAY_NOON_S) as home:
            assert alone.operator.post("/v1/events", EVENT).is_success
            clock.advance_to(MONDAY_NOON_S + 2 * HOUR_S)
            home.unit.send([Flows(load=3_000, drawn=3_000), Flows(load=1_500, discharge=1_000, drawn=500)])
            home.unit.receipt_of(1)
            (entry,) = alone.signed_in("responds").got("/v1/me/sparks/entries")["items"]

    assert {rule: amount for rule, amount in entry["awards"].items() if amount} == {
        "event_response": (3_000 - 500) * MICRO_SPARKS_PER_RESPONSE_WH
    }


@pytest.mark.parametrize("start_at", ["2026-07-06T16:01:59Z", "2026-07-06T15:00:00Z"])
def test_an_event_is_declared_two_minutes_before_it_starts(stage: Stage, start_at: str) -> None:
    late = EVENT | {"id": f"late-{start_at[11:13]}", "zone": "elsewhere", "start_at": start_at}
    assert stage.operator.post("/v1/events", late).status_code in (409, 422)


def test_a_published_intensity_counts_from_then_on(stage: Stage) -> None:
    with stage.home("signalled") as home:
        start_s = home.unit.next_start_s
        home.unit.send()
        home.unit.receipt_of(1)
        before = home.sparks()["avoided_mg_co2e"]
        hour = "2026-07-05T21:00:00Z"
        assert stage.operator.call("PUT", f"/v1/grid-signals/{hour}", {"intensity_mg_per_wh": 100}).is_success
        home.unit.send()
        home.unit.settle()
        after = home.sparks()["avoided_mg_co2e"]

    household = Household(CAPACITY_WH)
    household.earn(start_s, SUNNY)
    assert before == household.avoided_mg_co2e
    assert after - before == (SUNNY.load + SUNNY.export) * 100
