"""What accepted intervals earn: self-supply, green export, carbon and event response, in that order, under a daily cap.

programme.md, What it earns. Awards are micro_sparks by rule; energies in wh.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from contracts import metering, state
from contracts.effects import Draft
from contracts.metering import Flows, Refusal
from contracts.state import Customer, DayOfUnit, Meter, Signal, Unit, ZoneEvents
from contracts.units import BP_ONE, HOUR_S, Bp, MgCo2e, MicroSparks, UnixSeconds, Wh
from contracts.wire.packs import Interval

RULES: Final = ("self_supply", "green_export", "carbon", "event_response")


class IntervalAward(NamedTuple):
    """What one interval was found to be worth, and the stock after it."""

    period: str
    flows: Flows
    response_wh: Wh
    avoided_mg_co2e: MgCo2e
    micro_sparks: tuple[MicroSparks, ...]
    counts_for_holder: bool


class Judged(NamedTuple):
    """A pack's intervals accepted: the meter after them, the awards by interval."""

    meter: Meter
    awards: tuple[IntervalAward, ...]

    def by_rule(self) -> dict[str, MicroSparks]:
        """The whole pack's award by rule."""
        by_rule = zip(*(award.micro_sparks for award in self.awards), strict=True)
        return dict(zip(RULES, map(sum, by_rule), strict=True))

    def micro_sparks(self) -> MicroSparks:
        """The whole pack's award."""
        return sum(sum(award.micro_sparks) for award in self.awards)

    def avoided_mg_co2e(self) -> MgCo2e:
        """The carbon estimate of the intervals that count for the present holder."""
        return sum(award.avoided_mg_co2e for award in self.awards if award.counts_for_holder)


def judge(draft: Draft, unit: Unit, meter: Meter, intervals: Sequence[Interval]) -> Judged | Refusal:
    """The first decision: all intervals count, each tested against what the ones before leave, or none does."""
    days: dict[str, DayOfUnit] = {}
    awards: list[IntervalAward] = []
    for interval in intervals:
        on_day = _on_day(draft, unit, meter, interval.start_s)
        end_s = interval.start_s + interval.duration_s
        is_overlap = interval.start_s < meter.last_end_s or metering.overlaps(interval.start_s, end_s, on_day.day_runs)
        refusal = metering.refusal_of(interval, unit, draft.programme, is_overlap=is_overlap)
        if refusal:
            return refusal
        if on_day is not meter and meter.day_runs:
            left_day = DayOfUnit(meter.day_micro_sparks, meter.day_runs)
            days[state.day_key(unit.device_id, meter.day)] = left_day
        meter = on_day
        meter, award = _earn(draft, unit, meter, interval)
        awards.append(award)
    for key, day in days.items():
        draft.put(key, day)
    return Judged(meter, tuple(awards))


def judge_again(draft: Draft, unit: Unit, meter: Meter, intervals: Sequence[Interval]) -> Judged | Refusal:
    """The second decision of a refused pack: panel only, no event, each day's own cap, stock and baselines untouched.

    Writes the days it adds to (not the meter; the caller does).
    """
    days: dict[int, DayOfUnit] = {}
    awards: list[IntervalAward] = []
    for interval in intervals:
        end_s = interval.start_s + interval.duration_s
        day = draft.programme.local_day(interval.start_s)
        # An accepted interval is filed under the day it starts in, which may reach into the next one.
        near = [days.get(d) or _day(draft, unit, meter, d) for d in (day - 1, day, day + 1)]
        is_overlap = any(metering.overlaps(interval.start_s, end_s, filed.runs) for filed in near)
        refusal = metering.refusal_of(interval, unit, draft.programme, is_overlap=is_overlap)
        if refusal:
            return refusal
        flows = metering.attribute_panel(interval, green_wh=meter.green_wh, grey_wh=meter.grey_wh)
        award = _award(draft, unit, interval, flows, response_wh=0, used_micro_sparks=near[1].micro_sparks)
        awards.append(award)
        runs = metering.joined(near[1].runs, interval.start_s, end_s)
        days[day] = DayOfUnit(near[1].micro_sparks + sum(award.micro_sparks), runs)
    for day, filed in days.items():
        if day == meter.day:
            meter = replace(meter, day_micro_sparks=filed.micro_sparks, day_runs=filed.runs)
        else:
            draft.put(state.day_key(unit.device_id, day), filed)
    return Judged(meter, tuple(awards))


