"""Responses to demand events, computed a second time from a unit's whole history (programme.md, Demand event)."""

from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from contracts import metering, rewards, state
from contracts.effects import Draft
from contracts.rewards import Judged
from contracts.state import Meter, ZoneEvents
from contracts.wire.packs import Interval
from tests.contracts.builders import HOUR_S, MONDAY_NOON_S, a_ledger, a_unit

MINUTE_S = 60
Event = tuple[str, int, int]


@dataclass
class Home:
    """Everything the unit measured so far, and the baselines that were fixed."""

    history: list[tuple[int, int, int]]
    fixed: dict[str, int | None]

    def response_wh(self, interval: Interval, events: list[Event], grid_charge_wh: int) -> int:
        """What the rules say of the next interval, by looking at the whole history."""
        start_s, end_s = interval.start_s, interval.start_s + interval.duration_s
        around = [event for event in events if event[1] <= start_s and end_s <= event[2]]
        for event_id, event_start_s, _ in around:
            if event_id not in self.fixed:
                self.fixed[event_id] = self.baseline(event_start_s, events)
        net_wh = interval.import_wh - interval.export_wh
        self.history.append((start_s, end_s, net_wh - grid_charge_wh))
        baseline = self.fixed[around[0][0]] if around else None
        if baseline is None:
            return 0
        most_wh = 10_000 * interval.duration_s // HOUR_S
        return min(max(0, baseline * interval.duration_s // HOUR_S - net_wh), most_wh)

    def baseline(self, event_start_s: int, events: list[Event]) -> int | None:
        used = [
            (start_s, end_s, net_wh)
            for start_s, end_s, net_wh in self.history
            if event_start_s - HOUR_S <= start_s
            and end_s <= event_start_s
            and not any(first <= start_s and end_s <= after for _, first, after in events)
        ]
        measured_s = sum(end_s - start_s for start_s, end_s, _ in used)
        return sum(net_wh for _, _, net_wh in used) * HOUR_S // measured_s if measured_s >= HOUR_S // 2 else None


@st.composite
def histories(draw: st.DrawFn) -> list[Interval]:
    """Some hours of balanced intervals of one unit, in order, with gaps and changes of length."""
    intervals: list[Interval] = []
    minute = 0
    for _ in range(draw(st.integers(8, 14))):
        minute += draw(st.sampled_from([0, 0, 0, 0, 0, 5, 30]))
        length = draw(st.sampled_from([15, 15, 20, 30, 60]))
        length = min(length, 60 - minute % 60)
        pv, charge, discharge, export = (draw(st.integers(0, 3)) * length * 10 for _ in range(4))
        load = draw(st.integers(0, 40)) * length * 2
        import_wh = load + export + charge - pv - discharge
        load, import_wh = load + max(0, -import_wh), max(0, import_wh)
        start_s = MONDAY_NOON_S + minute * MINUTE_S
        intervals.append(Interval(start_s, length * MINUTE_S, pv, load, charge, discharge, import_wh, export))
        minute += length
    return intervals


@st.composite
def zones(draw: st.DrawFn) -> list[Event]:
    """Up to three events of a zone in the order declared; they may overlap."""
    spans = draw(st.lists(st.tuples(st.integers(6, 40), st.integers(3, 24)), min_size=1, max_size=3))
    return [
        (f"event-{number}", MONDAY_NOON_S + first * 300, MONDAY_NOON_S + (first + length) * 300)
        for number, (first, length) in enumerate(spans)
    ]


@given(histories(), zones())
@settings(max_examples=300)
def test_a_response_is_what_the_whole_history_says(intervals: list[Interval], events: list[Event]):
    view = a_ledger()
    view.rows[state.zone_key("toronto")] = ZoneEvents(tuple(events))
    unit = a_unit()
    meter, home = Meter(), Home([], {})
    for interval in intervals:
        before = meter
        judged = rewards.judge(Draft(view), unit, before, [interval])
        if not isinstance(judged, Judged):
            continue
        flows = metering.attribute(interval, unit, view.programme, green_wh=before.green_wh, grey_wh=before.grey_wh)
        assert judged.awards[0].response_wh == home.response_wh(interval, events, flows.grid_charge_wh)
        meter = judged.meter
