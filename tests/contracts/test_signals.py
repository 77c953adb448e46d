"""Demand events and hourly intensities, as the utility publishes them."""

import pytest

from contracts import state
from contracts.commands import CancelEvent, DeclareEvent, PublishSignal
from contracts.memory import Memory
from contracts.state import Event, Signal, ZoneEvents
from contracts.units import DAY_S
from tests.contracts.builders import HOUR_S, MONDAY_NOON_S, a_ledger, done, rejected

START_S, END_S = MONDAY_NOON_S + HOUR_S, MONDAY_NOON_S + 2 * HOUR_S


def an_event(event_id: str = "peak", start_s: int = START_S, end_s: int = END_S, zone: str = "toronto") -> DeclareEvent:
    return DeclareEvent(event_id, zone, start_s, end_s, 1_000)


def events(view: Memory, zone: str = "toronto") -> list[str]:
    row = view.rows.get(state.zone_key(zone), ZoneEvents())
    assert isinstance(row, ZoneEvents)
    return [event_id for event_id, _, _ in row.events]


@pytest.mark.parametrize(("notice_s", "is_soon"), [(119, True), (120, False)])
def test_an_event_is_declared_two_minutes_before_it_starts(notice_s, is_soon):
    view = a_ledger(at_s=START_S - notice_s)

    if is_soon:
        assert rejected(view, an_event()) == "event_too_soon"
    else:
        done(view, an_event())
        assert view.rows[state.event_key("peak")] == Event("toronto", START_S, END_S, 1_000, False)


@pytest.mark.parametrize(
    "command",
    [
        an_event(end_s=START_S),
        an_event(end_s=START_S - 1),
        DeclareEvent("peak", "toronto", START_S, END_S, -1),
    ],
)
def test_an_event_without_a_length_or_with_a_negative_power_is_no_event(command):
    assert rejected(a_ledger(at_s=MONDAY_NOON_S), command) == "invalid_event"


def test_an_event_s_id_is_used_once_even_after_its_cancellation():
    view = a_ledger(at_s=MONDAY_NOON_S)
    done(view, an_event())
    assert rejected(view, an_event()) == "event_exists"
    done(view, CancelEvent("peak"))

    assert rejected(view, an_event(zone="ottawa")) == "event_exists"


def test_a_zone_keeps_its_events_in_the_order_they_were_declared():
    view = a_ledger(at_s=MONDAY_NOON_S)
    done(view, an_event("late", START_S + HOUR_S, END_S + HOUR_S))
    done(view, an_event("early"))
    done(view, an_event("elsewhere", zone="ottawa"))

    assert (events(view), events(view, "ottawa")) == (["late", "early"], ["elsewhere"])


def test_a_cancelled_event_is_no_event_of_its_zone_any_more():
    view = a_ledger(at_s=MONDAY_NOON_S)
    done(view, an_event("first"))
    done(view, an_event("second"))
    assert done(view, CancelEvent("first")) == {"event": "first", "zone": "toronto"}

    assert events(view) == ["second"]
    assert rejected(view, CancelEvent("first")) == "invalid_state"
    assert rejected(view, CancelEvent("third")) == "unknown_event"


def test_an_event_is_kept_as_long_as_an_interval_inside_it_may_still_come():
    view = a_ledger(at_s=MONDAY_NOON_S)
    done(view, an_event("old"))

    view.at_s = END_S + 30 * DAY_S
    done(view, an_event("first", view.at_s + HOUR_S, view.at_s + 2 * HOUR_S))
    assert events(view) == ["old", "first"]
    view.at_s = END_S + 31 * DAY_S
    done(view, an_event("second", view.at_s + HOUR_S, view.at_s + 2 * HOUR_S))
    assert events(view) == ["first", "second"]


def test_an_hour_s_intensity_may_be_set_again():
    view = a_ledger()
    for intensity in (40, 0):
        done(view, PublishSignal(MONDAY_NOON_S, intensity))
        assert view.rows[state.signal_key(MONDAY_NOON_S)] == Signal(intensity)


def test_an_intensity_is_never_negative_and_belongs_to_a_whole_hour():
    assert rejected(a_ledger(), PublishSignal(MONDAY_NOON_S + 1, 40)) == "invalid_hour"
    assert rejected(a_ledger(), PublishSignal(MONDAY_NOON_S, -1)) == "invalid_amount"