def _earn(draft: Draft, unit: Unit, meter: Meter, interval: Interval) -> tuple[Meter, IntervalAward]:
    end_s = interval.start_s + interval.duration_s
    flows = metering.attribute(interval, unit, draft.programme, green_wh=meter.green_wh, grey_wh=meter.grey_wh)
    events = draft.get(state.zone_key(unit.zone), ZoneEvents) or ZoneEvents()
    baselines = _baselines(draft, meter, events, interval)
    response_wh = _response_wh(unit, events, baselines, interval)
    award = _award(draft, unit, interval, flows, response_wh=response_wh, used_micro_sparks=meter.day_micro_sparks)
    net_wh = interval.import_wh - interval.export_wh - flows.grid_charge_wh
    after = replace(
        meter,
        last_end_s=end_s,
        green_wh=flows.green_wh,
        grey_wh=flows.grey_wh,
        day_micro_sparks=meter.day_micro_sparks + sum(award.micro_sparks),
        day_runs=metering.joined(meter.day_runs, interval.start_s, end_s),
        recent=_recent(draft, meter.recent, interval, net_wh),
        baselines=baselines,
    )
    return after, award


def _award(
    draft: Draft,
    unit: Unit,
    interval: Interval,
    flows: Flows,
    *,
    response_wh: Wh,
    used_micro_sparks: MicroSparks,
) -> IntervalAward:
    """Price what the flows are worth at the unit's level, each rule getting what the day's cap leaves."""
    programme = draft.programme
    period = programme.period(interval.start_s)
    export_wh = flows.pv_export_wh + flows.green_export_wh
    avoided = (flows.self_supply_wh + export_wh) * _intensity(draft, interval.start_s)
    rates = programme.micro_sparks_per_wh
    before_level = (
        flows.self_supply_wh * rates["self_supply"][period],
        export_wh * rates["green_export"][period],
        avoided * programme.micro_sparks_per_avoided_mg,
        response_wh * programme.micro_sparks_per_response_wh,
    )
    counts = unit.holder is not None and not (unit.had_holder and interval.start_s < unit.held_from_s)
    level_bp = _level_bp(draft, unit, interval.start_s) if counts else 0
    left = programme.day_micro_sparks_max - used_micro_sparks
    micro_sparks: list[MicroSparks] = []
    for amount in before_level:
        micro_sparks.append(min(amount * level_bp // BP_ONE, left))
        left -= micro_sparks[-1]
    return IntervalAward(period, flows, response_wh, avoided, tuple(micro_sparks), counts)


def _level_bp(draft: Draft, unit: Unit, start_s: UnixSeconds) -> Bp:
    holder = draft.get(state.customer_key(unit.holder or ""), Customer)
    if holder is None:
        raise LookupError(f"unit {unit.device_id} is held by an unknown customer")
    level = holder.level if start_s >= holder.level_from_s else holder.level_before
    return draft.programme.levels_bp[level]


def _intensity(draft: Draft, start_s: UnixSeconds) -> int:
    signal = draft.get(state.signal_key(start_s - start_s % HOUR_S), Signal)
    return signal.intensity_mg_per_wh if signal else draft.programme.default_intensity_mg_per_wh


def _on_day(draft: Draft, unit: Unit, meter: Meter, start_s: UnixSeconds) -> Meter:
    """The meter on the local day of `start_s`, taking up what a second decision may have filed there."""
    day = draft.programme.local_day(start_s)
    if day == meter.day:
        return meter
    filed = draft.get(state.day_key(unit.device_id, day), DayOfUnit) or DayOfUnit(0, ())
    return replace(meter, day=day, day_micro_sparks=filed.micro_sparks, day_runs=filed.runs)


def _day(draft: Draft, unit: Unit, meter: Meter, day: int) -> DayOfUnit:
    if day == meter.day:
        return DayOfUnit(meter.day_micro_sparks, meter.day_runs)
    return draft.get(state.day_key(unit.device_id, day), DayOfUnit) or DayOfUnit(0, ())


def _recent(
    draft: Draft, runs: tuple[tuple[int, ...], ...], interval: Interval, net_wh: Wh
) -> tuple[tuple[int, ...], ...]:
    """The intervals that the baseline of an event may still need, the latest added.

    It needs those of the window before the event's start, at the unit's first interval inside it; between the two lies
    at most one interval that crosses the start, so the window and one longest interval are enough.
    """
    start_s, duration_s = interval.start_s, interval.duration_s
    from_s = start_s + duration_s - draft.programme.baseline_window_s - draft.programme.interval_s_max
    kept = tuple([since for run in runs if (since := _since(run, from_s))])
    if kept and kept[-1][1] == duration_s and _run_end_s(kept[-1]) == start_s:
        return (*kept[:-1], (*kept[-1], net_wh))
    return (*kept, (start_s, duration_s, net_wh))


def _since(run: tuple[int, ...], from_s: UnixSeconds) -> tuple[int, ...] | None:
    """What of a run starts at `from_s` or later, or None if nothing does."""
    start_s, duration_s = run[:2]
    if start_s >= from_s:
        return run
    gone = -((start_s - from_s) // duration_s)
    return (start_s + gone * duration_s, duration_s, *run[2 + gone :]) if len(run) > 2 + gone else None


def _run_end_s(run: tuple[int, ...]) -> UnixSeconds:
    return run[0] + run[1] * (len(run) - 2)


def _measured(runs: tuple[tuple[int, ...], ...]) -> Iterator[tuple[UnixSeconds, int, Wh]]:
    """(start_s, duration_s, net import wh) of every interval in the runs."""
    for start_s, duration_s, *nets_wh in runs:
        for k, net_wh in enumerate(nets_wh):
            yield start_s + k * duration_s, duration_s, net_wh


def _inside(
    events: ZoneEvents, start_s: UnixSeconds, end_s: UnixSeconds
) -> Iterable[tuple[str, UnixSeconds, UnixSeconds]]:
    return (event for event in events.events if event[1] <= start_s and end_s <= event[2])


def _baselines(draft: Draft, meter: Meter, events: ZoneEvents, interval: Interval) -> tuple[tuple[str, Wh | None], ...]:
    """The baselines kept, with one fixed for each event that the interval is the first inside of."""
    if not events.events and not meter.baselines:
        return ()
    still_on = {event_id for event_id, _, event_end_s in events.events if event_end_s > interval.start_s}
    kept = [(event_id, baseline) for event_id, baseline in meter.baselines if event_id in still_on]
    fixed = {event_id for event_id, _ in kept}
    for event_id, event_start_s, _ in _inside(events, interval.start_s, interval.start_s + interval.duration_s):
        if event_id not in fixed:
            kept.append((event_id, _baseline(draft, meter, events, event_start_s)))
    return tuple(kept)


def _baseline(draft: Draft, meter: Meter, events: ZoneEvents, event_start_s: UnixSeconds) -> Wh | None:
    """Net import per hour over the window before the event, or None if too little of it was measured."""
    from_s = event_start_s - draft.programme.baseline_window_s
    used = [
        (duration_s, net_wh)
        for start_s, duration_s, net_wh in _measured(meter.recent)
        if start_s >= from_s
        and start_s + duration_s <= event_start_s
        and not any(True for _ in _inside(events, start_s, start_s + duration_s))
    ]
    measured_s = sum(duration_s for duration_s, _ in used)
    if measured_s < draft.programme.baseline_s_min:
        return None
    return sum(net_wh for _, net_wh in used) * HOUR_S // measured_s


def _response_wh(
    unit: Unit,
    events: ZoneEvents,
    baselines: tuple[tuple[str, Wh | None], ...],
    interval: Interval,
) -> Wh:
    """How far the interval stayed below the baseline of the earliest declared event it lies in."""
    for event_id, _, _ in _inside(events, interval.start_s, interval.start_s + interval.duration_s):
        baseline = dict(baselines)[event_id]
        if baseline is None:
            return 0
        expected_wh = baseline * interval.duration_s // HOUR_S
        below_wh = max(0, expected_wh - (interval.import_wh - interval.export_wh))
        most_wh = (unit.pv_nameplate_w + unit.battery_power_w) * interval.duration_s // HOUR_S
        return min(below_wh, most_wh)
    return 0
